"""Listen to a span before it is separated: where each query is heard, and where a gate is open.

Knows detectors and rows, neither storage nor files.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from separator.audio.spans import Span
from separator.audio.window import Times
from separator.detect.curves import (
    AudioSide,
    ByClasses,
    BySimilarity,
    Calibration,
    share_energy,
)
from separator.detect.heard import find_near, hear, smooth_curve
from separator.detect.stretches import Curve, StretchRule
from separator.errors import AudioError
from separator.model.detection import SoundDetector
from separator.rows import (
    CLASSES,
    SIMILARITY,
    STEM_ITSELF,
    AlreadyDone,
    Failed,
    Heard,
    Seconds,
    SpanRow,
    StemRow,
    fail,
)

STEM_ROW_S = 0.08
LOUD_SHARE = 0.1  # share of a row's energy that scores 0.5: a stem 10 dB below the rest


@dataclass(frozen=True)
class ListeningMethod:
    """Name what listens for a query: classes of the detector, or a calibrated similarity."""

    classes: tuple[str, ...] = ()
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Listening:
    """Hold what was heard of a query in a span.

    `near`: the times within `pad_s` of rows that reach the high threshold; renditions apply there.
    `opened`: the times within `pad_s` of rows that reach the low threshold; gates are open there.
    """

    heard: Heard
    near: list[Times]
    opened: list[Times]


class Listener:
    """Listen with a detector and an encoder on one device.

    `methods`: by `WorkItem.condition`. A query without a method is judged by its stem. `pad_s`:
    how far a gate stays open before and after a sound.
    """

    def __init__(
        self,
        methods: Mapping[str, ListeningMethod],
        rule: StretchRule,
        pad_s: float,
        detector: SoundDetector | None = None,
        encoder: AudioSide | None = None,
        unknown: Collection[str] = (),
    ) -> None:
        """`unknown`: queries that mean nothing to the model, so their stems prove nothing."""
        self.methods, self.rule, self.pad_s = methods, rule, pad_s
        self.detector, self.encoder, self.unknown = detector, encoder, frozenset(unknown)

    def listen(
        self,
        samples_CT: torch.Tensor,
        rate_hz: int,
        span: Span,
        conditions: Mapping[str, np.ndarray],
    ) -> dict[str, Listening]:
        """Listen in one span for the queries of these conditions (D,), if `methods` has them."""
        known = {key: method for key in conditions if (method := self.methods.get(key))}
        named = {key: method.classes for key, method in known.items() if method.classes}
        similar = {
            key: method.calibration
            for key, method in known.items()
            if method.calibration and not method.classes
        }
        wide = widen_core(span, rate_hz, self.pad_s + self.rule.smooth_s)
        core = span.core_start / rate_hz, span.core_stop / rate_hz
        noted: dict[str, Listening] = {}
        if self.detector and named:
            curves = ByClasses(self.detector, named).measure_span(samples_CT, rate_hz, wide)
            noted |= self._note(curves, core, CLASSES)
        if self.encoder and similar:
            own = {key: conditions[key] for key in similar}
            by_similarity = BySimilarity(self.encoder, own, similar)
            curves = by_similarity.measure_span(samples_CT.numpy(), rate_hz, wide)
            noted |= self._note(curves, core, SIMILARITY)
        return noted

    def _note(self, curves: Mapping[str, Curve], core: Times, by: str) -> dict[str, Listening]:
        noted = {}
        for key, rough in curves.items():
            curve = smooth_curve(rough, self.rule)
            near, opened = (
                find_near(curve, least, self.pad_s) for least in (self.rule.high, self.rule.low)
            )
            noted[key] = Listening(hear(curve, self.rule, core, by), near, opened)
        return noted

    def judge_stem(
        self, key: str, stem_CT: np.ndarray, mixture_CT: np.ndarray, rate_hz: int, span: Span
    ) -> Heard | None:
        """Score a query by its stem's share of the energy; a share of `LOUD_SHARE` scores 0.5.

        Both arrays hold the span's core.
        """
        if key in self.unknown:
            return None
        share_N = share_energy(stem_CT, mixture_CT, rate_hz, STEM_ROW_S)
        score_N = share_N / (share_N + LOUD_SHARE)
        core = span.core_start / rate_hz, span.core_stop / rate_hz
        return hear(Curve(score_N, STEM_ROW_S, core[0]), self.rule, core, STEM_ITSELF)


def widen_core(span: Span, rate_hz: int, margin_s: float) -> Span:
    """Make the core of a span wider by a margin, as far as the span reaches."""
    margin = int(margin_s * rate_hz)
    return Span(
        span.start,
        span.stop,
        max(span.start, span.core_start - margin),
        min(span.stop, span.core_stop + margin),
        span.num_samples,
    )


class DetectStage:
    """Listen to spans without making stems: the stage of `separator detect`."""

    def __init__(self, listener: Listener, conditions: Mapping[str, np.ndarray]) -> None:
        self.listener, self.conditions = listener, conditions

    def __call__(
        self, row: SpanRow | Failed | AlreadyDone
    ) -> Iterator[StemRow | Failed | AlreadyDone]:
        if not isinstance(row, SpanRow):
            yield row
            return
        started = time.monotonic()
        try:
            samples_CT, span = torch.tensor(row.samples), find_span(row)
            conditions = {
                item.condition: self.conditions[item.condition] for item in row.asset.items
            }
            heard = self.listener.listen(samples_CT, row.track.rate_hz, span, conditions)
        except AudioError as error:
            yield fail(row.of(), error, "detect", seconds=row.seconds)
            return
        seconds = Seconds(row.seconds.extract, time.monotonic() - started)
        for number, item in enumerate(row.asset.items):
            found = heard.get(item.condition)
            yield StemRow(
                row.asset.keep_item(item.name) if number else row.asset,
                row.track,
                row.num_tracks,
                name=item.name,
                number=row.number,
                is_last=row.is_last,
                num_silent=span.core_stop - span.core_start,
                heard=found and found.heard,
                repairs=row.repairs,
                seconds=Seconds() if number else seconds,
            )


def find_span(row: SpanRow) -> Span:
    """Locate the samples of a row in its track."""
    stop = row.start + row.samples.shape[-1]
    return Span(row.start, stop, row.core_start, row.core_stop, stop)
