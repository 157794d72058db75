"""Scores of cleaned speech are those of pysepm, on two utterances whose figures are stored."""

import json

import numpy as np
import pytest
from pesq import pesq

from separator.audio.speech_metrics import score_speech
from separator.errors import AudioError
from tests.helpers.golden import FOLDER

GOLDEN = json.loads((FOLDER / "metrics.json").read_text())["speech"]
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def signals() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "speech_signals.npz") as data:
        return dict(data)


@pytest.mark.parametrize("name", GOLDEN)
def test_all_scores_are_those_of_pysepm(signals, name):
    expected = GOLDEN[name]["pysepm"]
    mos = pesq(RATE_HZ, signals["clean"], signals[name], "wb")
    assert mos == pytest.approx(expected["pesq_wb"], abs=1e-4)
    scores = score_speech(signals[name], signals["clean"], RATE_HZ, mos)
    for key in ("ssnr_db", "llr", "wss", "csig", "cbak", "covl"):
        assert getattr(scores, key) == pytest.approx(expected[key], abs=1e-6), key


def test_clean_speech_has_the_best_scores(signals):
    clean = signals["clean"]
    assert pesq(RATE_HZ, clean, clean, "wb") == pytest.approx(4.644, abs=1e-3)
    scores = score_speech(clean, clean, RATE_HZ, 4.644)
    assert (scores.ssnr_db, scores.csig, scores.cbak, scores.covl) == (35, 5, 5, 5)
    assert scores.llr == pytest.approx(0, abs=1e-12) and scores.wss == 0


def test_signals_are_cut_to_the_shorter_one(signals):
    noisy, clean = signals["noisy"], signals["clean"]
    cut = score_speech(noisy[:40_000], clean[:40_000], RATE_HZ, 2.0)
    assert score_speech(noisy, clean[:40_000], RATE_HZ, 2.0) == cut
    assert score_speech(noisy[:40_000], clean, RATE_HZ, 2.0) == cut
    with pytest.raises(AudioError, match="100 samples at 16000 Hz: too short"):
        score_speech(noisy[:100], clean, RATE_HZ, 2.0)


def test_silence_has_finite_scores(signals):
    scores = score_speech(0 * signals["clean"], signals["clean"], RATE_HZ, 1.0)
    assert np.isfinite([scores.llr, scores.wss, scores.ssnr_db]).all() and scores.csig == 1
