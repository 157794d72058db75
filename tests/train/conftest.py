"""A small list of sounds in files, as training meets them."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE_HZ = 32_000
KINDS = {
    "hum": ("hum", "a low hum"),
    "hiss": ("hiss", "steady hissing"),
    "beep": ("beep", "a beeping tone"),
}


def make_kind(kind: str, seed: int, num_samples: int) -> np.ndarray:
    rng, t = np.random.default_rng(seed), np.arange(num_samples) / RATE_HZ
    if kind == "hiss":
        return 0.1 * rng.standard_normal(num_samples)
    freq_hz = 60 if kind == "hum" else 1_000
    return 0.2 * np.sin(2 * np.pi * freq_hz * (1 + 0.1 * rng.random()) * t + rng.random())


@pytest.fixture(scope="session")
def sounds_list(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    rows = []
    for kind, captions in KINDS.items():
        for seed in range(4):
            name = f"{kind}-{seed}.wav"
            soundfile.write(folder / name, make_kind(kind, seed, 2 * RATE_HZ), RATE_HZ)
            rows.append({"audio": name, "captions": captions, "kind": kind})
    path = folder / "sounds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
