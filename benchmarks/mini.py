"""Measure the speed of the bundled model: seconds of sound per second, one query, best of three."""

import os
import time

import numpy as np

from separator import load_model

RATE_HZ = 32_000
SECONDS = 60


def main() -> None:
    model = load_model("mini", device="cpu")
    rng = np.random.default_rng(0)
    waveform = 0.1 * rng.standard_normal((1, SECONDS * RATE_HZ)).astype(np.float32)
    model.separate(waveform, RATE_HZ, ["rain"])  # warms up
    times_s = []
    for _ in range(3):
        start = time.perf_counter()
        model.separate(waveform, RATE_HZ, ["rain"])
        times_s.append(time.perf_counter() - start)
    print(f"mini: {SECONDS / min(times_s):.1f} times real time on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
