"""Make the sounds of a small training list."""

import numpy as np

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
