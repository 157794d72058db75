"""The detector that scores rows: any cut gives the scores of the whole, files are checked."""

import numpy as np
import pytest
import torch

from separator import load_detector
from separator.api import load_htsat
from separator.audio.spans import plan_spans
from separator.errors import AudioError, CheckpointMismatch, RequestError
from separator.model.frame_detector import (
    ROW_S,
    FrameDetector,
    make_frame_file,
    write_frame_detector,
)
from separator.model.frame_net import FrameConfig, FrameNet
from separator.model.tensors import read_tensors
from tests.helpers.detectors import LABELS, make_frame_detector


def make_track(seconds: float, rate_hz: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise_CT = rng.standard_normal((2, round(seconds * rate_hz)))
    t = np.arange(noise_CT.shape[1]) / rate_hz
    return (0.1 * noise_CT * np.sin(0.7 * t) ** 2).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8_000, 44_100])
@pytest.mark.parametrize(("span_s", "grid_s"), [(6.0, ROW_S * 4), (7.3, ROW_S / 2)])
def test_spans_of_a_track_give_the_scores_of_the_whole(rate_hz, span_s, grid_s):
    detector, track_CT = make_frame_detector(), make_track(23.37, rate_hz)
    whole = detector.detect(track_CT, rate_hz).framewise
    assert whole.std(0).min() > 0.01
    parts = []
    spans = plan_spans(track_CT.shape[1], rate_hz, span_s, detector.context_s, grid_s)
    assert len(spans) > 2
    for span in spans:
        found = detector.detect_span(
            torch.from_numpy(track_CT[:, span.start : span.stop]), rate_hz, span
        )
        assert found.start_s == pytest.approx(sum(map(len, parts)) * found.frame_s)
        parts.append(found.framewise)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=2e-4)


def test_context_is_as_long_as_rows_can_see():
    """Samples further away than the context change nothing, the last within it do."""
    detector, rate_hz = make_frame_detector(), 32_000
    track_CT = make_track(20, rate_hz)
    row = 125
    near, far = track_CT.copy(), track_CT.copy()
    edge = int((row - detector.context_s / ROW_S) * ROW_S * rate_hz)
    far[:, :edge] = 0
    near[:, : edge + 3 * int(ROW_S * rate_hz)] = 0
    scores = [detector.detect(x, rate_hz).framewise[row] for x in (track_CT, far, near)]
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-6)
    assert np.abs(scores[2] - scores[0]).max() > 1e-6


@pytest.mark.parametrize(
    ("rate_hz", "num_samples"), [(12_345, 40_001), (8_000, 1), (32_000, 2_559)]
)
def test_odd_rates_and_short_tracks_have_a_row_for_every_moment(rate_hz, num_samples):
    found = make_frame_detector().detect(make_track(10, rate_hz)[:, :num_samples], rate_hz)
    num_rows = int(np.ceil(num_samples / rate_hz / float(ROW_S)))
    assert len(found.framewise) == num_rows and found.latent.shape == (16,)
    assert np.isfinite(found.framewise).all() and found.frame_s == float(ROW_S)


def test_thresholds_are_moved_to_one_half():
    plain, moved = make_frame_detector(), make_frame_detector(thresholds=[0.2, 0.5, 0.9])
    track_CT = make_track(5, 8_000)
    scores, calibrated = (d.detect(track_CT, 8_000).framewise for d in (plain, moved))
    assert (scores[:, 0] > 0.2).any() and not (scores[:, 0] > 0.2).all()
    for k, threshold in enumerate((0.2, 0.5, 0.9)):
        np.testing.assert_array_equal(calibrated[:, k] > 0.5, scores[:, k] > threshold)


def test_files_are_read_back_and_wrong_ones_are_named(tmp_path):
    detector = make_frame_detector(thresholds=[0.2, 0.5, 0.9])
    path = tmp_path / "d.safetensors"
    write_frame_detector(path, detector.net, LABELS, detector.thresholds)
    found = load_detector(path)
    assert isinstance(found, FrameDetector)
    assert (found.labels, found.thresholds) == (LABELS, (0.2, 0.5, 0.9))
    track_CT = make_track(3, 8_000)
    np.testing.assert_array_equal(
        found.detect(track_CT, 8_000).framewise, detector.detect(track_CT, 8_000).framewise
    )
    with pytest.raises(RequestError, match="drives no separator"):
        load_htsat(path)
    tensors, metadata = read_tensors(path)
    for key, value in (("labels", '["a"]'), ("thresholds", "[0.5, 0.5, 1.0]"), ("labels", "{}")):
        with pytest.raises(CheckpointMismatch, match=key):
            make_frame_file(path, tensors, metadata | {key: value})
    del tensors["frame_model.proj.weight"]
    with pytest.raises(CheckpointMismatch, match="another detector"):
        make_frame_file(path, tensors, metadata)


def test_a_track_without_samples_is_refused():
    with pytest.raises(AudioError, match="no samples"):
        make_frame_detector().detect(np.zeros((1, 0), np.float32), 8_000)


def test_sizes_that_make_no_network_are_refused():
    with pytest.raises(ValueError, match="five widths"):
        FrameConfig(3, (8, 8))
    assert len(list(FrameNet(FrameConfig(3)).parameters())) > 20


@pytest.mark.parametrize("rate_hz", [8_000, 12_345, 32_000])
@pytest.mark.parametrize("damaged", [1e20, -3e38])
def test_one_damaged_sample_leaves_the_rest_of_a_track_as_it_is(rate_hz, damaged):
    detector, track_CT = make_frame_detector(), make_track(20, rate_hz)
    clean = detector.detect(track_CT, rate_hz).framewise
    track_CT[0, 5 * rate_hz] = damaged
    found = detector.detect(track_CT, rate_hz)
    assert np.isfinite(found.framewise).all() and np.isfinite(found.latent).all()
    beyond = int((5 + detector.context_s) / ROW_S) + 2
    np.testing.assert_allclose(found.framewise[beyond:], clean[beyond:], atol=1e-4)
