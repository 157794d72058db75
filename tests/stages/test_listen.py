"""Listening to spans: what is noted does not depend on the cut, and each query has its method."""

import numpy as np
import pytest
import torch

from separator import load_detector
from separator.audio.spans import plan_spans
from separator.detect.curves import Calibration
from separator.detect.heard import join_heard, list_presence
from separator.detect.stretches import StretchRule
from separator.rows import CLASSES, SIMILARITY, STEM_ITSELF
from separator.sounds.catalog import make_sound
from separator.stages.listen import Listener, ListeningMethod
from tests.helpers.detectors import LABELS, make_frame_detector

RATE_HZ = 8_000
RULE = StretchRule(0.5, 0.25, smooth_s=0.4, shortest_gap_s=1.0)
PAD_S = 0.5


class Loudness:
    """An encoder whose embedding is the level of what it is given."""

    def encode_audio(self, waveform_CT: np.ndarray, rate_hz: int) -> np.ndarray:
        return np.array([np.sqrt(np.square(waveform_CT).mean())])


@pytest.fixture(scope="module")
def track() -> np.ndarray:
    rng = np.random.default_rng(0)
    t = np.arange(40 * RATE_HZ) / RATE_HZ
    noise_CT = rng.standard_normal((2, len(t)))
    return (0.2 * noise_CT * (np.sin(0.5 * t) > 0.3)).astype(np.float32)


@pytest.fixture(scope="module")
def listener() -> Listener:
    methods = {
        "a siren": ListeningMethod(classes=LABELS[:1]),
        "wet": ListeningMethod(classes=LABELS[1:]),
        "loud": ListeningMethod(calibration=Calibration(40.0, -4.0)),
    }
    return Listener(methods, RULE, PAD_S, make_frame_detector(), Loudness(), ["no words"])


CONDITIONS = {key: np.ones(1) for key in ("a siren", "wet", "loud", "unknown")}


def listen(listener: Listener, track_CT: np.ndarray, span_s: float):
    """Listen span by span; return the joined notes and all open stretches by key."""
    context_s = listener.detector.context_s + 2
    spans = plan_spans(
        track_CT.shape[1], RATE_HZ, span_s, context_s, listener.detector.context_s / 47
    )
    notes, opened = {}, {}
    for span in spans:
        samples_CT = torch.from_numpy(track_CT[:, span.start : span.stop])
        for key, found in listener.listen(samples_CT, RATE_HZ, span, CONDITIONS).items():
            notes.setdefault(key, []).append(found.heard)
            at_s = np.arange(span.core_start, span.core_stop, RATE_HZ // 100) / RATE_HZ
            is_open = np.any([(at_s >= a) & (at_s < b) for a, b in found.opened] or [at_s < 0], 0)
            opened.setdefault(key, []).append(is_open)
    joined = {key: join_heard(parts) for key, parts in notes.items()}
    return joined, {key: np.concatenate(parts) for key, parts in opened.items()}


def test_notes_and_gates_do_not_depend_on_the_cut(listener, track):
    whole, whole_open = listen(listener, track, 100.0)
    cut, cut_open = listen(listener, track, 9.0)
    assert set(whole) == set(cut) == {"a siren", "wet", "loud"}
    assert [whole[key].by for key in ("a siren", "loud")] == [CLASSES, SIMILARITY]
    for key in whole:
        a, b = (list_presence(x[key], RULE, 40.0) for x in (whole, cut))
        assert len(a) == len(b) > 0, key
        for one, other in zip(a, b, strict=True):
            assert (one.start_s, one.stop_s) == pytest.approx((other.start_s, other.stop_s))
            assert one.score == pytest.approx(other.score, abs=1e-3)
        assert 0 < whole_open[key].mean() <= 1
        assert np.mean(whole_open[key] != cut_open[key]) < 0.01


def test_a_gate_is_open_wherever_presence_reaches_the_threshold(listener, track):
    notes, opened = listen(listener, track, 100.0)
    for key, heard in notes.items():
        for start_s, stop_s, score in heard.runs:
            if score >= RULE.high:
                assert opened[key][int(start_s * 100) : int(stop_s * 100)].any()


def test_a_stem_is_heard_where_it_stands_out(listener):
    mixture_CT = np.random.default_rng(0).standard_normal((2, 8 * RATE_HZ)).astype(np.float32)
    stem_CT = np.zeros_like(mixture_CT)
    stem_CT[:, 2 * RATE_HZ : 4 * RATE_HZ] = mixture_CT[:, 2 * RATE_HZ : 4 * RATE_HZ]
    stem_CT[:, 6 * RATE_HZ :] = 0.05 * mixture_CT[:, 6 * RATE_HZ :]
    (span,) = plan_spans(8 * RATE_HZ, RATE_HZ, 100.0, listener.detector.context_s, 1)
    heard = listener.judge_stem("unknown", stem_CT, mixture_CT, RATE_HZ, span)
    assert heard is not None
    (found,) = list_presence(heard, RULE, 8.0)
    assert heard.by == STEM_ITSELF
    assert (found.start_s, found.stop_s) == (pytest.approx(2, abs=0.1), pytest.approx(4, abs=0.1))


def test_the_stem_of_a_query_without_meaning_tells_nothing(listener):
    (span,) = plan_spans(RATE_HZ, RATE_HZ, 100.0, listener.detector.context_s, 1)
    stem_CT = np.ones((1, RATE_HZ), np.float32)
    assert listener.judge_stem("no words", stem_CT, stem_CT, RATE_HZ, span) is None


def test_a_damaged_sample_hides_nothing_that_sounds_elsewhere():
    track_CT = 1e-3 * np.random.default_rng(0).standard_normal((1, 20 * 32_000))
    track_CT[0, 12 * 32_000 : 16 * 32_000] += make_sound("siren", 5, 4 * 32_000)
    track_CT[0, 5 * 32_000] = 1e30
    listener = Listener(
        {"s": ListeningMethod(classes=("siren",))}, RULE, PAD_S, load_detector("mini-detector")
    )
    (span,) = plan_spans(track_CT.shape[1], 32_000, 100.0, listener.detector.context_s, 1)
    found = listener.listen(torch.from_numpy(track_CT), 32_000, span, {"s": np.ones(1)})["s"]
    assert np.isfinite(found.heard.score)
    (stretch,) = list_presence(found.heard, RULE, 20.0)
    assert (stretch.start_s, stretch.stop_s) == (pytest.approx(12, abs=1), pytest.approx(16, abs=1))
