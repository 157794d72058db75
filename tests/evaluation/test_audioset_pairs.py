"""Pairs of labelled sounds: drawn reproducibly, cut by the detector, scored as defined."""

import numpy as np
import pytest
import soundfile
import torch

from separator.audio.anchors import find_anchor
from separator.errors import RequestError
from separator.evaluation.audioset_pairs import Drawn, PairsScorer, draw_pairs, score_pair
from separator.evaluation.published import HELD_OUT
from separator.model.detector import Detector
from separator.model.zero_shot_files import read_labels
from separator.storage import Storage
from separator.train.labelled_sounds import Labelled
from tests.helpers.benchmarks import Scaled
from tests.helpers.golden_zs import make_small_detector

HZ = 32_000
SOUNDS = [Labelled(f"{i}.wav", (i % 5, i % 3)) for i in range(30)]


def test_pairs_take_every_class_once_before_any_again():
    pairs = draw_pairs(SOUNDS, range(527), 50, seed=3)
    drawn = [sound for pair in pairs for sound in pair]
    for start in range(0, 100, 5):
        assert sorted(d.class_index for d in drawn[start : start + 5]) == [0, 1, 2, 3, 4]
    by_uri = {sound.uri: sound.classes for sound in SOUNDS}
    assert all(d.class_index in by_uri[d.uri] for d in drawn)
    assert len({d.uri for d in drawn}) > 15
    assert pairs == draw_pairs(SOUNDS, range(527), 50, seed=3)
    assert pairs[:7] == draw_pairs(SOUNDS, range(527), 7, seed=3)
    assert pairs != draw_pairs(SOUNDS, range(527), 50, seed=4)


def test_pairs_of_the_held_out_classes_have_no_other_class():
    assert len(HELD_OUT) == 10
    assert [read_labels(527)[index] for index in HELD_OUT] == list(HELD_OUT.values())
    sounds = [Labelled(f"{i}.wav", (0, 4 if i % 2 else 15)) for i in range(8)]
    pairs = draw_pairs(sounds, list(HELD_OUT), 6, seed=0)
    assert {d.class_index for pair in pairs for d in pair} == {4, 15}
    with pytest.raises(RequestError, match="1 of the 10 classes have a sound in the list"):
        draw_pairs(sounds[::2], list(HELD_OUT), 6, seed=0)


def collect(model, first_T, second_T) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    for _, mode, figure_db in score_pair(model, first_T, second_T):
        figures.setdefault(mode, []).append(figure_db)
    return figures


def test_figures_of_models_that_scale_what_they_hear():
    t = np.arange(2 * HZ) / HZ
    first_T, second_T = (0.1 * np.sin(2 * np.pi * hz * t).astype(np.float32) for hz in (300, 500))
    figures = collect(Scaled(0.5), first_T, 3 * second_T)
    six = 20 * np.log10(2)
    assert figures["silence"] == pytest.approx([six, six], abs=1e-4)
    assert figures["clean"] == pytest.approx([six, six], abs=1e-4)
    # Of two sounds of equal energy, half of each is in error.
    assert figures["mixture"] == pytest.approx([10 * np.log10(2)] * 2, abs=1e-3)
    figures = collect(Scaled(), first_T, second_T)
    assert figures["silence"] == [0, 0] and figures["clean"] == [np.inf] * 2
    assert figures["mixture"] == pytest.approx([0, 0], abs=1e-3)


def test_figures_of_a_model_that_finds_the_target():
    rng = np.random.default_rng(0)
    first_T, second_T = (0.1 * rng.standard_normal(HZ).astype(np.float32) for _ in range(2))
    second_T *= np.float32(np.sqrt(np.square(first_T).mean() / np.square(second_T).mean()))
    mixture_T = first_T + second_T

    class Finding(Scaled):
        def embed(self, pieces_BT):
            return pieces_BT.numpy()

        def separate(self, waveform_CT, rate_hz, conditions_QD):
            heard = np.abs(waveform_CT[0] - conditions_QD[0]).max() > 1e-6  # not it alone
            is_mixed = np.allclose(waveform_CT[0], mixture_T, atol=1e-6)
            return (conditions_QD[0] * np.float32(is_mixed or not heard))[None, None]

    figures = collect(Finding(), first_T, second_T)
    assert min(figures["mixture"]) > 100 and min(figures["clean"]) > 100
    level_db = 10 * np.log10(np.square(first_T).mean() / 1e-8)
    assert figures["silence"] == pytest.approx([level_db] * 2, abs=1e-3)


@pytest.mark.parametrize("order", [list, sorted])
def test_targets_are_the_2_s_around_the_drawn_class(order, tmp_path):
    """A detector that was trained here has its labels in alphabetical order."""
    rng = np.random.default_rng(1)
    sounds = [0.1 * rng.standard_normal(9 * HZ).astype(np.float32) for _ in range(2)]
    for name, sound_T in zip("ab", sounds, strict=True):
        soundfile.write(tmp_path / f"{name}.wav", sound_T, HZ, "FLOAT")
    detector = Detector(make_small_detector(), order(read_labels(527)))
    names = read_labels(527)[7], read_labels(527)[300]
    targets = []
    for sound_T, name in zip(sounds, names, strict=True):
        whole_T = np.pad(sound_T, (0, HZ))
        column = detector.labels.index(name)
        curve = detector.infer(torch.from_numpy(whole_T)[None]).framewise[0, :, column].numpy()
        begin, end = find_anchor(curve)
        targets.append(whole_T[begin:end])

    heard = []

    class Listening(Scaled):
        def embed(self, pieces_BT):
            heard.extend(pieces_BT.numpy())
            return super().embed(pieces_BT)

    pair = Drawn(f"{tmp_path}/a.wav", 7), Drawn(f"{tmp_path}/b.wav", 300)
    rows = PairsScorer(Listening(0.5), detector, Storage())((5, [pair]))
    np.testing.assert_array_equal(heard, targets)
    assert [(row["pair"], row["mode"]) for row in rows] == [
        (5, mode) for mode in ("mixture", "mixture", "clean", "clean", "silence", "silence")
    ]
    assert rows[0]["class"] == names[0] and rows[1]["audio"] == pair[1].uri
    assert [row["figure_db"] for row in rows[2:]] == pytest.approx([20 * np.log10(2)] * 4, abs=1e-3)
