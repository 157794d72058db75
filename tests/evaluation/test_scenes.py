"""Scenes: what is said to sound does, at the times that are said."""

import numpy as np

from separator.evaluation.scenes import RATE_HZ, draw_kinds, make_scene
from separator.sounds.catalog import CLASSES


def test_scene_is_faint_noise_outside_its_events_and_louder_in_them():
    kinds = ["dog", "siren", "horn"]
    scene = next(s for s in (make_scene(i, kinds, 8.0) for i in range(20)) if len(s.events) == 2)
    assert scene.samples.dtype == np.float32 and len(scene.samples) == 8 * RATE_HZ
    assert np.abs(scene.samples).max() <= 1
    times = sorted(time for times in scene.events.values() for time in times)
    is_there_T = np.zeros(len(scene.samples), bool)
    for start_s, stop_s in times:
        assert 0 <= start_s < stop_s <= 8
        is_there_T[round(start_s * RATE_HZ) : round(stop_s * RATE_HZ)] = True
    loud = np.sqrt(np.mean(scene.samples[is_there_T] ** 2))
    quiet = np.sqrt(np.mean(scene.samples[~is_there_T] ** 2))
    assert loud > 10 * quiet


def test_scenes_differ_by_seed_and_are_the_same_for_one():
    first, again, other = (make_scene(seed, ["horn", "dog"], 3.0) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.samples, again.samples)
    assert first.events == again.events and not np.array_equal(first.samples, other.samples)


def test_drawn_kinds_are_none_to_four_of_different_groups():
    drawn = [draw_kinds(np.random.default_rng(i), list(CLASSES)) for i in range(200)]
    assert {len(kinds) for kinds in drawn} == {0, 1, 2, 3, 4}
    assert all(len({CLASSES[k].group for k in kinds}) == len(kinds) for kinds in drawn)
    assert {kind for kinds in drawn for kind in kinds} == set(CLASSES)
