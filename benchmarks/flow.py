"""The job on many short assets and on few long ones: what an asset costs beside its sound, and how
busy the device is.

    python benchmarks/flow.py [--short 2000] [--long 2] [--minutes 30] [--model tiny|mini|PATH]

`tiny` is a network of next to no work: what is left is the job itself. One library a case, made of
copies; clock times, so nothing else should run on the machine.
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from separator.config import InputSettings, JobConfig, ModelSettings, OutputSettings, RunSettings
from separator.job import Summary, run_job
from separator.media.encode import EncodeSettings, encode
from separator.model.checkpoint import write_safetensors
from separator.model.registry import resolve
from separator.model.resunet import NetworkConfig, ResUNet
from separator.queries.mini import pack_mini, read_mini
from separator.storage import Storage

HZ = 48_000
QUERIES = ["a person speaking"]


def make_tiny(path: Path) -> None:
    """The smallest network there can be, with the encoder of the bundled one."""
    encoder = read_mini(resolve("mini", Storage().fetch))
    torch.manual_seed(0)
    net = ResUNet(NetworkConfig(n_fft=1280, hop=640, widths=(1, 1, 1, 1, 1, 1))).eval()
    write_safetensors(net, path, encoder.encoder_id, encoder=pack_mini(encoder))


def make_library(folder: Path, count: int, seconds: float) -> None:
    folder.mkdir()
    # One minute again and again: hours of samples at once are more than a machine holds.
    block_s = min(60.0, seconds)
    noise_CT = 0.1 * np.random.default_rng(0).standard_normal((2, round(block_s * HZ)))
    blocks = itertools.repeat(noise_CT.astype(np.float32), round(seconds / block_s))
    first = folder / "00000.flac"
    encode(blocks, first, HZ, 2, EncodeSettings("flac", 16))
    for i in range(1, count):
        shutil.copyfile(first, folder / f"{i:05}.flac")


@contextlib.contextmanager
def watched_memory() -> Iterator[dict[str, float]]:
    """By stage, the most that one of its processes held for itself, looked at twice a second."""
    peaks_mb: dict[str, float] = {}
    over = threading.Event()
    names = {"SeparateActor": "separate", "FlatMap": "extract and publish", "_assemble": "assemble"}

    def watch() -> None:
        while not over.wait(0.5):
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    title, memory = " ".join(process.cmdline()), process.memory_info()
                    found = [name for part, name in names.items() if part in title]
                    name = "driver" if process.pid == os.getpid() else (found or ["others"])[0]
                    held_mb = (memory.rss - memory.shared) / 1e6
                    peaks_mb[name] = max(held_mb, peaks_mb.get(name, 0.0))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks_mb
    finally:
        over.set()
        thread.join()


def measure(folder: Path, name: str, model: str, device: str) -> dict[str, Any]:
    config = JobConfig(
        input=InputSettings(str(folder / name)),
        queries=list(QUERIES),
        model=ModelSettings(model, device),
        output=OutputSettings(str(folder / f"{name}-out")),
        run=RunSettings(),
    )
    moments: list[tuple[float, int]] = []  # (clock, assets so far)

    def see(summary: Summary) -> None:
        moments.append((time.monotonic(), summary.assets))

    with watched_memory() as peaks_mb:
        summary = run_job(config, see)
    (record,) = (folder / f"{name}-out/runs").iterdir()
    content = json.loads(record.read_text())
    # From the first asset to the last: Ray's start is not a cost of assets.
    first, last = next(m for m in moments if m[1]), moments[-1]
    each_s = (last[0] - first[0]) / max(1, last[1] - first[1])
    stage_s = content["stage_seconds"]
    return {
        "case": name,
        "assets": summary.assets,
        "failed": summary.assets_failed,
        "seconds": round(summary.seconds, 1),
        "until_first_s": round(first[0] - summary.started, 1),
        "ms_each": round(1e3 * each_s, 1),
        **{f"{key}_ms_each": round(1e3 * s / summary.assets, 1) for key, s in stage_s.items()},
        "real_time": round(summary.audio_s / summary.seconds, 1),
        "device_busy": content["device_busy"],
        "peak_mb": {name: round(mb) for name, mb in sorted(peaks_mb.items())},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", type=int, default=2_000)
    parser.add_argument("--long", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), options.model
        if model == "tiny":
            model = str(folder / "tiny.safetensors")
            make_tiny(Path(model))
        cases = [("short", options.short, 0.5), ("long", options.long, 60 * options.minutes)]
        for case, count, seconds in cases:
            if count:
                make_library(folder / case, count, seconds)
                results.append(measure(folder, case, model, options.device))
                print(json.dumps(results[-1]), flush=True)
    if options.out:
        about = {"machine": f"{platform.machine()}, {platform.system()}", "model": options.model}
        options.out.write_text(json.dumps(about | {"results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
