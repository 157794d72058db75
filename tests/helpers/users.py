"""Call a function as an ordinary user, also where tests run as root, whom no permission stops."""

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NOBODY = 65_534


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter and write to; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        for name, _, _ in os.walk(folder):
            Path(name).chmod(0o777)
        shutil.rmtree(folder)


def call_as_nobody(function: Callable[[], Any]) -> Any:
    """Return what the function returns in a child process of an ordinary user."""
    if os.getuid():
        return function()
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def run() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        theirs.send(function())

    child = context.Process(target=run)
    child.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        child.join()


def limit_user() -> list[str]:
    """The start of a command that permissions bind, whoever runs the tests: root without the
    powers of root."""
    if os.getuid():
        return []
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"]
