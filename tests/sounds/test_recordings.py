"""The list of real recordings, and what of it trains and what measures."""

import dataclasses

import pytest

from separator.sounds.catalog import CLASSES
from separator.sounds.recordings import (
    HELD_OUT,
    Recording,
    choose_for_training,
    choose_held_out,
    is_reserved,
    read_recordings,
)

A = Recording("debian", "one", "1", "a.wav", "dog", "a dog barking", "GPL-2", 1.0, 8000, 4000, "A")


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return read_recordings()


@pytest.mark.parametrize(
    "package",
    [
        "alsa-utils",
        "wesnoth-1.16-music",
        "asterisk-core-sounds-ru-g722",
        "@x/scratch",
        "flare-game",
    ],
)
def test_is_reserved_knows_packages_and_the_groups_that_they_name(package):
    assert is_reserved(package)


@pytest.mark.parametrize("package", ["asterisk-core-sounds-en-g722", "scratched", "flare"])
def test_is_reserved_leaves_others(package):
    assert not is_reserved(package)


def test_read_recordings_lists_no_package_reserved_for_evaluation(recordings):
    assert len(recordings) > 12_000
    assert [r for r in recordings if is_reserved(r.package)] == []


def test_read_recordings_says_all_facts_of_each(recordings):
    for r in recordings:
        assert r.registry in ("debian", "npm") and r.trust in ("A", "B")
        assert all((r.package, r.version, r.path, r.kind, r.caption, r.licence))
        assert 0 < r.seconds < 600 and 0 < r.band_hz <= r.rate_hz / 2
    assert len({(r.package, r.path) for r in recordings}) == len(recordings)


def test_choose_for_training_takes_trust_b_only_where_a_kind_has_next_to_nothing_else():
    long = dataclasses.replace(A, seconds=29.0, path="long.wav")
    other = dataclasses.replace(A, trust="B", path="b.wav", seconds=60.0)
    owl = dataclasses.replace(other, kind="owl")
    assert choose_for_training([A, long, other, owl]) == [A, long, owl]
    assert choose_for_training([long, other, owl]) == [long, other, owl]


def test_choose_for_training_leaves_out_reserved_and_held_out_packages():
    held = dataclasses.replace(A, package=min(HELD_OUT))
    reserved = dataclasses.replace(A, package="wesnoth-1.16-data")
    assert choose_for_training([held, reserved]) == []
    assert choose_held_out([A, held, reserved]) == [held]


def test_choose_shares_no_package_between_training_and_held_out(recordings):
    training, held_out = choose_for_training(recordings), choose_held_out(recordings)
    assert not {r.package for r in training} & {r.package for r in held_out}
    assert {r.package for r in held_out} == HELD_OUT
    both = {r.kind for r in training} & {r.kind for r in held_out} & set(CLASSES)
    assert len(both) >= 20
