"""Subtract stems from their track (residuals) and mix both anew (renditions). Pure.

Residuals are exact: stems are rounded as they will be written, and subtracted as integers.
Shapes: C channels, T samples.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from separator.audio.loudness import SILENCE_LUFS
from separator.audio.window import Times
from separator.rows import RENDITION, RESIDUAL, STEM

RESIDUALS = ("none", "per_query", "joint")

REMUXES = ("none", "replace", "add")
JOINT = "all"  # the name of the one residual of all stems


@dataclass(frozen=True)
class Rendition:
    """A mix: each named stem times its factor, everything else times `rest`."""

    name: str
    gains: Mapping[str, float] = field(default_factory=dict)
    rest: float = 1.0
    within_s: Sequence[Times] = ()  # where the mix applies; empty: everywhere
    where_heard: bool = False  # only where one of its queries is heard: presence gives `within_s`
    fade_s: float = 0.02
    loudness_lufs: float | None = None  # of the finished mix; None: not adjusted
    true_peak_dbtp: float = -1.0  # limits the gain towards `loudness_lufs`


@dataclass(frozen=True)
class Edits:
    """The products beside stems. Residuals need `bits`, the size of the written integers."""

    residual: str = "none"
    bits: int | None = None
    renditions: tuple[Rendition, ...] = ()


@dataclass(frozen=True)
class Product:
    """One stem, residual or rendition of a span."""

    kind: str
    name: str
    samples: np.ndarray  # (C, T)
    null_error: float = 0.0  # of a residual: largest difference of stem + residual to the track
    is_silent: bool = False  # a stem whose query is not heard: it has no samples


class Editor:
    """Turn the stems of one span, added one by one, into products; stems are not kept."""

    def __init__(
        self,
        input_CT: np.ndarray,
        start: int,
        rate_hz: int,
        edits: Edits,
    ) -> None:
        """Prepare the mixes of a span that begins at sample `start` of its track."""
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
        """The span's input as integers (C, T); first used after a stem, so samples are finite."""
        return round_samples(self.input_CT, self.bits)

    def add(self, name: str, stem_CT: np.ndarray | None) -> Iterator[Product]:
        """Yield the stem, and its residual if there is one per query. None: the stem is silent."""
        if stem_CT is None:
            yield Product(STEM, name, self.input_CT[:0], is_silent=True)
            if self.residual == "per_query":
                yield self._subtract(name, np.zeros(self.input_CT.shape, np.int64))
            return
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
        """Yield the joint residual and the renditions, after the last stem."""
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
        # Verify: the samples in the two files against the decoded ones.
        off_CT = written_CT + limit(rest_CT, self.bits) - self.whole
        error = float(np.abs(off_CT).max(initial=0)) / 2 ** (self.bits - 1)
        return Product(RESIDUAL, name, to_samples(rest_CT, self.bits), error)


def round_samples(samples_CT: np.ndarray, bits: int) -> np.ndarray:
    """Round to integers as the encoder does (ties to even), without clipping."""
    return np.rint(samples_CT * np.float32(2 ** (bits - 1))).astype(np.int64)


def limit(integers_CT: np.ndarray, bits: int) -> np.ndarray:
    """Clip to the integers that fit into a file."""
    return np.clip(integers_CT, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def to_samples(integers_CT: np.ndarray, bits: int) -> np.ndarray:
    """Convert integers to samples; exact up to twice full scale, where the encoder clips anyway."""
    return (integers_CT * 2.0 ** (1 - bits)).astype(np.float32)


def shape_fades(at: range, rate_hz: int, within_s: Sequence[Times], fade_s: float) -> np.ndarray:
    """Compute the share (T,) of the mix at samples `at` of the track: 1 within, 0 outside.

    A raised cosine of `fade_s` lies inside either end; a stretch from 0 s is not faded in.
    Stretches that touch or overlap are one.
    """
    time_s = np.asarray(at) / rate_hz
    share_T = np.zeros(len(at))
    for first_s, last_s in merge_times(within_s, 0.0):
        fade = max(min(fade_s, (last_s - first_s) / 2), 1 / rate_hz)
        inner = (time_s >= first_s) & (time_s < last_s)
        up_T = np.ones(len(at)) if first_s <= 0 else (time_s - first_s) / fade
        down_T = (last_s - time_s) / fade if math.isfinite(last_s) else np.ones(len(at))
        ramp_T = np.clip(np.minimum(up_T, down_T), 0, 1)
        share_T = np.maximum(share_T, inner * (0.5 - 0.5 * np.cos(np.pi * ramp_T)))
    return share_T.astype(np.float32)


def merge_times(times: Iterable[Times], gap_s: float) -> list[Times]:
    """Merge stretches (start, stop) with at most `gap_s` between them; return them sorted."""
    merged: list[Times] = []
    for start_s, stop_s in sorted(times):
        if merged and start_s - merged[-1][1] <= gap_s:
            start_s, before_s = merged.pop()
            stop_s = max(stop_s, before_s)
        merged.append((start_s, stop_s))
    return merged


def choose_gain(loudness_lufs: float, true_peak_dbtp: float, rendition: Rendition) -> float:
    """Choose the factor that brings a mix to its loudness, as far as its peak allows."""
    if rendition.loudness_lufs is None or loudness_lufs <= SILENCE_LUFS:
        return 1.0
    gain_db = rendition.loudness_lufs - loudness_lufs
    return 10 ** (min(gain_db, rendition.true_peak_dbtp - true_peak_dbtp) / 20)
