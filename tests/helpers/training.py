"""Make the sounds and the encoder of a small training, and run it as a user would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch

from separator.encoders.mini import MiniEncoder, write_mini
from separator.encoders.words import collect_words

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs/train-mini.yaml"
RATE_HZ = 32_000
KINDS = {
    "hum": ("hum", "a low hum"),
    "hiss": ("hiss", "steady hissing"),
    "beep": ("beep", "a beeping tone"),
}
TINY = [
    "net.widths=[4,4,4,4,4,4]",
    "net.n_fft=256",
    "net.hop=128",
    "data.segment_s=0.5",
    "data.real_ratio=-1",
    "optim.batch=2",
    "optim.autocast=false",
]


def make_kind(kind: str, seed: int, num_samples: int) -> np.ndarray:
    rng, t = np.random.default_rng(seed), np.arange(num_samples) / RATE_HZ
    if kind == "hiss":
        return 0.1 * rng.standard_normal(num_samples)
    freq_hz = 60 if kind == "hum" else 1_000
    return 0.2 * np.sin(2 * np.pi * freq_hz * (1 + 0.1 * rng.random()) * t + rng.random())


def write_sounds_list(folder: Path) -> Path:
    """Write four sounds of each kind and the list that names them."""
    rows = []
    for kind, captions in KINDS.items():
        for seed in range(4):
            name = f"{kind}-{seed}.wav"
            soundfile.write(folder / name, make_kind(kind, seed, 2 * RATE_HZ), RATE_HZ)
            rows.append({"audio": name, "captions": captions, "kind": kind})
    return write_rows(folder / "sounds.jsonl", rows)


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_encoder(path: Path) -> Path:
    """Write an untrained encoder that knows the words of all captions."""
    torch.manual_seed(0)
    words = collect_words([caption for captions in KINDS.values() for caption in captions])
    write_mini(path, MiniEncoder(words).eval())
    return path


def list_train_arguments(output: Path | str, sounds: Path, encoder: Path, *more: str) -> list[str]:
    """List the arguments of `jobs.train` for a tiny network."""
    named = [f"output={output}", "name=run", f"encoder={encoder}", f"data.lists=[{sounds}]"]
    return [str(CONFIG), *named, *TINY, *more]


def start_training(arguments: list[str]) -> subprocess.Popen:
    """Start `python -m jobs.train` in a process and a Ray of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def find_newest(output: Path) -> Path:
    """Find the newest checkpoint folder of the run."""
    return max((output / "run").glob("checkpoint_*/"), key=lambda path: path.stat().st_mtime)


def read_history(output: Path) -> list[dict]:
    """Read the figures of every step from the newest checkpoint."""
    return read_rows(find_newest(output) / "metrics.jsonl")
