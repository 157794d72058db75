"""How busy a fast device is, when one, two, four or eight spans of clips are in work.

    python benchmarks/sharing.py [--clips 200] [--batch-ms 30] [--out FILE]

The device is simulated: a batch of any size takes `--batch-ms` and no CPU, as on a GPU that it does
not fill. All else is real, and needs the CPU: resampling, spectra, residuals, rows. So it shows how
many of the batches' places are filled and how long the device waits, not how fast a GPU is.
"""

import argparse
import json
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from separator.audio.renditions import Edits
from separator.model import forward
from separator.model.engine import Engine
from separator.model.resunet import NetworkConfig, ResUNet
from separator.model.sharing import SHARED_FRAMES
from separator.rows import STEM, Asset, SpanRow, TrackInfo, WorkItem
from separator.stages.separate import SeparatorStage

HZ, CLIP_S = 32_000, 10
QUERIES = ("a", "b")
CONFIG = NetworkConfig(n_fft=1024, hop=320, widths=(1, 1, 1, 1, 1, 1), condition_size=8)


class Device:
    """Counts its batches and the time that it is at work."""

    def __init__(self, batch_s: float) -> None:
        self.batch_s, self.num_batches = batch_s, 0

    def __call__(self, x_BNF: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        self.num_batches += 1
        time.sleep(self.batch_s)
        return x_BNF.new_full((*x_BNF.shape, 2), 0.5)


def measure(clips: list[SpanRow], at_once: int, batch_s: float) -> dict[str, Any]:
    torch.manual_seed(0)
    net = ResUNet(CONFIG).eval().requires_grad_(False)
    engine = Engine(net, "cpu", "fp32", memory_bytes=1 << 34, is_shared=at_once > 1)
    device = Device(batch_s)
    engine.forward.net.forward = device  # pyright: ignore[reportAttributeAccessIssue]
    rows_QD = np.eye(8, dtype=np.float32)
    conditions = {f"of {name}": rows_QD[i] for i, name in enumerate(QUERIES)}
    stage = SeparatorStage(engine, conditions, Edits("per_query", 24))
    started = time.perf_counter()
    with ThreadPoolExecutor(at_once) as threads:
        num_rows = sum(threads.map(lambda row: len(list(stage(row))), clips))
    seconds = time.perf_counter() - started
    assert num_rows == 2 * len(QUERIES) * len(clips)
    return {
        "spans_at_once": at_once,
        "clips_per_s": round(len(clips) / seconds, 1),
        "batches": device.num_batches,
        "windows_per_batch": round(len(QUERIES) * len(clips) / device.num_batches, 2),
        "device_busy": round(device.num_batches * batch_s / seconds, 3),
    }


def make_clips(count: int) -> list[SpanRow]:
    rng = np.random.default_rng(0)
    samples_CT = (0.1 * rng.standard_normal((1, CLIP_S * HZ))).astype(np.float32)
    items = tuple(WorkItem(name, STEM, name, f"of {name}") for name in QUERIES)
    track = TrackInfo(0, HZ, 1)
    return [
        SpanRow(Asset(f"{i}.wav", f"{i}", "", 0, "", items), track, 1, core_start=0,
                core_stop=samples_CT.shape[1], samples=samples_CT)
        for i in range(count)
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--batch-ms", type=float, default=30.0)
    parser.add_argument("--out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for kind in forward.LARGEST_BATCH_FRAMES:
        forward.LARGEST_BATCH_FRAMES[kind] = SHARED_FRAMES  # as on a GPU
    clips = make_clips(options.clips)
    found = []
    for at_once in (1, 2, 4, 8):
        found.append(measure(clips, at_once, options.batch_ms / 1_000))
        print(json.dumps(found[-1]), flush=True)
    if options.out:
        result = {"machine": platform.platform(), "batch_ms": options.batch_ms, "results": found}
        Path(options.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
