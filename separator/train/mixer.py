"""Mix sounds for training as AudioSep does. Pure functions on arrays.

Shapes: T samples.
"""

import numpy as np

CEILING = 0.9


def measure_energy(x_T: np.ndarray) -> float:
    """Return the mean square of the samples."""
    return float(np.mean(np.square(x_T, dtype=np.float64)))


def match_energy(x_T: np.ndarray, reference_T: np.ndarray, gain_db: float) -> np.ndarray:
    """Scale `x_T` to the energy of the reference plus `gain_db`. Silence stays as it is."""
    own, wanted = measure_energy(x_T), measure_energy(reference_T)
    if min(own, wanted) < 1e-12:
        return x_T
    return x_T * np.float32(np.sqrt(wanted / own) * 10 ** (gain_db / 20))


def declip(*arrays: np.ndarray) -> list[np.ndarray]:
    """Scale all arrays by one factor so that the first, if it clips, peaks at 0.9."""
    peak = float(np.abs(arrays[0]).max(initial=0))
    factor = np.float32(CEILING / peak if peak > 1 else 1)
    return [x * factor for x in arrays]


def mix(
    target_T: np.ndarray, others: list[np.ndarray], gains_db: list[float]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the mixture and its sounds, the target first: every other sound has the energy of the
    target plus its gain."""
    mixture_T, sounds = target_T.copy(), [target_T]
    for other_T, gain_db in zip(others, gains_db, strict=True):
        sounds.append(match_energy(other_T, target_T, gain_db))
        mixture_T += sounds[-1]
    mixture_T, *sounds = declip(mixture_T, *sounds)
    return mixture_T, sounds
