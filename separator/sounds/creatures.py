"""Synthesize animals: songs, barks, meows, bleats and hoots.

Shapes: T samples, H harmonics.
"""

import numpy as np

from separator.sounds.events import alternate, describe, gather, glide, line_up, utter, voice
from separator.sounds.primitives import band, harmonics, hold, noise, sine, wander
from separator.sounds.small_creatures import make_bee, make_crickets, make_frog
from separator.sounds.take import SoundClass, Take


def _sing_note(take: Take, base_hz: float) -> np.ndarray:
    kind = take.choose("chirp", "tweet", "whistle")
    if kind == "chirp":
        length_s, points = take.uniform(0.035, 0.1), [take.uniform(0.65, 1), take.uniform(1, 1.5)]
        points = points if take.chance(0.4) else points[::-1]
    elif kind == "tweet":
        length_s, points = take.uniform(0.08, 0.2), [take.uniform(0.7, 1.3) for _ in range(4)]
    else:
        length_s, points = take.uniform(0.15, 0.4), [take.uniform(0.85, 1.15) for _ in range(2)]
    length = int(length_s * take.rate_hz)
    warble = take.choose(0, take.uniform(0.01, 0.07)) * (kind != "chirp")
    freq_T = base_hz * glide(points, length)
    freq_T *= 1 + warble * sine(take.uniform(18, 60), length, take.rate_hz)
    levels = (1, take.uniform(0, 0.2), take.uniform(0, 0.05))
    note = harmonics(np.clip(freq_T, 1_800, 7_000), levels, length, take.rate_hz)
    return note * hold(length, length_s * take.uniform(0.1, 0.5), length_s * 0.4, take.rate_hz)


def _sing(take: Take) -> np.ndarray:
    """Sing as one bird: phrases of a few notes of its own."""
    base_hz = take.log_uniform(2_300, 5_500)
    notes = [_sing_note(take, base_hz * take.uniform(0.85, 1.2)) for _ in range(4)]
    style = take.choose("repeat", "trill", "song")

    def sing_phrase() -> np.ndarray:
        if style == "repeat":
            phrase, gaps = [take.choose(*notes[:2])] * take.choose(1, 2, 3, 5), (0.05, 0.2)
        elif style == "trill":
            quick = min(notes, key=len)[: int(0.06 * take.rate_hz)]
            quick = quick * hold(len(quick), 0.003, 0.01, take.rate_hz)
            phrase, gaps = [quick] * int(take.rng.integers(6, 22)), (0.01, 0.05)
        else:
            phrase, gaps = [take.choose(*notes) for _ in range(take.choose(3, 4, 6))], (0.01, 0.12)
        gap_s = take.uniform(*gaps)
        return line_up(phrase, [gap_s] * len(phrase), take.rate_hz)

    return alternate(take, sing_phrase, (0.2, take.uniform(0.5, 1.5)))


def _make_bird(take: Take) -> np.ndarray:
    return gather(take, _sing, take.choose(0, 0, 1, 2), (-14, -3))


def _make_dog(take: Take) -> np.ndarray:
    pitch_hz = take.log_uniform(130, 850)  # from a mastiff to a lapdog
    size = (pitch_hz / 300) ** 0.4
    formants = tuple(
        (size * take.uniform(*span), quality, level)
        for *span, quality, level in (
            (550, 800, 4, 1.0),
            (1_200, 1_600, 6, 0.7),
            (2_300, 3_200, 6, 0.3),
        )
    )
    rough, tilt = take.uniform(0.15, 0.6), take.uniform(0.5, 1.1)
    bark_s = take.uniform(0.1, 0.18) + take.uniform(0, 0.1) / size

    def bark() -> np.ndarray:
        length = int(bark_s * take.uniform(0.85, 1.15) * take.rate_hz)
        rise, fall = take.uniform(0.6, 0.85), take.uniform(0.5, 0.75)
        freq_T = pitch_hz * take.uniform(0.93, 1.07) * glide([rise, 1.1, 1, fall], length)
        freq_T *= 1 + 0.06 * rough * wander(take.rng, length, take.rate_hz, 60, -1, 1)
        voiced = utter(voice(take, freq_T, tilt, rough), formants, take.rate_hz)
        return np.tanh(1.5 * voiced) * hold(length, 0.012, 0.5 * bark_s, take.rate_hz)

    barks = [bark() for _ in range(3)]
    gap_s, most = take.log_uniform(0.08, 0.45), take.choose(1, 2, 4, 6)

    def bark_series() -> np.ndarray:
        series = [take.choose(*barks) for _ in range(int(take.rng.integers(1, most + 1)))]
        gaps = [gap_s * take.uniform(0.8, 1.2) for _ in series]
        return line_up(series, gaps, take.rate_hz)

    return alternate(take, bark_series, (0.3, 1.2))


def _make_cat(take: Take) -> np.ndarray:
    pitch_hz, size = take.log_uniform(380, 780), take.uniform(0.9, 1.2)
    closed = ((500 * size, 3, 0.8), (2_300 * size, 6, 0.5))
    wide = ((950 * size, 4, 1.0), (1_700 * size, 5, 0.8), (3_200 * size, 6, 0.3))
    rounded = ((600 * size, 4, 1.0), (1_050 * size, 5, 0.5))
    tilt = take.uniform(0.6, 1.1)

    def meow() -> np.ndarray:
        length_s = take.uniform(0.4, 1.2)
        length = int(length_s * take.rate_hz)
        top = take.uniform(1.05, 1.35)
        contour = [take.uniform(0.75, 0.95), top, top * take.uniform(0.9, 1.05), 0.9]
        freq_T = pitch_hz * glide([*contour, take.uniform(0.6, 0.85)], length)
        freq_T *= 1 + 0.02 * wander(take.rng, length, take.rate_hz, 8, -1, 1)
        source = voice(take, freq_T, tilt, take.uniform(0.02, 0.15))
        vowels = [utter(source, mouth, take.rate_hz) for mouth in (closed, wide, rounded)]
        at_T = np.linspace(0, 1, length) ** take.uniform(0.6, 1.3) * 2  # mee, aaa, ow
        opened = sum(np.clip(1 - np.abs(at_T - i), 0, 1) * vowel for i, vowel in enumerate(vowels))
        return opened * hold(length, 0.15 * length_s, 0.45 * length_s, take.rate_hz)

    meows = [meow() for _ in range(2)]
    return alternate(take, lambda: take.choose(*meows), (0.2, 1.3))


def _make_sheep(take: Take) -> np.ndarray:
    lamb = take.chance(0.35)
    pitch_hz = take.log_uniform(320, 480) if lamb else take.log_uniform(130, 260)
    size = 1.25 if lamb else take.uniform(0.9, 1.1)
    formants = ((650 * size, 4, 1.0), (1_500 * size, 7, 0.8), (2_700 * size, 7, 0.5))
    shakes_hz, depth = take.uniform(6, 10.5), take.uniform(0.2, 0.42)
    tilt = take.uniform(0.3, 0.8)

    def bleat() -> np.ndarray:
        length = int(take.uniform(0.5, 1.2) * take.rate_hz)
        speed_T = shakes_hz * wander(take.rng, length, take.rate_hz, 3, 0.9, 1.1)
        shake = sine(speed_T, length, take.rate_hz)
        contour = [take.uniform(0.9, 1), 1.05, take.uniform(0.8, 0.95)]
        freq_T = pitch_hz * glide(contour, length) * (1 + 0.04 * shake)
        voiced = utter(voice(take, freq_T, tilt, 0.15), formants, take.rate_hz)
        return voiced * (1 - depth + depth * shake) * hold(length, 0.04, 0.2, take.rate_hz)

    bleats = [bleat() for _ in range(2)]
    return alternate(take, lambda: take.choose(*bleats), (0.3, 1.4))


def _make_owl(take: Take) -> np.ndarray:
    pitch_hz, breath = take.log_uniform(280, 520), take.uniform(0.02, 0.12)
    levels = (1, take.uniform(0.02, 0.15), take.uniform(0, 0.06))

    def hoot(length_s: float) -> np.ndarray:
        length = int(length_s * take.rate_hz)
        freq_T = pitch_hz * glide([take.uniform(0.88, 0.97), 1, take.uniform(0.9, 1)], length)
        freq_T *= 1 + 0.012 * sine(take.uniform(4, 8), length, take.rate_hz)
        air = band(noise(take.rng, length), pitch_hz, 1.5 * pitch_hz, take.rate_hz)
        tone = harmonics(freq_T, levels, length, take.rate_hz) + breath * air
        return tone * hold(length, 0.3 * length_s, 0.5 * length_s, take.rate_hz)

    short_s, long_s = take.uniform(0.1, 0.22), take.uniform(0.35, 0.7)
    lengths_s = take.choose(
        (long_s,),
        (long_s, long_s),
        (long_s, short_s, short_s, long_s),
        (short_s, short_s, long_s, long_s),
        (short_s,) * 7,
        (long_s, short_s, long_s),
    )
    gaps = [take.uniform(0.06, 0.35) for _ in lengths_s]
    phrase = line_up([hoot(length_s) for length_s in lengths_s], gaps, take.rate_hz)
    return alternate(take, lambda: phrase, (0.6, take.uniform(0.8, 2)))


CREATURES: tuple[SoundClass, ...] = (
    describe(
        "bird",
        _make_bird,
        "bird, a bird singing, birds chirping, a songbird, birdsong, tweeting birds, "
        "the bird sings, the twittering of small birds, a bird trills, chirps of a bird",
        "a bird chirps in a tree, birds sing at dawn, a songbird tweets, trilling birdsong, "
        "a bird's song at dawn",
    ),
    describe(
        "dog",
        _make_dog,
        "dog, a dog barking, barks, a small dog barks, the barking of a big dog, a puppy yapping, "
        "a dog goes woof, a guard dog barking, dogs barking, a large hound barks, yapping lapdog",
        "the barks of a large dog, a barking puppy, a dog barks at the guests, "
        "a big dog says woof, a hound barking",
    ),
    describe(
        "cat",
        _make_cat,
        "cat, a cat meowing, meow, a kitten mewing, the cat meows, a hungry cat, meowing kitten, "
        "a cat calls, the mewing of a cat, a tomcat, miaow, cats meowing",
        "a hungry kitten meows, a cat meows at the door, small kittens meowing, "
        "a mewing cat hungry for milk, a kitty says meow",
    ),
    describe(
        "crickets",
        make_crickets,
        "crickets, crickets chirping at night, a cricket, the chirping of a cricket, cicadas, "
        "a cicada singing, grasshoppers, cicadas on a summer day, the cricket chirps, "
        "a field cricket in the grass, grasshoppers chirping",
        "a cricket chirps in the dark, cicadas sing in the meadow, crickets in the summer grass, "
        "a grasshopper chirps in the grass, a cicada sings in a tree",
    ),
    describe(
        "frog",
        make_frog,
        "frog, a frog croaking, frogs in a pond, croaks, ribbit, the croaking of frogs, a toad, "
        "a bullfrog croaks, the frog says ribbit, toads calling, a croaking toad, many frogs",
        "a frog croaks in the pond, an old toad croaks, frogs croak in the swamp, "
        "ribbits from the pond, a big bullfrog croaks",
    ),
    describe(
        "sheep",
        _make_sheep,
        "sheep, a sheep bleating, a lamb bleats, baa, bleating lambs, the bleat of a sheep, "
        "a flock of sheep, the sheep goes baa, a goat bleating, goats, an ewe and her lamb",
        "a lamb bleats for its mother, a sheep bleats in the meadow, an old sheep says baa, "
        "a goat bleats on the mountain, a bleat from the flock",
    ),
    describe(
        "owl",
        _make_owl,
        "owl, an owl hooting, the hoot of an owl, owls at night, hoots, an owl hoots in the dark, "
        "hooting, a tawny owl calling, the owl calls, a night owl",
        "an owl hoots in the forest, the hoots of owls in the barn, an owl calls from the tower, "
        "owls hoot at the moon, the hooting of a great owl",
    ),
    describe(
        "bee",
        make_bee,
        "bee, a bee buzzing, bees, an insect buzzing, a buzzing fly, a bumblebee, "
        "a fly buzzes around, a swarm of bees, the buzz of an insect, wasps buzzing, "
        "a bee flies past, the humming of bees",
        "a bee buzzes around the flowers, the buzz of a bumblebee, flies buzzing, "
        "an insect buzzes at the window, a bee hums around a flower",
    ),
)
