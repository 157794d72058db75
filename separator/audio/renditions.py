"""What is left of a track without its stems, and new mixes of both. Pure functions on arrays.

Residuals are exact: stems are rounded as they will be written, and subtracted as integers.
Shapes: C channels, T samples.
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from separator.audio.loudness import SILENCE_LUFS
from separator.rows import RENDITION, RESIDUAL, STEM

RESIDUALS = ("none", "per_query", "joint")

REMUXES = ("none", "replace", "add")
JOINT = "all"  # the name of the one residual of all stems


@dataclass(frozen=True)
class Rendition:
    """A mix: each named stem by its factor, everything else by `rest`."""

    name: str
    gains: Mapping[str, float] = field(default_factory=dict)
    rest: float = 1.0
    within_s: Sequence[tuple[float, float]] = ()  # only there; empty: everywhere
    fade_s: float = 0.02
    loudness_lufs: float | None = None  # of the whole, afterwards
    true_peak_dbtp: float = -1.0  # a ceiling for that


@dataclass(frozen=True)
class Edits:
    """What is written beside stems. `bits`: of the integers in the files; residuals need them."""

    residual: str = "none"
    bits: int | None = None
    renditions: tuple[Rendition, ...] = ()


@dataclass(frozen=True)
class Product:
    """One sound of a span that is written."""

    kind: str
    name: str
    samples: np.ndarray  # (C, T)
    null_error: float = 0.0  # of a residual: how far stem + residual is off, at most
    similarity: float = math.nan  # to what was asked for


class Editor:
    """Takes the stems of one span in turn; holds one sum for each mix, not the stems."""

    def __init__(
        self,
        input_CT: np.ndarray,
        start: int,
        rate_hz: int,
        edits: Edits,
    ) -> None:
        """`start`: sample of the track where the span begins."""
        self.input_CT, self.start, self.rate_hz = input_CT, start, rate_hz
        self.residual = edits.residual
        self.bits = 0
        if self.residual != "none":
            assert edits.bits is not None
            self.bits = edits.bits
            self.sum_CT = np.zeros(input_CT.shape, np.int64)
        self.mixes = [(each, np.float32(each.rest) * input_CT) for each in edits.renditions]

    @functools.cached_property
    def whole(self) -> np.ndarray:
        """The track as integers (C, T), made when a stem has come: then its samples are finite."""
        return round_samples(self.input_CT, self.bits)

    def add(self, name: str, stem_CT: np.ndarray) -> Iterator[Product]:
        """The stem, and its residual where each has one."""
        if self.residual == "none":
            yield Product(STEM, name, stem_CT)
        else:
            rounded_CT = round_samples(stem_CT, self.bits)
            stem_CT = to_samples(rounded_CT, self.bits)
            yield Product(STEM, name, stem_CT)
            written_CT = limit(rounded_CT, self.bits)
            if self.residual == "per_query":
                yield self._subtract(name, written_CT)
            else:
                self.sum_CT += written_CT
        for rendition, mix_CT in self.mixes:
            factor = rendition.gains.get(name, rendition.rest) - rendition.rest
            if factor:
                mix_CT += np.float32(factor) * stem_CT

    def finish(self) -> Iterator[Product]:
        """What needs all stems."""
        if self.residual == "joint":
            yield self._subtract(JOINT, self.sum_CT)
        for rendition, mix_CT in self.mixes:
            if rendition.within_s:
                at = range(self.start, self.start + mix_CT.shape[1])
                share_T = shape_fades(at, self.rate_hz, rendition.within_s, rendition.fade_s)
                mix_CT = self.input_CT + share_T * (mix_CT - self.input_CT)
            yield Product(RENDITION, rendition.name, mix_CT)

    def _subtract(self, name: str, written_CT: np.ndarray) -> Product:
        rest_CT = self.whole - written_CT
        # Verified as a reader would: what will be in the two files, against what was decoded.
        off_CT = written_CT + limit(rest_CT, self.bits) - self.whole
        error = float(np.abs(off_CT).max(initial=0)) / 2 ** (self.bits - 1)
        return Product(RESIDUAL, name, to_samples(rest_CT, self.bits), error)


def round_samples(samples_CT: np.ndarray, bits: int) -> np.ndarray:
    """As integers, ties to even, as they are written; beyond full scale too."""
    return np.rint(samples_CT * np.float32(2 ** (bits - 1))).astype(np.int64)


def limit(integers_CT: np.ndarray, bits: int) -> np.ndarray:
    """What fits into a file."""
    return np.clip(integers_CT, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def to_samples(integers_CT: np.ndarray, bits: int) -> np.ndarray:
    """Exact up to twice full scale; what is beyond is clipped when it is written."""
    return (integers_CT * 2.0 ** (1 - bits)).astype(np.float32)


def shape_fades(
    at: range, rate_hz: int, within_s: Sequence[tuple[float, float]], fade_s: float
) -> np.ndarray:
    """(T,): 1 within, 0 without, a raised cosine of `fade_s` inside of either end. What begins
    with the track is not faded in. `at`: samples of the track."""
    time_s = np.asarray(at) / rate_hz
    share_T = np.zeros(len(at))
    for first_s, last_s in within_s:
        fade = max(min(fade_s, (last_s - first_s) / 2), 1 / rate_hz)
        inner = (time_s >= first_s) & (time_s < last_s)
        up_T = np.ones(len(at)) if first_s <= 0 else (time_s - first_s) / fade
        down_T = (last_s - time_s) / fade if math.isfinite(last_s) else np.ones(len(at))
        ramp_T = np.clip(np.minimum(up_T, down_T), 0, 1)
        share_T = np.maximum(share_T, inner * (0.5 - 0.5 * np.cos(np.pi * ramp_T)))
    return share_T.astype(np.float32)


def choose_gain(loudness_lufs: float, true_peak_dbtp: float, rendition: Rendition) -> float:
    """The factor that brings a mix to its loudness, as far as its peak allows."""
    if rendition.loudness_lufs is None or loudness_lufs <= SILENCE_LUFS:
        return 1.0
    gain_db = rendition.loudness_lufs - loudness_lufs
    return 10 ** (min(gain_db, rendition.true_peak_dbtp - true_peak_dbtp) / 20)
