"""Find the loudest stretch of an array of samples, and define what is too loud for a sound.

Shapes: C channels, T samples.
"""

import numpy as np

# Full scale is 1. One damaged sample may be 1e38: in a power spectrum that is infinite.
LOUDEST = 1e6
STEPS = 20  # a stretch is placed to a twentieth of its length


def find_loudest(samples_CT: np.ndarray, num_samples: int) -> slice:
    """Find the `num_samples` consecutive samples with the most energy; all of a shorter array."""
    if samples_CT.shape[1] <= num_samples:
        return slice(0, samples_CT.shape[1])
    step = max(1, num_samples // STEPS)
    energy_T = np.einsum("ct,ct->t", samples_CT, samples_CT)
    sums = np.add.reduceat(energy_T, np.arange(0, energy_T.size, step), dtype=np.float64)
    total = np.concatenate([[0.0], sums.cumsum()])
    width = num_samples // step
    start = int(np.argmax(total[width:] - total[:-width])) * step
    start = min(start, samples_CT.shape[1] - num_samples)  # the last step may be shorter
    return slice(start, start + num_samples)
