"""Install a band-pass whose actors fail as sick devices do, or end their process."""

from collections.abc import Mapping
from pathlib import Path

from tests.helpers.outside import install_bandpass

MODULE = """
import os
import sys
import time

import bandpass
import ray

FAULTS, MARKS = {faults!r}, {marks!r}
ASSERT = "CUDA error: device-side assert triggered"
MAX_ASSERTS, PATIENCE_S = 4, 30


def name_device():
    if not ray.is_initialized() or ray.get_runtime_context().get_actor_id() is None:
        return "driver"
    return ",".join(map(str, ray.get_gpu_ids())) or "CPU"


def meets(fault):
    return FAULTS.get(name_device()) == fault


def is_first():
    try:
        open(MARKS + name_device(), "x").close()
    except FileExistsError:
        return False
    return True


def note_assert():
    with open(MARKS + "asserts", "a") as file:
        file.write("x")


def await_asserts():
    # Leave the device that fails always enough work to fail often, until it is left out.
    end = time.monotonic() + 60
    while time.monotonic() < end and not have_asserts_ended():
        time.sleep(0.1)


def have_asserts_ended():
    try:
        found = os.stat(MARKS + "asserts")
    except FileNotFoundError:
        return False
    return found.st_size >= MAX_ASSERTS or time.time() - found.st_mtime > PATIENCE_S


class Sick(bandpass.BandPass):
    def separate(self, waveform_CT, condition_D):
        if meets("assert"):
            note_assert()
            raise RuntimeError(ASSERT)
        if meets("bug"):
            with open(MARKS + "bugs", "a") as file:
                file.write("x")
            time.sleep(1)
            raise TypeError("a bug")
        if meets("exit once") and is_first():
            sys.exit(0)
        if "assert" in FAULTS.values():
            await_asserts()
        return super().separate(waveform_CT, condition_D)


class Package:
    identity = "sick 1.0"

    def load(self, device, precision):
        if meets("start") or (meets("start once") and is_first()):
            raise OSError("the card has fallen out")
        return Sick()


package = Package()
"""


def install_sick(folder: Path, faults: Mapping[str, str]) -> Path:
    """Install it into a folder to be put on sys.path.

    `faults`: the number of a GPU, or "CPU" -> "assert" or "bug" in each span, "exit once" in a
    span, "start" that fails always, or "start once".
    """
    site = install_bandpass(folder)
    module = MODULE.format(faults=dict(faults), marks=str(folder / "mark-"))
    (site / "sick.py").write_text(module)
    info = site / "sick-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sick\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[separator.models]\nsick = sick:package\n")
    return site
