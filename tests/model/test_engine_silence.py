"""Test that the engine spends no time on silence, and that the stem of silence is silent."""

import pytest
import torch

from separator.model.engine import Engine
from tests.helpers.engines import make_noise, make_small_engine

HZ, SPAN_S = 32_000, 4.0


@pytest.fixture
def engine() -> Engine:
    return make_small_engine()


def count_calls(engine: Engine) -> list[int]:
    """Return a list that grows with each call of the network."""
    calls: list[int] = []
    engine.forward.net.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize(("channels", "num_out"), [("linked", 2), ("each", 2), ("mono", 1)])
def test_engine_separates_silence_without_the_network(engine, channels, num_out):
    engine = Engine(engine.net, "cpu", "fp32", "off", channels)
    calls = count_calls(engine)
    stems = engine.separate(torch.zeros(2, 44_100), 44_100, make_noise(3, 8))
    assert stems.shape == (3, num_out, 44_100) and not stems.any() and not calls


def test_engine_runs_the_network_on_all_spans_but_silent_ones(engine):
    waveform, conditions, calls = torch.zeros(1, 24 * HZ), make_noise(1, 8), count_calls(engine)
    waveform[:, 13 * HZ : 14 * HZ] = make_noise(1, HZ)
    whole = engine.separate(waveform, HZ, conditions, span_s=100.0)
    calls.clear()
    stems = engine.separate(waveform, HZ, conditions, span_s=SPAN_S)
    assert len(calls) < 24 / SPAN_S
    assert whole.abs().max() > 0.01 and (stems - whole).abs().max() < 1e-5
