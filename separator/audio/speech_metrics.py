"""Compute the quality of cleaned speech as in the tables of Voicebank-DEMAND. Pure functions.

Segmental SNR, log-likelihood ratio (LLR), weighted spectral slope (WSS), and the three composite
scores made of these and PESQ: CSIG (the voice), CBAK (the background), COVL (overall), from 1 to 5.

Two implementations are in use. One divides signals by 32768 inside WSS although they are floats, so
more bands end at the floor: its CSIG is 0.08 to 0.11 higher, CBAK and COVL 0.06 to 0.09. Here
nothing is divided, which is what both do with 16-bit numbers.

Shapes: T samples, K frames, W samples of a frame, L lags, B bands, F bins.
"""

from dataclasses import dataclass

import numpy as np

from separator.errors import AudioError

EPSILON = float(np.finfo(np.float64).eps)
FRAME_S = 0.03
KEPT = 0.95  # of the frames: those with the lowest distances
SEGMENT_DB = (-10.0, 35.0)  # limits of a frame's SNR
LLR_OF_NONE = 1_000.0  # ratio of a frame that has none
BAND_FLOOR_DB = -100.0
GLOBAL_WEIGHT, LOCAL_WEIGHT = 20.0, 1.0
# Critical bands: centres and widths in Hz.
CENTRES_HZ = np.array(
    [50, 120, 190, 260, 330, 400, 470, 540, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30,
     1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17,
     3597.63]
)  # fmt: skip
WIDTHS_HZ = np.array(
    [70, 70, 70, 70, 70, 70, 70, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423,
     153.823, 168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465,
     346.136]
)  # fmt: skip


@dataclass(frozen=True)
class SpeechScores:
    """All scores of one utterance but PESQ itself."""

    ssnr_db: float
    llr: float
    wss: float
    csig: float
    cbak: float
    covl: float


def score_speech(
    estimate_T: np.ndarray, clean_T: np.ndarray, rate_hz: int, pesq: float
) -> SpeechScores:
    """Compute all scores; `pesq` is the wide-band MOS-LQO of the same pair."""
    clean_KW, estimate_KW = cut_both(clean_T, estimate_T, rate_hz)
    ssnr_db = compute_ssnr_db(clean_KW, estimate_KW)
    order = 16 if rate_hz >= 10_000 else 10
    llr = compute_llr(*cut_both(clean_T, estimate_T, rate_hz, EPSILON), order)
    wss = compute_wss(*cut_both(clean_T, estimate_T, rate_hz, EPSILON), rate_hz)
    csig = 3.093 - 1.029 * llr + 0.603 * pesq - 0.009 * wss
    cbak = 1.634 + 0.478 * pesq - 0.007 * wss + 0.063 * ssnr_db
    covl = 1.594 + 0.805 * pesq - 0.512 * llr - 0.007 * wss
    limited = (float(np.clip(score, 1, 5)) for score in (csig, cbak, covl))
    return SpeechScores(ssnr_db, llr, wss, *limited)


def cut_both(
    clean_T: np.ndarray, estimate_T: np.ndarray, rate_hz: int, added: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Cut both signals into windowed frames (K, W) of 30 ms, a quarter of one apart."""
    length = min(len(clean_T), len(estimate_T))
    width = round(FRAME_S * rate_hz)
    hop = width // 4
    count = int(length / hop - width / hop)
    if count < 1:
        raise AudioError(f"{length} samples at {rate_hz} Hz: too short for a frame of 30 ms")
    window_W = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, width + 1) / (width + 1)))
    picked_KW = np.arange(width) + hop * np.arange(count)[:, None]
    signals = [np.asarray(x, np.float64)[:length] + added for x in (clean_T, estimate_T)]
    clean_KW, estimate_KW = (x[picked_KW] * window_W for x in signals)
    return clean_KW, estimate_KW


def compute_ssnr_db(clean_KW: np.ndarray, estimate_KW: np.ndarray) -> float:
    """Compute the mean over frames of their SNR, each within limits."""
    signal_K = np.square(clean_KW).sum(1)
    noise_K = np.square(clean_KW - estimate_KW).sum(1)
    ratio_K = signal_K / (noise_K + EPSILON) + EPSILON
    return float(np.clip(10 * np.log10(ratio_K), *SEGMENT_DB).mean())


def compute_llr(clean_KW: np.ndarray, estimate_KW: np.ndarray, order: int) -> float:
    """Compute how much worse the estimate's linear prediction predicts the clean frames."""
    clean_KL = correlate(clean_KW, order)
    clean_filter_KL, estimate_filter_KL = (
        solve_levinson(lags_KL) for lags_KL in (clean_KL, correlate(estimate_KW, order))
    )
    index = np.abs(np.arange(order + 1)[:, None] - np.arange(order + 1))
    toeplitz_KLL = clean_KL[:, index]
    above_K, below_K = (
        np.einsum("kl,klm,km->k", a_KL, toeplitz_KLL, a_KL)
        for a_KL in (estimate_filter_KL, clean_filter_KL)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_K = above_K / below_K
    ratio_K = np.where(np.isnan(ratio_K), np.inf, ratio_K)
    ratio_K = np.where(ratio_K <= 0, LLR_OF_NONE, ratio_K)
    return take_lowest(np.log(ratio_K))


def correlate(frames_KW: np.ndarray, order: int) -> np.ndarray:
    """Return the autocorrelation (K, L) at lags from 0 to `order`."""
    width = frames_KW.shape[1]
    lags = [
        np.einsum("kw,kw->k", frames_KW[:, : width - lag], frames_KW[:, lag:])
        for lag in range(order + 1)
    ]
    return np.stack(lags, 1)


def solve_levinson(lags_KL: np.ndarray) -> np.ndarray:
    """Return the prediction filters (K, L) 1, -a1, -a2, ... of autocorrelations."""
    order = lags_KL.shape[1] - 1
    a_KL = np.zeros((len(lags_KL), order))
    error_K = lags_KL[:, 0].copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(order):
            known_KL = a_KL[:, :i].copy()
            predicted_K = (known_KL * lags_KL[:, i:0:-1]).sum(1)
            reflection_K = (lags_KL[:, i + 1] - predicted_K) / error_K
            a_KL[:, :i] = known_KL - reflection_K[:, None] * known_KL[:, ::-1]
            a_KL[:, i] = reflection_K
            error_K = (1 - reflection_K**2) * error_K
    return np.concatenate([np.ones((len(a_KL), 1)), -a_KL], 1)


def compute_wss(clean_KW: np.ndarray, estimate_KW: np.ndarray, rate_hz: int) -> float:
    """Compute the distance of spectral slopes, weighted towards peaks of the spectrum."""
    filters_BF = make_bands(rate_hz, clean_KW.shape[1])
    slopes, weights = [], []
    for frames_KW in (clean_KW, estimate_KW):
        energy_KB = measure_bands_db(frames_KW, filters_BF)
        slope_KB = np.diff(energy_KB, axis=1)
        peak_KB = find_peaks(energy_KB, slope_KB)
        below_max_KB = energy_KB.max(1, keepdims=True) - energy_KB[:, :-1]
        weight_KB = GLOBAL_WEIGHT / (GLOBAL_WEIGHT + below_max_KB)
        weight_KB *= LOCAL_WEIGHT / (LOCAL_WEIGHT + peak_KB - energy_KB[:, :-1])
        slopes.append(slope_KB)
        weights.append(weight_KB)
    weight_KB = (weights[0] + weights[1]) / 2
    distance_K = (weight_KB * np.square(slopes[0] - slopes[1])).sum(1) / weight_KB.sum(1)
    return take_lowest(distance_K)


def make_bands(rate_hz: int, width: int) -> np.ndarray:
    """Make the filters (B, F) of the critical bands."""
    num_bins = 2 ** int(np.ceil(np.log2(2 * width))) // 2
    centre_B1 = (CENTRES_HZ / (rate_hz / 2) * num_bins)[:, None]
    width_B1 = (WIDTHS_HZ / (rate_hz / 2) * num_bins)[:, None]
    norm_B1 = (np.log(WIDTHS_HZ[0]) - np.log(WIDTHS_HZ))[:, None]
    bins_F = np.arange(num_bins)
    filters_BF = np.exp(-11 * ((bins_F - np.floor(centre_B1)) / width_B1) ** 2 + norm_B1)
    return filters_BF * (filters_BF > np.exp(-30 / (2 * 2.303)))


def measure_bands_db(frames_KW: np.ndarray, filters_BF: np.ndarray) -> np.ndarray:
    """Return the energies (K, B) of the bands."""
    num_bins = filters_BF.shape[1]
    power_KF = np.abs(np.fft.rfft(frames_KW, 2 * num_bins)[:, :num_bins]) ** 2
    return 10 * np.log10(np.maximum(power_KF @ filters_BF.T, 10 ** (BAND_FLOOR_DB / 10)))


def find_peaks(energy_KB: np.ndarray, slope_KB: np.ndarray) -> np.ndarray:
    """Return the energy (K, B - 1) of the peak that each band's slope leads to.

    Uphill, the official code stops one band short of the top; so does this one.
    """
    num_slopes = slope_KB.shape[1]
    peak_KB = np.empty_like(slope_KB)
    for k, slope_B in enumerate(slope_KB):
        for i in range(num_slopes):
            n = i
            if slope_B[i] > 0:
                while n < num_slopes and slope_B[n] > 0:
                    n += 1
                peak_KB[k, i] = energy_KB[k, n - 1]
            else:
                while n >= 0 and slope_B[n] <= 0:
                    n -= 1
                peak_KB[k, i] = energy_KB[k, n + 1]
    return peak_KB


def take_lowest(distance_K: np.ndarray) -> float:
    """Return the mean of the lowest 95 %."""
    return float(np.sort(distance_K)[: round(KEPT * len(distance_K))].mean())
