"""Keep a file about a run below runs/, for `separator status` and later questions."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from separator.results.record import pack_json
from separator.run.process import identify_process
from separator.storage import Storage

RUNNING, STOPPED, FINISHED = "running", "stopped", "finished"
STARTING = "starting"  # a state in run files of earlier versions


class RunFile:
    """Write the state and what `describe` returns: at the start, now and then, and at the end."""

    def __init__(
        self,
        storage: Storage,
        uri: str,
        run_id: str,
        shard: str,
        describe: Callable[[], dict[str, Any]],
    ) -> None:
        self.storage, self.uri, self.describe = storage, uri, describe
        self.about = {"run_id": run_id, "shard": shard, "process": identify_process()}

    def write(self, state: str = RUNNING) -> None:
        written_at = datetime.now(UTC).isoformat(timespec="microseconds")
        content = self.about | {"state": state, "written_at": written_at} | self.describe()
        self.storage.write(self.uri, pack_json(content))

    def delete(self) -> None:
        self.storage.delete(self.uri)
