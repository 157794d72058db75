"""Measure the job on many short assets and on few long ones: the cost per asset apart from its
audio, and how busy the device is.

    python benchmarks/flow.py [--short 2000] [--seconds 10] [--long 2] [--minutes 30]
        [--queries 2] [--model tiny|full|mini|PATH] [--detect off|auto] [--spans 8] [--gpus 0.5]

`tiny` is a network that does hardly any work, so the times are those of the job itself; `full` has
AudioSep's size and random weights. Each case has a library of copies of one file. Times are by the
clock, so nothing else should run on the machine.
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
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from separator.audio.format import AudioFormat
from separator.config import (
    ActorSettings,
    DetectSettings,
    InputSettings,
    JobConfig,
    ModelSettings,
    OutputSettings,
    RunSettings,
)
from separator.encoders.mini import pack_mini, read_mini
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings
from separator.model.checkpoint import write_safetensors
from separator.model.registry import resolve
from separator.model.resunet import NetworkConfig, ResUNet
from separator.run.run import run_job
from separator.run.stats import RunStats
from separator.storage import Storage

HZ = 48_000
QUERIES = ["a person speaking", "a siren"]


NETS = {
    "tiny": NetworkConfig(n_fft=1280, hop=640, widths=(1, 1, 1, 1, 1, 1)),
    "full": NetworkConfig(),
}


def make_model(config: NetworkConfig, path: Path) -> None:
    """Write a network with random weights, and the encoder of the bundled model."""
    encoder = read_mini(resolve("mini", Storage().fetch))
    torch.manual_seed(0)
    net = ResUNet(config).eval()
    write_safetensors(net, path, encoder.encoder_id, encoder=pack_mini(encoder))


def make_library(folder: Path, count: int, seconds: float) -> None:
    folder.mkdir()
    # One minute is repeated: hours of samples do not fit into memory.
    block_s = min(60.0, seconds)
    noise_CT = 0.1 * np.random.default_rng(0).standard_normal((2, round(block_s * HZ)))
    blocks = itertools.repeat(noise_CT.astype(np.float32), round(seconds / block_s))
    first = folder / "00000.flac"
    encode(blocks, first, AudioFormat(HZ, 2), settings=EncodeSettings("flac", 16))
    for i in range(1, count):
        shutil.copyfile(first, folder / f"{i:05}.flac")


STAGES = {"SeparateActor": "separate", "FlatMap": "extract and publish", "_finish": "assemble"}
DECODER = "decoder_process"
PROGRAMS = "other programs"


class Watch:
    """Observe all processes of a run twice a second: the peak of unshared memory of one process of
    each stage, and the CPU time of all processes."""

    def __init__(self) -> None:
        self.peaks_mb: dict[str, float] = {}
        self._cpu_s: dict[int, dict[str, float]] = {}
        self._since: dict[int, dict[str, float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def mark(self) -> None:
        """Count CPU time from this moment on."""
        self._look()
        self._since = {pid: dict(spent) for pid, spent in self._cpu_s.items()}

    def measure_cpu_s(self) -> dict[str, float]:
        self._look()
        total: dict[str, float] = {}
        for pid, spent in self._cpu_s.items():
            for name, seconds in spent.items():
                before_s = self._since.get(pid, {}).get(name, 0.0)
                total[name] = total.get(name, 0.0) + seconds - before_s
        return total

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            self._look()

    def _look(self) -> None:
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                line = " ".join(process.cmdline())
                if not line or line.split()[0].endswith(("ffmpeg", "ffprobe")):
                    continue  # its time counts for the process that waits for it
                found = [name for part, name in STAGES.items() if part in line]
                name = "driver" if process.pid == os.getpid() else (found or ["others"])[0]
                memory, cpu = process.memory_info(), process.cpu_times()
                held_mb = (memory.rss - memory.shared) / 1e6
                self.peaks_mb[name] = max(held_mb, self.peaks_mb.get(name, 0.0))
                spent = self._cpu_s.setdefault(process.pid, {})
                # A worker has another name between tasks: keep the time of its child processes.
                waited_s = cpu.children_user + cpu.children_system if name in STAGES.values() else 0
                waited_s = max(waited_s, spent.get(PROGRAMS, 0.0))
                own = "separate" if "separate" in (name, *spent) else name
                own = own if own in ("separate", "driver") else "workers and Ray"
                own = "decoder" if DECODER in line else own
                spent[own] = cpu.user + cpu.system
                spent[PROGRAMS] = waited_s


def measure_own_mb() -> int:
    memory = psutil.Process().memory_info()
    return round((memory.rss - memory.shared) / 1e6)


def measure(
    folder: Path, name: str, count: int, model: ModelSettings, options: argparse.Namespace
) -> dict[str, Any]:
    config = JobConfig(
        input=InputSettings(str(folder / name)),
        queries=QUERIES[: options.queries],
        model=model,
        detect=DetectSettings(model=options.detect),
        output=OutputSettings(str(folder / f"{name}-out")),
        run=RunSettings(separate=ActorSettings(spans_at_once=options.spans, num_gpus=options.gpus)),
    )
    moments: list[tuple[float, int]] = []  # (clock, assets so far)
    driver_mb: dict[int, int] = {}  # after each tenth of the assets

    def see(summary: RunStats) -> None:
        if summary.assets and not any(number for _, number in moments):
            watch.mark()
        moments.append((time.monotonic(), summary.assets))
        if 10 * summary.assets >= count * (1 + len(driver_mb)):
            driver_mb[summary.assets] = measure_own_mb()

    with Watch() as watch:
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
        "cpu_ms_each": {
            name: round(1e3 * seconds / max(1, summary.assets - first[1]), 1)
            for name, seconds in sorted(watch.measure_cpu_s().items())
        },
        "driver_mb": driver_mb,
        "peak_mb": {name: round(mb) for name, mb in sorted(watch.peaks_mb.items())},
    }


def spans(text: str) -> int | str:
    return text if text == "auto" else int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", type=int, default=2_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--long", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--queries", type=int, default=2, choices=(1, 2))
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--detect", default="off", help="detect.model: auto, mini-detector, ...")
    parser.add_argument("--compile", default="auto", help="model.compile: auto, on, off")
    parser.add_argument("--spans", type=spans, default="auto", help="run.separate.spans_at_once")
    parser.add_argument("--gpus", type=float, default=1.0, help="run.separate.num_gpus of an actor")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), options.model
        if model in NETS:
            model = str(folder / f"{model}.safetensors")
            make_model(NETS[options.model], Path(model))
        cases = [
            ("short", options.short, options.seconds),
            ("long", options.long, 60 * options.minutes),
        ]
        for case, count, seconds in cases:
            if count:
                make_library(folder / case, count, seconds)
                settings = ModelSettings(model, options.device, compile=options.compile)
                results.append(measure(folder, case, count, settings, options))
                print(json.dumps(results[-1]), flush=True)
    if options.out:
        about = {"machine": f"{platform.machine()}, {platform.system()}", "model": options.model}
        about |= {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
        options.out.write_text(json.dumps(about | {"results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
