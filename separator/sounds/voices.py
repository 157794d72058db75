"""Make speech of a man, a woman or a crowd: from the bank or, without one, by moving formants.

Shapes: T samples.
"""

import numpy as np

from separator.sounds.bank import Bank, find_bank
from separator.sounds.formants import talk
from separator.sounds.primitives import wander
from separator.sounds.take import SoundClass, Take

GROUP = "voice"
# Share of formant voices in training, also with a bank: espeak-ng's voices have one vocal tract.
FORMANTS_SHARE = 0.25
CROWD_BASE_S = 2.5
EITHER = ("a person speaking", "speech", "someone is talking", "a human voice")


def _make_man(take: Take) -> np.ndarray:
    bank = _choose_bank(take)
    return bank.cut(take, "man") if bank else talk(take, is_woman=False)


def _make_woman(take: Take) -> np.ndarray:
    bank = _choose_bank(take)
    return bank.cut(take, "woman") if bank else talk(take, is_woman=True)


def _make_babble(take: Take) -> np.ndarray:
    bank = _choose_bank(take)
    num_voices = int(take.rng.integers(8, 21))
    if bank:
        out_T = bank.cut(take, "man", "woman", num_voices=num_voices)
    else:
        out_T = _gather(take, num_voices)
    # Groups of talkers fall silent and get going again.
    return out_T * wander(take.rng, take.num_samples, take.rate_hz, 0.4, 0.6, 1.2)


def _choose_bank(take: Take) -> Bank | None:
    """Return the bank, or None for a synthesized voice."""
    bank = find_bank()
    if bank is not None and not take.held_out and take.chance(FORMANTS_SHARE):
        return None
    return bank


def _gather(take: Take, num_voices: int) -> np.ndarray:
    """Make a crowd of two synthesized talkers, each heard at several speeds and moments."""
    length = min(take.num_samples, int(CROWD_BASE_S * take.rate_hz))
    talkers = []
    for is_woman in (False, True):
        talker = talk(take, is_woman, length)
        for _ in range(3):
            at = np.arange(0, length - 1, take.uniform(0.85, 1.2))
            talkers.append(np.interp(at, np.arange(length), talker))
    out_T = np.zeros(take.num_samples)
    for number in range(num_voices):
        talker = np.roll(talkers[number % len(talkers)], int(take.rng.integers(length)))
        out_T += 10 ** (take.uniform(-10, 0) / 20) * np.resize(talker, take.num_samples)
    return out_T


VOICES: tuple[SoundClass, ...] = (
    SoundClass(
        "man",
        GROUP,
        (
            "a man speaking",
            "male speech",
            "a male voice",
            "a man is talking",
            "a man talks",
            "a male voice talking",
            "the voice of a man",
            "a man is giving a talk",
            "speech of a male speaker",
            "a man reads aloud",
            *EITHER,
        ),
        (
            "a male speaker says something",
            "some man is speaking loudly",
            "a man with a deep voice tells a story",
            "men speaking one at a time",
            "a man talks with the neighbour",
        ),
        _make_man,
    ),
    SoundClass(
        "woman",
        GROUP,
        (
            "a woman speaking",
            "female speech",
            "a female voice",
            "a woman is talking",
            "a woman talks",
            "a female voice talking",
            "the voice of a woman",
            "a woman is giving a talk",
            "speech of a female speaker",
            "a woman reads aloud",
            *EITHER,
        ),
        (
            "a female speaker says something",
            "some woman is speaking loudly",
            "a high female voice is heard",
            "women speaking one at a time",
            "a woman talks with the neighbour",
        ),
        _make_woman,
    ),
    SoundClass(
        "babble",
        GROUP,
        (
            "a crowd of people talking",
            "crowd babble",
            "many voices at once",
            "chatter in a restaurant",
            "people talking all at the same time",
            "a crowd",
            "the murmur of a crowd",
            "many people are talking",
            "a busy room full of chatter",
            "background babble of voices",
            "a chattering crowd",
        ),
        (
            "a large crowd is chattering",
            "babble of a crowd in a hall",
            "lots of people talking in a hall",
            "the chatter of guests at a party",
            "a babbling crowd before the show",
        ),
        _make_babble,
    ),
)
