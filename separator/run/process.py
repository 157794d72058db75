"""Identify processes, so that a later process can tell whether an earlier one still runs."""

import os
from contextlib import suppress
from pathlib import Path


def identify_process(pid: int | None = None) -> str:
    """Name a process (by default this one) as `machine and pid namespace / pid / start time`.

    Return "" if there is no such process, or no /proc.
    """
    pid = pid or os.getpid()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink()
        # Of the fields after the name, which may hold anything, the first is the state, the 20th
        # the start in ticks.
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if stat[0] in "ZX" else f"{boot}:{namespace}/{pid}/{stat[19]}"


def is_alive(process: str, here: str) -> bool | None:
    """Tell whether a process is alive; None if it is on another machine than the process `here`."""
    machine, _, rest = process.partition("/")
    if not rest or machine != here.partition("/")[0]:
        return None
    pid = rest.partition("/")[0]
    return pid.isdecimal() and identify_process(int(pid)) == process


def list_children() -> set[int]:
    """List the running processes that this one started; none if there is no /proc."""
    own, found = os.getpid(), set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            # The fields after the name, which may hold anything, begin with state and parent.
            state, parent, *_ = path.read_text(errors="replace").rpartition(")")[2].split()
            if int(parent) == own and state not in "ZX":
                found.add(int(path.parent.name))
    return found
