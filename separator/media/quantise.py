"""Convert float samples to the integers to write: rounded, clipped, counted, never wrapped.

Shapes: C channels, T samples.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from separator.errors import NonFiniteAudio

DITHERS = ("none", "triangular")
DITHER_SEED = 25


def full_scale(bits: int | None, dither: str = "none") -> float:
    """Return the peak that `clip=scale` scales to: two steps below 1.0 (three with dither), so
    that rounding cannot reach the limit; 1.0 for floats."""
    if bits is None:
        return 1.0
    return 1.0 - (3 if dither != "none" else 2) / 2 ** (bits - 1)


def find_peak(block_CT: np.ndarray) -> float:
    """Return the largest magnitude; NonFiniteAudio if a sample is NaN or infinite."""
    peak = float(np.max(np.abs(block_CT), initial=0.0))
    if not np.isfinite(peak):
        raise NonFiniteAudio(f"peak={peak}: samples must be finite to be written")
    return peak


def quantise(
    blocks: Iterable[np.ndarray], bits: int, gain: float = 1.0, dither: str = "none"
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield (int32 (T, C) in the range of `bits`, number of samples clipped) per block (C, T).

    Ties go to the even integer. The dither is the same noise on every run and for any block size.
    """
    assert dither in DITHERS, dither
    noise = np.random.Generator(np.random.PCG64(DITHER_SEED))
    steps = 2.0 ** (bits - 1)
    # float32 holds 24 bits and a sign: only powers of two scale exactly.
    kind = np.float32 if gain == 1.0 and dither == "none" else np.float64
    for block_CT in blocks:
        scaled_TC = block_CT.T.astype(kind) * kind(gain * steps)
        if dither == "triangular":
            draws = noise.random((*scaled_TC.shape, 2))
            scaled_TC += draws[..., 0] - draws[..., 1]
        np.rint(scaled_TC, out=scaled_TC)
        num_clipped = int(np.count_nonzero((scaled_TC < -steps) | (scaled_TC > steps - 1)))
        if num_clipped:
            np.clip(scaled_TC, -steps, steps - 1, out=scaled_TC)
        yield scaled_TC.astype(np.int32, order="C"), num_clipped
