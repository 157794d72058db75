"""A gate: the engine's own samples where it is open, silence elsewhere, and no needless work."""

import numpy as np
import pytest
import torch

from separator.audio.spans import Span
from separator.model.engine import Engine
from separator.stages.gate import FADE_S, Gate
from tests.helpers.engines import make_small_engine

RATE_HZ = 16_000
SECONDS = 40.0


@pytest.fixture(scope="module")
def engine() -> Engine:
    return make_small_engine()


@pytest.fixture(scope="module")
def track() -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(0.1 * rng.standard_normal((2, round(SECONDS * RATE_HZ)))).float()


def make_conditions(engine: Engine, names: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {n: rng.standard_normal(engine.config.condition_size).astype(np.float32) for n in names}


def separate(engine, track_CT, conditions, opened, span=None):
    whole = Span(0, track_CT.shape[1], 0, track_CT.shape[1], track_CT.shape[1])
    span = span or whole
    gate = Gate(engine, track_CT[:, span.start : span.stop], RATE_HZ, span)
    return dict(zip(conditions, gate.separate(conditions, opened), strict=True))


def test_open_stretches_hold_the_samples_of_the_engine_and_the_rest_is_zero(engine, track):
    conditions = make_conditions(engine, "abcd")
    opened = {"b": [(12.34, 15.0), (16.0, 17.5), (36.0, 50.0)], "c": [], "d": [(-1.0, 99.0)]}
    free = separate(engine, track, conditions, {})
    gated = separate(engine, track, conditions, opened)
    assert gated["c"] is None
    for name in "ad":
        torch.testing.assert_close(gated[name], free[name], atol=1e-5, rtol=0)
    time_T = np.arange(track.shape[1]) / RATE_HZ
    is_inside = np.zeros(len(time_T), bool)
    is_outside = np.ones(len(time_T), bool)
    for start_s, stop_s in opened["b"]:
        is_inside |= (time_T >= start_s + FADE_S) & (time_T < stop_s - FADE_S)
        is_outside &= (time_T < start_s) | (time_T >= stop_s)
    torch.testing.assert_close(gated["b"][:, is_inside], free["b"][:, is_inside], atol=1e-5, rtol=0)
    assert (gated["b"][:, is_outside] == 0).all() and free["b"][:, is_outside].abs().max() > 1e-4


def test_spans_of_a_track_give_the_gated_stem_of_the_whole(engine, track):
    """A stretch that reaches over a border has no fade there."""
    conditions, opened = make_conditions(engine, "a"), {"a": [(9.0, 14.0), (30.1, 30.4)]}
    whole = separate(engine, track, conditions, opened)["a"]
    parts = []
    for span in engine.plan_spans(track.shape[1], RATE_HZ, 12.0):
        stem_CT = separate(engine, track, conditions, opened, span)["a"]
        length = span.core_stop - span.core_start
        parts.append(torch.zeros(2, length) if stem_CT is None else stem_CT)
    assert len(parts) > 3
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)


def test_plan_covers_open_stretches_on_the_grid_with_context(engine, track):
    span = Span(0, track.shape[1], 0, track.shape[1], track.shape[1])
    gate = Gate(engine, track, RATE_HZ, span)
    cell, context = int(engine.grid_s * RATE_HZ), int(engine.context_s * RATE_HZ)
    (first, second) = gate.plan([(1.0, 2.0), (38.0, 60.0)])
    assert first.core_start <= RATE_HZ and first.core_stop >= 2 * RATE_HZ
    assert first.core_start % cell == 0 and first.core_stop - first.core_start < RATE_HZ + 2 * cell
    assert first.stop >= first.core_stop + context and second.stop == track.shape[1]
    assert len(gate.plan([(1.0, 2.0), (2.5, 3.0)])) == 1 and gate.plan([(99.0, 100.0)]) == []
