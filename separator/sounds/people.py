"""Synthesize people without words: steps, claps, knocks, snores, coughs, laughs, heartbeats.

Shapes: T samples.
"""

import numpy as np

from separator.sounds.applause import make_applause
from separator.sounds.events import (
    alternate,
    buzz,
    describe,
    gain,
    glide,
    line_up,
    normalize,
    utter,
    voice,
)
from separator.sounds.primitives import add_at, band, decay, hold, noise, resonate, sine, wander
from separator.sounds.take import SoundClass, Take


def _hit_wood(take: Take, lowest_hz: float, num_samples: int, t60_s: float) -> np.ndarray:
    """Strike a board with something hard: a click and a few dull modes."""
    click = noise(take.rng, num_samples) * decay(num_samples, 0.012, take.rate_hz, 0.0005)
    out = take.uniform(0.05, 0.25) * band(click, 500, 5_000, take.rate_hz, order=1)
    for ratio in (1, take.uniform(1.5, 1.8), take.uniform(2.2, 2.8), take.uniform(3.3, 4.5)):
        mode = sine(lowest_hz * ratio, num_samples, take.rate_hz)
        ring = decay(num_samples, t60_s / ratio**0.5, take.rate_hz, 0.001)
        out += take.uniform(0.3, 1) / ratio**0.7 * mode * ring
    return out


def _crunch(take: Take, num_samples: int) -> np.ndarray:
    """Step on gravel: a cloud of grains."""
    grains = np.zeros(num_samples)
    at = (num_samples * take.rng.beta(1.5, 2.5, take.choose(60, 120, 250))).astype(int)
    np.add.at(grains, at, take.rng.standard_normal(len(at)))
    centres_hz = take.log_uniform(900, 2_000), take.log_uniform(2_500, 5_000)
    return sum(
        (resonate(grains, freq, 1.2, take.rate_hz) for freq in centres_hz), np.zeros(num_samples)
    )


def _hit_stone(take: Take, num_samples: int, heel_hz: float) -> np.ndarray:
    click = noise(take.rng, num_samples) * decay(num_samples, 0.03, take.rate_hz, 0.0008)
    tap = resonate(click, heel_hz, 1.5, take.rate_hz)
    thump = sine(take.uniform(80, 160), num_samples, take.rate_hz)
    return tap + take.uniform(0.05, 0.25) * thump * decay(num_samples, 0.08, take.rate_hz, 0.003)


def _make_footsteps(take: Take) -> np.ndarray:
    running = take.chance(0.25)
    period_s = 1 / (take.uniform(2.5, 3.3) if running else take.uniform(1.4, 2.2))
    ground = take.choose("gravel", "wood", "concrete")
    heel_hz, board_hz = take.log_uniform(900, 3_500), take.log_uniform(90, 220)
    length = int(period_s * take.rate_hz)

    def hit(contact_s: float) -> np.ndarray:
        part = int(contact_s * take.rate_hz)
        if ground == "gravel":
            return normalize(_crunch(take, part)) * hold(part, 0.01, 0.06, take.rate_hz)
        if ground == "wood":
            return normalize(_hit_wood(take, board_hz * take.uniform(0.95, 1.05), part, 0.15))
        return normalize(_hit_stone(take, part, heel_hz * take.uniform(0.9, 1.1)))

    def step() -> np.ndarray:
        out = np.zeros(length)
        add_at(out, hit(take.uniform(0.12, 0.2)), 0)
        if not running:  # the heel comes first, then the ball of the foot
            late = int(take.uniform(0.07, 0.13) * take.rate_hz)
            add_at(out, take.uniform(0.15, 0.5) * hit(take.uniform(0.1, 0.18)), late)
        return out

    # Two different feet, each with two steps of its own.
    left, right = ([side * step() for _ in range(2)] for side in (1, take.uniform(0.75, 1)))

    def walk() -> np.ndarray:
        return np.concatenate([take.choose(*left), take.choose(*right)])

    return alternate(take, walk, (0, 0.06 * period_s))


def _make_knocking(take: Take) -> np.ndarray:
    door_hz, t60_s = take.log_uniform(110, 420), take.uniform(0.08, 0.22)
    length = int(t60_s * take.rate_hz)
    knocks = [_hit_wood(take, door_hz * take.uniform(0.98, 1.02), length, t60_s) for _ in range(3)]
    gap_s, most = take.uniform(0.05, 0.22), take.choose(3, 4, 5)

    def knock_group() -> np.ndarray:
        group = [
            take.uniform(0.7, 1) * take.choose(*knocks) for _ in range(most - take.choose(0, 1))
        ]
        gaps = [gap_s * take.uniform(0.85, 1.15) for _ in group]
        return line_up(group, gaps, take.rate_hz)

    return alternate(take, knock_group, (0.5, take.uniform(0.7, 1.8)))


def _make_snoring(take: Take) -> np.ndarray:
    rate_hz = take.rate_hz
    flutter_hz, throat_hz = take.log_uniform(28, 75), take.uniform(150, 320)
    throat = ((throat_hz, 3, 1.0), (2.6 * throat_hz, 4, 0.5), (1_400, 3, take.uniform(0.05, 0.2)))

    def breathe(length_s: float, roughness: float) -> np.ndarray:
        length = int(length_s * rate_hz)
        flaps_T = flutter_hz * glide([0.8, 1.1, take.uniform(0.8, 1.2)], length)
        flaps_T *= wander(take.rng, length, rate_hz, 25, 0.85, 1.15)
        rattle = normalize(buzz(flaps_T, np.arange(1, 60) ** -0.8, rate_hz))
        rasp = noise(take.rng, length, -2) * (1 - roughness + roughness * np.abs(rattle))
        source = normalize(rasp) + roughness * take.uniform(0.2, 0.8) * rattle
        rough = utter(source, throat, rate_hz)
        return rough * hold(length, 0.35 * length_s, 0.4 * length_s, rate_hz)

    inhale_s, exhale_s = take.uniform(0.8, 1.6), take.uniform(0.6, 1.4)
    inhale = breathe(inhale_s, take.uniform(0.7, 1))
    exhale = gain(take.uniform(-20, -6)) * breathe(exhale_s, take.uniform(0, 0.5))
    if take.chance(0.3):  # whistling
        pitch_T = take.uniform(500, 900) * glide([1, 0.9], len(exhale))
        tone = sine(pitch_T, len(exhale), rate_hz) * hold(len(exhale), 0.2, 0.3, rate_hz)
        exhale = exhale + gain(take.uniform(-26, -16)) * tone

    def snore() -> np.ndarray:
        return line_up([inhale, exhale], [take.uniform(0.05, 0.4)], rate_hz)

    return alternate(take, snore, (0.1, take.uniform(0.3, 0.9)))


def _make_cough(take: Take) -> np.ndarray:
    rate_hz, size = take.rate_hz, take.uniform(0.85, 1.3)
    tract = ((550, 3, 0.9), (1_300, 4, 1.0), (2_400, 4, 0.7), (3_800, 3, 0.4))
    tract = tuple((size * freq, quality, level) for freq, quality, level in tract)
    voice_hz, hoarse = size**2 * take.log_uniform(110, 260), take.uniform(0.2, 1.2)

    def cough_once() -> np.ndarray:
        length_s = take.uniform(0.22, 0.42)
        length = int(length_s * rate_hz)
        burst = decay(length, take.uniform(0.12, 0.25), rate_hz, 0.004)
        after = hold(length, 0.09, 0.5 * length_s, rate_hz)
        freq_T = voice_hz * glide([1.15, 1.1, take.uniform(0.6, 0.85)], length)
        freq_T *= 1 + 0.1 * wander(take.rng, length, rate_hz, 50, -1, 1)
        source = noise(take.rng, length, -1) * (burst + take.uniform(0.1, 0.25) * after)
        source += take.uniform(0.1, 0.3) * hoarse * voice(take, freq_T, 0.6, 0) * after
        return utter(source, tract, rate_hz) * hold(length, 0.003, 0.06, rate_hz)

    coughs = [cough_once() for _ in range(3)]
    gap_s, most = take.uniform(0.02, 0.2), take.choose(2, 3, 5)

    def cough_series() -> np.ndarray:
        series = [take.choose(*coughs) for _ in range(int(take.rng.integers(1, most + 1)))]
        fading = [cough * 0.9**number for number, cough in enumerate(series)]
        return line_up(fading, [gap_s * take.uniform(0.7, 1.3) for _ in fading], rate_hz)

    return alternate(take, cough_series, (0.4, 1.4))


def _make_laughter(take: Take) -> np.ndarray:
    rate_hz, high = take.rate_hz, take.chance(0.5)
    pitch_hz = take.log_uniform(240, 480) if high else take.log_uniform(110, 230)
    size = take.uniform(1.1, 1.25) if high else take.uniform(0.9, 1.05)
    vowel = take.choose(
        ((780, 5, 1.0), (1_250, 7, 0.7), (2_600, 9, 0.25)),  # ha
        ((560, 5, 1.0), (1_800, 9, 0.5), (2_500, 9, 0.3)),  # heh
        ((320, 4, 1.0), (2_300, 10, 0.4), (3_000, 10, 0.3)),  # hee
        ((480, 5, 1.0), (900, 7, 0.6), (2_400, 9, 0.15)),  # ho
    )
    vowel = tuple((size * freq, quality, level) for freq, quality, level in vowel)
    per_second, breathy = take.uniform(4, 6.5), take.uniform(0.05, 0.3)

    def laugh_once(lift: float) -> np.ndarray:
        length = int(rate_hz / per_second)
        puff_s = length / rate_hz * take.uniform(0.3, 0.45)
        puff = int(puff_s * rate_hz)
        voiced = length - puff
        freq_T = pitch_hz * lift * glide([1.05, 1.1, take.uniform(0.8, 0.95)], voiced)
        source = breathy * noise(take.rng, length, -1)
        source *= hold(length, 0.8 * puff_s, 0.6 * puff_s, rate_hz)
        tone = voice(take, freq_T, 0.9, 0.3 * breathy)
        source[puff:] += tone * hold(voiced, 0.02, 0.5 * voiced / rate_hz, rate_hz)
        return utter(source, vowel, rate_hz)

    # A laugh sinks as the breath runs out.
    laughs = [laugh_once(lift) for lift in np.linspace(take.uniform(1.05, 1.5), 0.85, 6)]

    def laugh_bout() -> np.ndarray:
        count = int(take.rng.integers(3, 13))
        bout = [gain(-10 * n / count) * laughs[n * len(laughs) // count] for n in range(count)]
        return line_up(bout, [take.uniform(-0.01, 0.015) for _ in bout], rate_hz)

    return alternate(take, laugh_bout, (0.3, 1.2))


def _make_heartbeat(take: Take) -> np.ndarray:
    rate_hz, num_samples = take.rate_hz, take.num_samples
    period_s = 60 / take.log_uniform(50, 140)
    depth_hz = take.log_uniform(38, 75)

    def thud(freq_hz: float, length_s: float) -> np.ndarray:
        length = int(length_s * rate_hz)
        tone = sine(freq_hz * glide([1.3, 0.85], length), length, rate_hz)
        flesh = band(noise(take.rng, length), 0.5 * freq_hz, 3 * freq_hz, rate_hz)
        bump = hold(length, 0.2 * length_s, 0.75 * length_s, rate_hz)
        return bump * (tone + take.uniform(0.1, 0.4) * normalize(flesh))

    lub = thud(depth_hz, take.uniform(0.11, 0.16))
    dub = take.uniform(0.5, 1) * thud(depth_hz * take.uniform(1.2, 1.6), take.uniform(0.08, 0.12))
    beat = np.zeros(max(len(lub), int(period_s * rate_hz)))
    add_at(beat, lub, 0)
    # The first pause shrinks less than the second when the heart is quick.
    add_at(beat, dub, int(take.uniform(0.28, 0.33) * period_s**0.6 * rate_hz))
    beats = alternate(take, lambda: beat, (0, take.uniform(0.005, 0.05) * period_s))
    body = band(noise(take.rng, num_samples), 30, 150, rate_hz)
    return beats + gain(take.uniform(-50, -30)) * normalize(body)


PEOPLE: tuple[SoundClass, ...] = (
    describe(
        "footsteps",
        _make_footsteps,
        "footsteps, someone walking, a person running, steps on gravel, walking on a wooden floor, "
        "heels on concrete, the sound of steps, someone walks down a hallway, running feet, "
        "shoes on the pavement, footsteps going by, a person paces up and down",
        "a footstep on the floor, somebody walks over gravel, the steps of a runner, "
        "walking feet, footfalls and steps on a path",
    ),
    describe(
        "applause",
        make_applause,
        "applause, people clapping, an audience applauding, the audience claps, clapping hands, "
        "a round of applause, hands clap, applause in a theatre, a few people applaud, "
        "loud clapping, spectators clapping",
        "the audience claps for the actor, the applause of the audience, people clap their hands, "
        "applauding spectators, claps from a small crowd",
    ),
    describe(
        "knocking",
        _make_knocking,
        "knocking, a knock on the door, someone knocking at the door, a few knocks, "
        "a person knocks on wood, rapping on a wooden door, a visitor knocks, knock knock, "
        "loud knocks, someone raps at the door",
        "a neighbour knocks at the door, knuckles knocking on wood, three knocks at the door, "
        "a visitor knocks at the window, knuckles rap on the door",
    ),
    describe(
        "snoring",
        _make_snoring,
        "snoring, a man snoring, someone snores, a snore, loud snores, a sleeping person snoring, "
        "the sleeper snores, snoring in bed, heavy breathing in sleep, a snoring sleeper, "
        "rough breathing through the nose",
        "the snores of an old sleeper, a person who snores, snoring loudly, "
        "a sleeping man that snores, somebody snoring on the couch",
    ),
    describe(
        "cough",
        _make_cough,
        "cough, a person coughing, someone coughs, coughs, a bad cough, a coughing fit, "
        "a sick man coughing, a dry cough, a woman coughs, someone coughs hard, a hacking cough",
        "somebody coughing in church, the cough of a sick person, a bad fit of coughs, "
        "a man who coughs, an old smoker coughing",
    ),
    describe(
        "laughter",
        _make_laughter,
        "laughter, someone laughing, a person laughs, a laugh, giggling, a woman laughing, "
        "ha ha ha, a man laughs out loud, chuckling, a hearty laugh, a giggle, loud laughter",
        "somebody laughs at a party, a man laughing at a story, a fit of giggles, "
        "the hearty laugh of a woman, he laughs",
    ),
    describe(
        "heartbeat",
        _make_heartbeat,
        "heartbeat, a heart beating, a beating heart, the heart beats, a pulse, heartbeats, "
        "a heart through a stethoscope, a racing heart, a slow heartbeat, lub dub, thumping heart",
        "the steady beat of a heart, a heart beats in the chest, a fast heartbeat, "
        "the pulse of a heart, a thumping heartbeat",
    ),
)
