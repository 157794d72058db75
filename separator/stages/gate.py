"""Run the network only where a query is heard: a gate in front of the engine.

Where the gate is open, a stem has the samples that the engine would give without a gate; elsewhere
it is silent. Fades at both ends of an open stretch lie within the stretch.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from separator.audio.renditions import merge_times, shape_fades
from separator.audio.spans import Span, round_up
from separator.audio.window import Times
from separator.model.track import TrackSeparator

FADE_S = 0.02


class Gate:
    """Separate one span; `samples_CT` are all of its samples, context included."""

    def __init__(
        self, engine: TrackSeparator, samples_CT: torch.Tensor, rate_hz: int, span: Span
    ) -> None:
        self.engine, self.samples_CT, self.rate_hz, self.span = engine, samples_CT, rate_hz, span

    def separate(
        self, conditions: Mapping[str, np.ndarray], opened: Mapping[str, Sequence[Times]]
    ) -> Iterator[torch.Tensor | None]:
        """Yield the core of each query's stem, in the order of `conditions`; None: all silent.

        `opened`: stretches of the track with an open gate, by query. A query that is not in it has
        no gate.
        """
        whole = [name for name in conditions if not self._is_gated(opened.get(name))]
        stems = iter(())
        if whole:
            conditions_QD = torch.tensor(np.stack([conditions[name] for name in whole]))
            stems = self.engine.separate_span(
                self.samples_CT, self.rate_hz, conditions_QD, self.span
            )
        for name, condition_D in conditions.items():
            yield next(stems) if name in whole else self._separate_within(condition_D, opened[name])

    def _is_gated(self, times: Sequence[Times] | None) -> bool:
        """Tell whether a gate is closed anywhere in the core."""
        if times is None:
            return False
        core = self.span.core_start / self.rate_hz, self.span.core_stop / self.rate_hz
        fade = lambda at_s: at_s > 0 and FADE_S  # noqa: E731 # the start of a track is not faded
        return not any(
            start_s + fade(start_s) <= core[0] and stop_s - FADE_S >= core[1]
            for start_s, stop_s in times
        )

    def _separate_within(
        self, condition_D: np.ndarray, times: Sequence[Times]
    ) -> torch.Tensor | None:
        """Separate one query where its gate is open."""
        stem_CT: torch.Tensor | None = None
        condition_1D = torch.tensor(condition_D)[None]
        for inner in self.plan(times):
            part_CT = self.samples_CT[
                :, inner.start - self.span.start : inner.stop - self.span.start
            ]
            (core_CT,) = self.engine.separate_span(part_CT, self.rate_hz, condition_1D, inner)
            if stem_CT is None:
                num_samples = self.span.core_stop - self.span.core_start
                stem_CT = torch.zeros(len(core_CT), num_samples)
            first = inner.core_start - self.span.core_start
            stem_CT[:, first : first + core_CT.shape[1]] = core_CT
        if stem_CT is None:
            return None
        at = range(self.span.core_start, self.span.core_stop)
        return stem_CT * torch.from_numpy(shape_fades(at, self.rate_hz, times, FADE_S))

    def plan(self, times: Sequence[Times]) -> list[Span]:
        """Plan the stretches of the core that the network works on, with their context.

        They begin on the network's grid. Stretches whose contexts would overlap are merged.
        """
        span, rate_hz = self.span, self.rate_hz
        cell = int(self.engine.grid_s * rate_hz)
        context = round_up(math.ceil(self.engine.context_s * rate_hz), cell)
        found = []
        for start_s, stop_s in merge_times(times, 2 * context / rate_hz):
            start = max(span.core_start, int(start_s * rate_hz) // cell * cell)
            stop = span.core_stop
            if stop_s * rate_hz < stop:
                stop = min(stop, round_up(math.ceil(stop_s * rate_hz), cell))
            if start < stop:
                outer = max(span.start, start - context), min(span.stop, stop + context)
                found.append(Span(*outer, start, stop, max(span.num_samples, outer[1])))
        return found
