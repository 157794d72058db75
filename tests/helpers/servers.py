"""Run an HTTP server of a test beside it, for as long as a block lasts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer

POLL_S = 0.02  # how soon it notices that it is to end


@contextmanager
def running(server: BaseServer) -> Iterator[str]:
    """Serve in a thread; yield the server's address."""
    thread = threading.Thread(target=server.serve_forever, args=(POLL_S,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
