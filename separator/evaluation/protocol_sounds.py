"""Make the mixture and the target of a case by its protocol's rule, in float32.

Shapes: T samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from separator.errors import AudioError, RequestError
from separator.evaluation.case_metrics import convert
from separator.evaluation.generated_cases import make_generated
from separator.evaluation.protocol import Protocol
from separator.evaluation.protocol_cases import ProtocolCase
from separator.storage import Storage
from separator.train.mixer import declip
from separator.train.sound_lists import read_rate, read_whole

MAX_SNR_DB = 200
FIRST = 3  # cases whose rates are checked before anything is scored


@dataclass(frozen=True)
class CaseSounds:
    """The mixture for the model, and the target of its stem; equal in rate and length."""

    mixture: np.ndarray  # (T,)
    target: np.ndarray  # (T,)
    rate_hz: int


def make_sounds(storage: Storage, protocol: Protocol, case: ProtocolCase) -> CaseSounds:
    """Read and mix the sounds of a case, at the rate at which the model gets the mixture."""
    if protocol.mixing == "generated":
        mixture_T, target_T = make_generated(protocol.generated, case.columns, protocol.rate_hz)
        return CaseSounds(mixture_T, target_T, protocol.rate_hz)
    read = {
        part: read_at(storage, entry.uri, protocol.rate_hz) for part, entry in case.files.items()
    }
    target_T = read["target"]
    if protocol.mixing == "given":
        mixture_T = read["mixture"]
    elif protocol.mixing == "at_snr":
        mixture_T, target_T = mix_at_snr(target_T, read["noise"], read_snr(case))
    else:
        halves = [
            take_middle(read[part], read_middle_s(case, prefix), protocol) / np.float32(2)
            for part, prefix in (("target", ""), ("noise", "noise_"))
        ]
        mixture_T, target_T = halves[0] + halves[1], halves[0]
    if len(mixture_T) != len(target_T):
        raise AudioError(
            f"case {case.number}: its mixture has {len(mixture_T)} samples and its target "
            f"{len(target_T)}: they must be equal"
        )
    hears_hz = protocol.separate_hz or protocol.rate_hz
    mixture_T, target_T = (convert(x, protocol.rate_hz, hears_hz) for x in (mixture_T, target_T))
    return CaseSounds(mixture_T, target_T, hears_hz)


def check_rates(storage: Storage, protocol: Protocol, cases: Sequence[ProtocolCase]) -> None:
    """Refuse data of another rate before anything is scored."""
    for case in cases[:FIRST]:
        for entry in case.files.values():
            check_rate(entry.uri, read_rate(storage, entry.uri), protocol.rate_hz)


def check_rate(uri: str, found_hz: int, wanted_hz: int) -> None:
    if found_hz != wanted_hz:
        raise RequestError(
            f"{uri}: {found_hz} Hz; the files of this protocol have {wanted_hz}: convert them all, "
            "or set protocol.rate_hz"
        )


def read_at(storage: Storage, uri: str, rate_hz: int) -> np.ndarray:
    """Read a file (T,) that must have this rate, its channels averaged."""
    check_rate(uri, read_rate(storage, uri), rate_hz)
    return read_whole(storage, uri, rate_hz)


def read_snr(case: ProtocolCase) -> float:
    """Read the level of the target against the noise."""
    try:
        snr_db = float(case.columns["snr"])
    except ValueError:
        snr_db = math.nan
    if not abs(snr_db) <= MAX_SNR_DB:
        raise RequestError(
            f"case {case.number}: snr={case.columns['snr']!r}: must be a number of dB from "
            f"{-MAX_SNR_DB} to {MAX_SNR_DB}"
        )
    return snr_db


def mix_at_snr(
    target_T: np.ndarray, noise_T: np.ndarray, snr_db: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mix as DCASE 2024 Task 9 does: if the mixture clips, both are scaled to a peak of 0.9."""
    if len(target_T) != len(noise_T):
        raise AudioError(f"target and noise have {len(target_T)} and {len(noise_T)} samples")
    powers = [float(np.mean(x_T**2)) for x_T in (target_T, noise_T)]
    if not powers[1]:
        raise AudioError("the noise is silent: no gain gives it a level")
    gain = np.float32(np.sqrt(powers[0] / 10 ** (snr_db / 10) / powers[1]))
    mixture_T, target_T = declip(target_T + gain * noise_T, target_T)
    return mixture_T, target_T


def read_middle_s(case: ProtocolCase, prefix: str) -> float:
    """Return the middle of the frame in the middle of the video, at one frame a second."""
    num_frames = case.columns[f"{prefix}num_frames"].strip()
    if not num_frames.isdecimal():
        raise RequestError(f"{prefix}num_frames={num_frames!r}: must be a whole number")
    return int(num_frames) // 2 - 0.5


def take_middle(sound_T: np.ndarray, middle_s: float, protocol: Protocol) -> np.ndarray:
    """Take the samples around a time as CLIPSep does: a short sound is repeated first, missing
    samples are zero, and so is the last sample of an odd number."""
    half, rate_hz = protocol.num_samples // 2, protocol.rate_hz
    if len(sound_T) < protocol.num_samples:
        sound_T = np.tile(sound_T, protocol.num_samples // len(sound_T) + 1)
    middle = int(middle_s * rate_hz)
    start, stop = max(0, middle - half), min(len(sound_T), middle + half)
    taken_T = np.zeros(protocol.num_samples, np.float32)
    if stop > start:
        taken_T[half - (middle - start) : half + (stop - middle)] = sound_T[start:stop]
    return np.clip(taken_T, -1, 1)
