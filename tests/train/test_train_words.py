"""New words for an encoder; what it knew stays where it was."""

import numpy as np
import pytest
import soundfile
import torch

from separator.encoders.mini import RATE_HZ, MiniEncoder, read_mini
from separator.encoders.words import collect_words
from separator.errors import RequestError
from separator.model.registry import resolve
from separator.sounds.catalog import make_sound
from separator.storage import Storage
from separator.train.sound_lists import Source
from separator.train.train_encoder import draw_turns
from separator.train.train_words import add_words, find_known, teach_words

NEW = {"dog": "a blorp", "rain": "zindling", "siren": "quaxes"}


@pytest.fixture(scope="module")
def bundled():
    return read_mini(resolve("mini", Storage().fetch))


def make_sources(kinds=NEW) -> list[Source]:
    known = {"dog": ("a dog barking", "barks"), "rain": ("rain",), "siren": ("a siren", "sirens")}
    return [
        Source(f"{kind}.wav", (*known.get(kind, ()), new), kind, kind)
        for kind, new in kinds.items()
    ]


def test_new_words_get_the_place_of_their_kind(bundled):
    larger, steps = teach_words(bundled, make_sources(), 100, 96, 0, Storage())
    assert list(steps)[-1]["accuracy"] > 0.9
    texts = ["a dog barking", "rain", "a siren"]
    known = bundled.encode_texts(texts)
    found = larger.encode_texts([f"{new} in the distance" for new in NEW.values()])
    assert (found @ known.T).argmax(1).tolist() == [0, 1, 2]
    assert np.diag(found @ larger.encode_texts(texts).T).min() > 0.5
    assert bundled.list_unknown(["zindling"]) and not larger.list_unknown(["zindling"])


def test_the_sides_that_are_not_trained_stay(bundled):
    texts = ["a dog barking", "rain on a roof", "a piano melody"]
    for more in ([], ["a blorp"]):
        larger = add_words(bundled, more, 0)
        np.testing.assert_array_equal(larger.encode_texts(texts), bundled.encode_texts(texts))
    assert add_words(bundled, ["a blorp"], 0).encoder_id == larger.encoder_id
    assert add_words(bundled, ["a blorp"], 1).encoder_id != larger.encoder_id
    taught, steps = teach_words(bundled, make_sources(), 2, 6, 0, Storage())
    list(steps)
    for mine, theirs in zip(taught.audio.parameters(), bundled.audio.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert taught.encoder_id != bundled.encoder_id


def test_what_is_not_taught_is_not_forgotten(bundled):
    """One list with one own kind: the words of all other kinds stay where they were."""
    taught, steps = teach_words(bundled, make_sources({"dog": "a blorp"}), 60, 96, 0, Storage())
    list(steps)
    texts = ["a piano melody", "rain on a roof", "a cricket", "a steam locomotive"]
    before, after = bundled.encode_texts(texts), taught.encode_texts(texts)
    assert (after @ before.T).argmax(1).tolist() == [0, 1, 2, 3]


def test_a_kind_without_a_known_caption_gets_the_place_of_its_sounds(bundled, tmp_path):
    sounds = {name: make_sound(name, 7, 3 * RATE_HZ) for name in ("heartbeat", "whistle")}
    for name, sound_T in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", sound_T, RATE_HZ)
    sources = [Source(str(tmp_path / "whistle.wav"), ("a blorp",), "blorp", "blorp")]
    taught, steps = teach_words(bundled, sources, 80, 94, 0, Storage())
    list(steps)
    (blorp,) = taught.encode_texts(["a blorp"])
    near, far = (bundled.encode_audio(sounds[n][None], RATE_HZ) for n in ("whistle", "heartbeat"))
    assert blorp @ near > 0.8 > blorp @ far


def test_a_kind_that_shares_a_word_with_another_gets_the_place_of_its_sounds(bundled, tmp_path):
    """The encoder may know "a hammer on metal" from another kind, and yet not this kind."""
    whistle_T = make_sound("whistle", 7, 3 * RATE_HZ)
    soundfile.write(tmp_path / "whistle.wav", whistle_T, RATE_HZ)
    words = collect_words(["rain", "a hammer on metal"])
    small = MiniEncoder(words, bundled.head_width).eval()
    small.audio.load_state_dict(bundled.audio.state_dict())
    sources = [
        Source(
            str(tmp_path / "whistle.wav"), ("a smith", "a hammer on metal"), "hammering", "knocking"
        )
    ]
    assert find_known(small, "hammering", ["a hammer on metal"]) == []
    taught, steps = teach_words(small, sources, 100, 8, 0, Storage())
    list(steps)
    (hammer,) = taught.encode_texts(["a smith"])
    assert hammer @ bundled.encode_audio(whistle_T[None], RATE_HZ) > 0.8


def test_a_kind_of_which_nothing_can_be_read_is_an_error(bundled, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound")
    sources = [Source(str(tmp_path / "a.wav"), ("a blorp",), "blorp", "blorp")]
    with pytest.raises(RequestError, match="'blorp': none of its 1 sounds"):
        teach_words(bundled, sources, 1, 46, 0, Storage())


def test_draw_turns_gives_every_kind_its_turn():
    rng = np.random.default_rng(0)
    assert sorted(draw_turns(5, 15, rng)) == sorted([*range(5)] * 3)
    few = {kind for _ in range(60) for kind in draw_turns(5, 2, rng)}
    assert few == set(range(5))
