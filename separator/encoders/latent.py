"""Turn example sounds into the condition of a zero-shot separator: a mean of latent embeddings.

There are two rules. `official` is the rule of the paper's code: pieces of 2 s from the start; the
remainder and quiet pieces are dropped. `uss` is the rule of the later USS: silence is cut out
first, and the last piece is repeated up to 2 s instead of being dropped. Both take the mean over
the pieces of each sound, then over the sounds.

Shapes: C channels, T samples, P pieces, Q conditions, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from separator.audio.arrays import as_rate, as_tensor
from separator.audio.level import LOUDEST
from separator.audio.resample import resample
from separator.audio.spans import check_rate
from separator.errors import AudioError, QueryError, RateError, RequestError
from separator.model.detector import RATE_HZ, Detector
from separator.model.track import check_samples

Rule = Literal["official", "uss"]
Combine = Literal["mean", "each"]

PIECE = 2 * RATE_HZ
SHORTEST_S = 0.02
QUIET_ENERGY = 0.1  # of a whole piece: an RMS of 0.00125, -58 dBFS
QUIET_POWER = QUIET_ENERGY / PIECE
# Of USS: stretches of a tenth of a second without a sample above this are silence.
SILENCE_SAMPLES, SILENCE_PEAK = RATE_HZ // 10, 0.02


@dataclass(frozen=True)
class LatentQuery:
    """Conditions (Q, D) of example sounds: one in all, or one for each sound.

    `spread` tells how much the pieces differ: 1 minus the mean cosine of all pairs, 0 for one
    piece. If it is large, the examples hold different sounds, whose mean is like none of them.
    """

    conditions: np.ndarray
    num_pieces: int
    spread: float

    def __post_init__(self) -> None:
        assert self.conditions.ndim == 2 and self.num_pieces >= len(self.conditions) >= 1


def encode_sounds(
    detector: Detector,
    sounds: Sequence[tuple[np.ndarray | Tensor, int]],
    rule: Rule = "official",
    combine: Combine = "mean",
) -> LatentQuery:
    """Encode example sounds, pairs of samples (C, T) and rate, of 0.02 s or more each."""
    if rule not in get_args(Rule):
        raise RequestError(f"rule={rule!r}: must be one of {get_args(Rule)}")
    if combine not in get_args(Combine):
        raise RequestError(f"combine={combine!r}: must be one of {get_args(Combine)}")
    if not sounds:
        raise QueryError("no example sounds: at least one is needed")
    embedded = [
        embed_sound(detector, *sound, f"example sound {number} of {len(sounds)}", rule)
        for number, sound in enumerate(sounds, start=1)
    ]
    means_QD = np.stack([pieces_PD.mean(0) for pieces_PD in embedded])
    if combine == "mean":
        means_QD = means_QD.mean(0, keepdims=True)
    all_PD = np.concatenate(embedded)
    return LatentQuery(means_QD.astype(np.float32), len(all_PD), measure_spread(all_PD))


def embed_sound(
    detector: Detector,
    waveform: np.ndarray | Tensor,
    rate_hz: int,
    which: str,
    rule: Rule = "official",
) -> np.ndarray:
    """Return the embeddings (P, D) of a sound's pieces; `which` names the sound in errors."""
    mono_1T, rate_hz = average_channels(waveform, rate_hz, which)
    mono_T = resample(mono_1T, rate_hz, RATE_HZ)[0]
    pieces = cut_pieces(mono_T) if rule == "official" else cut_pieces_uss(mono_T)
    if not pieces:
        heard = "2 s are above -58 dBFS" if rule == "official" else f"peak is > {SILENCE_PEAK}"
        raise QueryError(
            f"{which} is silent (with its channels averaged, of no piece the {heard}): leave it out"
        )
    return detector.infer(torch.stack(pieces)).latent.double().numpy()


def average_channels(waveform: np.ndarray | Tensor, rate_hz: int, which: str) -> tuple[Tensor, int]:
    """Return (mono samples (1, T), rate) of an example sound; refuse what cannot be one."""
    samples_CT, rate_hz = as_tensor(waveform, which), as_rate(rate_hz)
    try:
        check_rate(rate_hz)
        check_samples(samples_CT)
    except (AudioError, RateError) as error:
        raise type(error)(f"{which}: {error}") from None
    if (seconds := samples_CT.shape[1] / rate_hz) < SHORTEST_S:
        raise AudioError(f"{which} has {seconds:.4f} s: {SHORTEST_S} s are needed")
    if (peak := samples_CT.abs().max().item()) > LOUDEST:
        raise AudioError(
            f"{which} has samples of up to {peak:.3g}, full scale is 1.0: leave it out"
        )
    return samples_CT.double().mean(0, keepdim=True).float(), rate_hz


def cut_pieces(mono_T: Tensor) -> list[Tensor]:
    """Cut a sound by the official rule; one below 2 s, which the official code refuses, is one
    piece."""
    whole = max(1, len(mono_T) // PIECE)
    pieces = [mono_T[i * PIECE : (i + 1) * PIECE] for i in range(whole)]
    return [piece_T for piece_T in pieces if is_loud(piece_T)]


def is_loud(piece_T: Tensor) -> bool:
    return bool(piece_T.double().square().mean() > QUIET_POWER)


def cut_pieces_uss(mono_T: Tensor) -> list[Tensor]:
    """Cut a sound by the rule of USS."""
    stretches = mono_T.split(SILENCE_SAMPLES)
    loud = [stretch for stretch in stretches if stretch.abs().max() > SILENCE_PEAK]
    if not loud:
        return []
    pieces = torch.cat(loud).split(PIECE)
    return [piece_T.repeat(-(-PIECE // len(piece_T)))[:PIECE] for piece_T in pieces]


def measure_spread(pieces_PD: np.ndarray) -> float:
    """Return 1 minus the mean cosine of all pairs of pieces."""
    count = len(pieces_PD)
    if count == 1:
        return 0.0
    unit_PD = pieces_PD / np.linalg.norm(pieces_PD, axis=1, keepdims=True)
    total = float(np.square(unit_PD.sum(0)).sum())
    return 1 - (total - count) / (count * (count - 1))
