"""Score a model on one song of MUSDB18, and make the conditions of one training song.

There are two protocols. `paper` is the zero-shot paper's: mono, 32 kHz, pieces of 2 s that are
separated alone, one Wiener step over the four stems. `community` is the one that music separation
uses: stereo at the files' rate, BSSEval v4 in windows of 1 s. In both, a song's figure is the
median over its pieces or windows, and the final figure is the median over songs.

Shapes: C channels, T samples, P pieces, Q stems in the order of STEMS, D condition, N frames,
F bins.
"""

from dataclasses import dataclass

import numpy as np
import torch

from separator.audio.metrics import compute_window_sdr_db, take_median
from separator.audio.resample import resample
from separator.audio.wiener import filter_jointly
from separator.evaluation.by_examples import (
    ByExamples,
    encode_sound,
    invert,
    separate_alone,
    transform,
)
from separator.evaluation.case_metrics import measure_whole_sdr
from separator.evaluation.musdb_songs import MIXTURE, STEMS, Song, read_song
from separator.evaluation.over_units import Row
from separator.model.detector import RATE_HZ
from separator.storage import Storage

PIECE = 2 * RATE_HZ
PIECES_AT_ONCE = 8
WINDOW_S = 1


@dataclass(frozen=True)
class SongScorer:
    """Score one song; `conditions` (Q, D) are the same for all songs."""

    model: ByExamples
    conditions: np.ndarray
    mode: str
    uses_wiener: bool
    storage: Storage

    def __call__(self, song: Song) -> list[Row]:
        sounds, rate_hz = read_song(self.storage, song)
        if self.mode == "paper":
            mono = {part: mix_down(sound_CT, rate_hz) for part, sound_CT in sounds.items()}
            sdr, of_mixture = score_pieces(self.model, mono, self.conditions, self.uses_wiener)
        else:
            sdr, of_mixture = score_windows(self.model, sounds, rate_hz, self.conditions)
        return [
            {"song": song.name, "stem": stem, **summarize(sdr[q], of_mixture[q])}
            for q, stem in enumerate(STEMS)
        ]


@dataclass(frozen=True)
class SongListener:
    """Make the conditions of one training song's stems; a silent stem has none."""

    model: ByExamples
    storage: Storage

    def __call__(self, song: Song) -> list[Row]:
        sounds, rate_hz = read_song(self.storage, song, STEMS)
        found = {stem: encode_sound(self.model, sounds[stem], rate_hz) for stem in STEMS}
        return [
            {
                "stem": stem,
                "condition": condition_D.tolist(),
                "has_unit_length": self.model.has_unit_length,
            }
            for stem, condition_D in found.items()
            if condition_D is not None
        ]


def summarize(sdr_W: np.ndarray, of_mixture_W: np.ndarray) -> Row:
    """Summarise the figures of a stem's windows, and those of the mixture in its place."""
    return {
        "sdr_db": take_median(sdr_W),
        "mixture_sdr_db": take_median(of_mixture_W),
        "num_windows": int(np.isfinite(sdr_W).sum() + np.isinf(sdr_W).sum()),
        "num_silent": int(np.isnan(sdr_W).sum()),
    }


def score_windows(
    model: ByExamples, sounds: dict[str, np.ndarray], rate_hz: int, conditions_QD: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the SDR (Q, W) of a song's stems, and that of the mixture in their place."""
    references_QCT = np.stack([sounds[stem] for stem in STEMS])
    stems_QCT = model.separate(sounds[MIXTURE], rate_hz, conditions_QD)
    window = WINDOW_S * rate_hz
    sdr_QW = compute_window_sdr_db(stems_QCT, references_QCT, window)
    mixture_QCT = np.broadcast_to(sounds[MIXTURE], references_QCT.shape)
    return sdr_QW, compute_window_sdr_db(mixture_QCT, references_QCT, window)


def mix_down(sound_CT: np.ndarray, rate_hz: int) -> np.ndarray:
    """Convert a sound to mono at 32 kHz."""
    return resample(torch.from_numpy(sound_CT.mean(0, keepdims=True)), rate_hz, RATE_HZ)[0].numpy()


def score_pieces(
    model: ByExamples, mono: dict[str, np.ndarray], conditions_QD: np.ndarray, uses_wiener: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the SDR (Q, P) of pieces that are separated alone, and that of the mixture.

    Samples after the last whole piece are dropped. A piece whose reference or stem is silent has
    NaN.
    """
    count = len(mono[MIXTURE]) // PIECE
    pieces = {part: x_T[: count * PIECE].reshape(count, PIECE) for part, x_T in mono.items()}
    sdr_QP, of_mixture_QP = np.full((2, len(STEMS), count), np.nan)
    for start in range(0, count, PIECES_AT_ONCE):
        mixture_PT = pieces[MIXTURE][start : start + PIECES_AT_ONCE]
        stems_QPT = separate_pieces(model, mixture_PT, conditions_QD, uses_wiener)
        for q, stem in enumerate(STEMS):
            for p in range(len(mixture_PT)):
                reference_T = pieces[stem][start + p]
                sdr_QP[q, start + p] = measure_whole_sdr(stems_QPT[q, p], reference_T)
                of_mixture_QP[q, start + p] = measure_whole_sdr(mixture_PT[p], reference_T)
    return sdr_QP, of_mixture_QP


def separate_pieces(
    model: ByExamples, mixture_PT: np.ndarray, conditions_QD: np.ndarray, uses_wiener: bool
) -> np.ndarray:
    """Return the stems (Q, P, T) of pieces that are separated alone."""
    if not uses_wiener:
        return separate_alone(model, mixture_PT, conditions_QD)
    magnitudes_QPNF = model.estimate_magnitudes(mixture_PT, conditions_QD)
    spectra_PNF = transform(mixture_PT)
    stems = [
        invert(filter_jointly(spectrum_NF, magnitudes_QPNF[:, p]), mixture_PT.shape[1])
        for p, spectrum_NF in enumerate(spectra_PNF)
    ]
    return np.stack(stems, 1)
