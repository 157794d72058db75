"""Pairs for zero-shot separation: energies, who is whose target, where conditions come from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separator.errors import RequestError
from separator.storage import Storage
from separator.train.draw import draw_turn
from separator.train.mined_pairs import MinedPairs, check_latents
from separator.train.mixer import measure_energy
from separator.train.recipe import ChangeSettings, DataSettings
from separator.train.sound_lists import Source

RATE_HZ = 8_000
TONES = {"low": 200, "mid": 700, "high": 2_000}


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[Source]:
    """Four sounds of three tones, louder from the middle on; their embeddings are told apart."""
    folder, found = tmp_path_factory.mktemp("pairs"), []
    t = np.arange(4 * RATE_HZ) / RATE_HZ
    for row, (kind, freq_hz) in enumerate(TONES.items()):
        for number in range(4):
            path = folder / f"{kind}-{number}.wav"
            level = 0.01 * (number + 1) * np.where(t < 2, 0.1, 1)
            soundfile.write(path, level * np.sin(2 * np.pi * freq_hz * t), RATE_HZ, "FLOAT")
            latent = np.eye(3, dtype=np.float32)[row] * (number + 1)
            found.append(
                Source(str(path), (kind,), kind, kind, labels=(kind,), start_s=2.0, latent=latent)
            )
    return found


def make_pairs(sources, **settings) -> MinedPairs:
    data = DataSettings(lists=[], segment_s=1.0, **{"level_db": 0.0} | settings)
    return MinedPairs(sources, data, RATE_HZ, 0, Storage())


def find_tone(sound_T: np.ndarray) -> str:
    """Name the tone in which a sound has its energy."""
    spectrum = np.abs(np.fft.rfft(sound_T))
    levels = {kind: spectrum[freq_hz] for kind, freq_hz in TONES.items()}
    return max(levels, key=levels.__getitem__)


def test_make_batch_gives_both_sounds_of_a_pair_as_targets(sources):
    batch = make_pairs(sources).make_batch(range(8))
    assert batch["mixture"].shape == (8, RATE_HZ) and batch["condition"].shape == (8, 3)
    for i in range(0, 8, 2):
        mixture_T, (one_T, other_T) = batch["mixture"][i], batch["target"][i : i + 2]
        np.testing.assert_array_equal(mixture_T, batch["mixture"][i + 1])
        np.testing.assert_allclose(one_T + other_T, mixture_T, atol=1e-6)
        assert measure_energy(one_T) == pytest.approx(measure_energy(other_T), rel=1e-4)


@pytest.mark.parametrize("level_db", [[], [-36.0, -14.0]])
def test_pairs_stay_as_loud_as_they_are_unless_a_level_is_drawn(level_db, sources, tmp_path):
    """The paper normalises no peak; the bundled recipe draws the level of every mixture."""
    loud = []
    for source in sources:
        path = tmp_path / Path(source.uri).name
        soundfile.write(path, 15 * soundfile.read(source.uri)[0], RATE_HZ, "FLOAT")
        loud.append(replace(source, uri=str(path)))
    changes = ChangeSettings(level_db=level_db)
    batch = make_pairs(loud, changes=changes).make_batch(range(20))
    peaks = np.abs(batch["mixture"]).max(1)
    if level_db:
        assert peaks.max() <= 0.95 + 1e-6
        return
    assert peaks.max() > 1.05
    for i in range(0, 20, 2):  # the first of a pair is as it was read
        level = 0.15 * batch["condition"][i].sum()
        assert np.abs(batch["target"][i]).max() == pytest.approx(level, rel=0.01)


def test_pairs_of_two_groups_have_no_absent_queries(sources):
    two = [source for source in sources if source.kind != "high"]
    batch = make_pairs(two, absent_ratio=1.0).make_batch(range(8))
    assert batch["target"].any(1).all()
    assert not make_pairs(sources, absent_ratio=1.0).make_batch(range(8))["target"].any()


def test_make_batch_takes_the_mined_stretch_and_its_own_embedding(sources):
    batch = make_pairs(sources).make_batch(range(20))
    for i in range(0, 20, 2):  # the first of a pair keeps its level
        kind = find_tone(batch["target"][i])
        number = np.flatnonzero(batch["condition"][i])[0]
        assert kind == list(TONES)[number]
        level = 0.01 * batch["condition"][i].sum()  # the louder half, not the first two seconds
        assert np.abs(batch["target"][i]).max() == pytest.approx(level, rel=0.01)


def test_make_batch_with_other_examples_takes_means_of_their_embeddings(sources):
    batch = make_pairs(sources, own_ratio=0.0, most_examples=4).make_batch(range(40))
    for target_T, condition_D in zip(batch["target"], batch["condition"], strict=True):
        assert find_tone(target_T) == list(TONES)[np.flatnonzero(condition_D)[0]]
    sizes = batch["condition"].sum(1)
    assert len(set(np.round(sizes, 4))) > 4 and sizes.min() >= 1 and sizes.max() <= 4


def test_pairs_of_one_label_are_not_made_where_each_sound_has_a_group(sources):
    apart = [replace(source, group=source.uri) for source in sources]
    batch = make_pairs(apart).make_batch(range(100))
    for i in range(0, 100, 2):
        assert find_tone(batch["target"][i]) != find_tone(batch["target"][i + 1])


def test_pairs_of_one_group_are_not_made_where_labels_share_groups(sources):
    """`low` has two groups and `mid` one of these: where no other label is left, a group is."""
    names = {"low": ["x", "y"], "mid": ["x", "x"]}
    mixed = [
        replace(source, group=names[source.kind][number % 2])
        for number, source in enumerate(sources)
        if source.kind in names
    ]
    pairs = make_pairs(mixed)
    for number in range(40):
        (one, _), (other, _), _ = pairs.draw_pair(number, np.random.default_rng(number))
        assert one.group != other.group


def test_make_batch_with_one_other_example_never_takes_the_target(sources):
    batch = make_pairs(sources, own_ratio=0.0, most_examples=1).make_batch(range(60))
    for i in range(0, 60, 2):  # the first of a pair keeps its level: its number
        number = np.abs(batch["target"][i]).max() / 0.01
        assert abs(batch["condition"][i].sum() - number) > 0.5
    alone = [replace(source, kind=source.uri, group=source.uri) for source in sources]
    assert make_pairs(alone, own_ratio=0.0).make_batch(range(8))["condition"].any(1).all()


def test_make_batch_with_absent_queries_has_silent_targets(sources):
    batch = make_pairs(sources, absent_ratio=1.0).make_batch(range(10))
    assert not batch["target"].any() and batch["mixture"].any()
    for mixture_T, condition_D in zip(batch["mixture"], batch["condition"], strict=True):
        named = list(TONES)[np.flatnonzero(condition_D)[0]]
        spectrum = np.abs(np.fft.rfft(mixture_T))
        assert spectrum[TONES[named]] < 0.01 * spectrum.max()


def test_make_batch_does_not_depend_on_where_a_run_begins(sources):
    whole = make_pairs(sources, own_ratio=0.5).make_batch(range(12))
    rest = make_pairs(sources, own_ratio=0.5).make_batch(range(6, 12))
    for name in ("mixture", "target", "condition"):
        np.testing.assert_array_equal(whole[name][6:], rest[name])


def test_draw_turn_gives_every_name_once_a_lap():
    laps = [[draw_turn(3, 5 * lap + i, "abcde") for i in range(5)] for lap in range(20)]
    assert all(sorted(lap) == list("abcde") for lap in laps)
    assert len({tuple(lap) for lap in laps}) > 10


def test_pairs_refuses_lists_without_embeddings_or_with_one_group(sources):
    with pytest.raises(RequestError, match="separator mine"):
        check_latents([*sources, Source("x.wav", ("low",), "low", "low")], 3)
    with pytest.raises(RequestError, match=r"embeddings of \[3\] values.* have 4"):
        check_latents(sources, 4)
    with pytest.raises(RequestError, match="two groups"):
        make_pairs(sources[:4])
