"""The bundled detector: how well it says where the generator's held-out sounds are."""

import numpy as np
import pytest

from separator import load_detector
from separator.detect.stretches import Curve, StretchRule, find_stretches, presence_score
from separator.evaluation.presence import Counts, area_under_roc, count_segments
from separator.evaluation.scenes import RATE_HZ, SCENE_S, make_scene
from separator.model.registry import BUNDLED_FILES, MINI_DETECTOR
from separator.sounds.catalog import CLASSES

RULE = StretchRule(0.5, 0.25, smooth_s=0.4, shortest_gap_s=1.0)


def test_it_knows_all_kinds_and_takes_at_most_2_2_mb():
    assert list(load_detector("mini-detector").labels) == sorted(CLASSES)
    assert BUNDLED_FILES[MINI_DETECTOR].stat().st_size <= 2.2e6


@pytest.mark.slow
@pytest.mark.check
def test_segments_and_presence_in_held_out_scenes():
    """Scenes of seeds that no threshold was fixed on."""
    detector, counts = load_detector("mini-detector"), Counts()
    scores, is_there = [], []
    for seed in range(100, 112):
        scene = make_scene(seed)
        found = detector.detect(scene.samples[None], RATE_HZ)
        for k, kind in enumerate(detector.labels):
            curve = Curve(found.framewise[:, k], found.frame_s)
            stretches = [(s.start_s, s.stop_s) for s in find_stretches(curve, RULE, SCENE_S)]
            counts += count_segments(stretches, scene.events.get(kind, []), SCENE_S)
            scores.append(presence_score(curve, RULE))
            is_there.append(kind in scene.events)
    assert sum(is_there) > 15 and counts.f1 > 0.8
    assert area_under_roc(scores, is_there) > 0.95


def test_silence_and_noise_hold_none_of_the_kinds():
    detector = load_detector("mini-detector")
    silent = detector.detect(np.zeros((1, 10 * RATE_HZ), np.float32), RATE_HZ)
    assert silent.framewise.max() < 0.5
