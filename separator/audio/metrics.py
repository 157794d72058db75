"""Compute the quality of a stem in decibels against its reference. Pure functions on arrays.

Most definitions are those of AudioSep's benchmark: SDR is the plain ratio of signal to difference,
without any allowed distortion; SDRi is its gain over the mixture; SI-SDR first scales the target.
`compute_window_sdr_db` is the SDR of BSSEval v4 (museval), which is the same ratio, in windows and
without a floor: the distortion filters of BSSEval v4 enter only its other figures.

Shapes: T samples, any leading dimensions; S stems, C channels, W windows.
"""

from collections.abc import Iterable

import numpy as np

from separator.errors import AudioError

# -100 dB: keeps the figures of silence finite.
FLOOR = 1e-10
# -80 dB: the floor of zero-shot separation's figure for silence.
QUIETEST = 1e-8


def compute_sdr_db(estimate: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Compute 10 log10 of target energy over the energy of the difference; not scale-invariant."""
    target = target.astype(np.float64)
    error = np.square(target - estimate).mean(-1)
    return 10 * np.log10((np.square(target).mean(-1) + FLOOR) / (error + FLOOR))


def compute_sdri_db(estimate: np.ndarray, target: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Compute the SDR of the estimate minus the SDR of the unchanged mixture."""
    return compute_sdr_db(estimate, target) - compute_sdr_db(mixture, target)


def compute_si_sdr_db(estimate: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Compute the SDR against the multiple of the target that is nearest to the estimate."""
    target, estimate = target.astype(np.float64), estimate.astype(np.float64)
    energy = np.square(target).sum(-1, keepdims=True)
    scaled = (estimate * target).sum(-1, keepdims=True) / (energy + FLOOR) * target
    error = np.square(estimate - scaled).mean(-1)
    return 10 * np.log10((np.square(scaled).mean(-1) + FLOOR) / (error + FLOOR))


def compute_level_db(x: np.ndarray) -> np.ndarray:
    """Compute the RMS level against full scale."""
    return 10 * np.log10(np.square(x.astype(np.float64)).mean(-1) + FLOOR)


def compute_window_sdr_db(
    estimates_SCT: np.ndarray, references_SCT: np.ndarray, window: int, hop: int | None = None
) -> np.ndarray:
    """Compute the SDR (S, W) of each whole window, by default one after the other.

    A window in which any of the estimates or references is silent (its channels add up to zero
    throughout) is NaN for all of them, as in museval; an estimate without an error is infinite.
    """
    if estimates_SCT.shape != references_SCT.shape:
        raise AudioError(
            f"estimates {estimates_SCT.shape} and references {references_SCT.shape}: "
            "bring them to one shape"
        )
    hop = hop or window
    starts = range(0, references_SCT.shape[-1] - window + 1, hop)
    sdr_SW = np.full((len(references_SCT), len(starts)), np.nan)
    for w, start in enumerate(starts):
        estimate, reference = (
            x[..., start : start + window].astype(np.float64)
            for x in (estimates_SCT, references_SCT)
        )
        sounding = [x.sum(1).any(-1).all() for x in (estimate, reference)]
        if not all(sounding):
            continue
        error = np.square(reference - estimate).sum((1, 2))
        with np.errstate(divide="ignore"):  # no error at all
            sdr_SW[:, w] = 10 * np.log10(np.square(reference).sum((1, 2)) / error)
    return sdr_SW


def compute_quieting_db(heard_T: np.ndarray, stem_T: np.ndarray) -> float:
    """Compute by how much a stem is quieter than the input `heard_T`, down to -80 dBFS."""
    heard, left = (
        max(QUIETEST, float(np.square(x.astype(np.float64)).mean())) for x in (heard_T, stem_T)
    )
    return 10 * float(np.log10(heard / left))


def take_median(figures: Iterable[float]) -> float:
    """Return the median of the figures that are not NaN; NaN if there are none."""
    left = [figure for figure in figures if not np.isnan(figure)]
    return float(np.median(left)) if left else float("nan")
