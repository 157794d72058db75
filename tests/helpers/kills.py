"""Kill the processes of a run: its driver, its network, its workers."""

import contextlib
import os
import signal
import subprocess
import time

import psutil

WORKERS = {
    "actor": "SeparateActor",
    "worker": "ray::FlatMap",
    "assembler": "ray::_finish",
    "trainer": "RayTrainWorker",
}


def find_workers(process: subprocess.Popen, kind: str) -> list[psutil.Process]:
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                line = " ".join(child.cmdline())
                is_actor = WORKERS["actor"] in line
                if WORKERS[kind] in line and is_actor == (kind == "actor"):
                    found.append(child)
    return found


def kill_one(process: subprocess.Popen, kind: str) -> bool:
    """The first of its kind that is seen at work; false if the run ended before."""
    while process.poll() is None:
        for child in find_workers(process, kind):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
                return True
        time.sleep(0.02)
    return False


def kill_driver(process: subprocess.Popen) -> None:
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    for child in children:  # a Ray whose driver died ends by itself, but not at once
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, 30)
