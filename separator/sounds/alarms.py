"""Synthesize sirens, alarms, telephones, bells, horns, whistles and clocks.

Shapes: T samples, P partials.
"""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import uniform_filter1d

from separator.sounds import primitives as p
from separator.sounds.events import buzz, describe
from separator.sounds.take import SoundClass, Take

# Partials of a tuned church bell (hum, prime, tierce, quint, nominal, ...), a small one, a gong.
_CHURCH_RATIOS = (0.5, 1.0, 1.2, 1.5, 2.0, 2.51, 2.67, 3.01, 4.17, 5.43)
_SMALL_RATIOS = (1.0, 1.01, 2.0, 2.76, 3.9, 5.4)
_GONG_RATIOS = np.array((1.0, 1.52, 2.31, 2.93, 4.07))
_RINGS_S = ((2.0, 4.0), (1.0, 2.0), (1.0, 4.0), (0.4, 0.2, 0.4, 2.0), (1.5, 1.5))


def _switch(take: Take, pattern_s: Sequence[float], ramp_s: float) -> np.ndarray:
    """Make a level (T,) that is on and off in turn for the seconds in `pattern_s`, repeated."""
    edges = np.cumsum([0.0, *pattern_s])
    ramp = min(ramp_s, 0.4 * min(pattern_s[::2]))
    rises, falls = edges[:-1:2], edges[1::2]
    points = np.column_stack((rises, rises + ramp, falls - ramp, falls)).ravel()
    # However long the pauses are, a short take must not fall into one.
    first = take.uniform(-0.5 * pattern_s[0], min(pattern_s[-1], 0.3 * take.duration_s))
    now = (np.arange(take.num_samples) / take.rate_hz - first) % edges[-1]
    return np.interp(now, points, np.tile([0.0, 1.0, 1.0, 0.0], len(rises)))


def _count_up(take: Take, period_s: float, jitter: float = 0.0) -> list[int]:
    """List start samples of regular events, the first of them early in the take."""
    first = take.uniform(0, min(period_s, 0.4 * take.duration_s))
    count = int((take.duration_s - first) / period_s) + 1
    moved = np.arange(count) + take.rng.uniform(-jitter, jitter, count)
    return [int((first + period_s * n) * take.rate_hz) for n in moved]


def _partials(
    take: Take, freqs_P: np.ndarray, levels_P: np.ndarray, t60s_P: np.ndarray, num_samples: int
) -> np.ndarray:
    """Sum decaying sines, each from a random phase; an infinite t60 holds its level."""
    starts = levels_P * np.exp(2j * np.pi * take.rng.random(len(freqs_P)))
    starts = starts * (freqs_P < 0.48 * take.rate_hz)
    slopes = (2j * np.pi * freqs_P - np.log(1000) / t60s_P) / take.rate_hz
    # exp(s(a + b)) = exp(sa) exp(sb): one matrix product instead of a sine for every sample.
    jumps = np.exp(np.outer(np.arange(0, num_samples, 256), slopes))
    within = np.exp(np.outer(slopes, np.arange(256)))
    return ((jumps * starts) @ within).imag.ravel()[:num_samples]


def _blow(take: Take, long_s: float) -> list[float]:
    """Draw one to five blasts, mostly short, and a pause: a pattern for `_switch`."""
    blasts = [take.uniform(0.12, 0.4) if take.chance(0.6) else take.uniform(0.5, long_s)]
    for _ in range(int(take.rng.integers(0, 5))):
        blasts += [take.uniform(0.08, 0.35), take.uniform(0.12, 0.5)]
    return [*blasts, take.uniform(0.4, 2.0)]


def _sound_siren(take: Take) -> np.ndarray:
    count, rate = take.num_samples, take.rate_hz
    kind = take.choose("wail", "wail", "yelp", "hi-lo", "air raid", "switched")
    low, high = take.log_uniform(420, 700), take.log_uniform(1_000, 1_700)
    period_s, fast_s = take.log_uniform(2.0, 5.5), take.log_uniform(0.22, 0.45)
    rise = 0.5 if kind == "hi-lo" else take.uniform(0.25, 0.6)
    if kind == "hi-lo":
        low, period_s = take.log_uniform(430, 900), take.log_uniform(0.8, 1.6)
        high = low * take.choose(1.12, 1.2, 1.335, 1.335, 1.5)
    elif kind == "air raid":
        low, high, period_s = take.uniform(200, 320), take.uniform(480, 900), take.uniform(6, 12)
    speed = np.full(count, 1 / (fast_s if kind == "yelp" else period_s))
    if kind == "switched":
        speed[int(count * take.uniform(0.3, 0.7)) :] = 1 / fast_s
    at = (p.oscillate(speed, count, rate) + take.uniform(0, 1)) % 1
    shape = np.minimum(at / rise, (1 - at) / (1 - rise))
    if kind == "hi-lo":
        shape = np.clip(0.5 + take.uniform(10, 40) * (shape - 0.5), 0, 1)
    else:
        shape = np.sin(np.pi / 2 * shape) ** (1 if kind == "air raid" else 2)
    pitch, loud = low * (high / low) ** shape, 0.8 + 0.2 * shape
    if take.chance(0.4):  # It drives past: the pitch falls while the level passes a summit.
        near = (np.arange(count) / count - take.uniform(0.2, 0.8)) * take.uniform(2, 6)
        pitch = pitch * (1 - take.uniform(0.02, 0.06) * np.tanh(near))
        loud = loud / (0.3 + near**2 / (1 + near**2))
    number = np.arange(1, 13)
    levels = number ** -take.uniform(0.7, 1.6) * np.where(number % 2, 1, take.uniform(0.1, 1))
    tone = buzz(pitch, levels, rate)
    if kind == "air raid" and take.chance(0.6):  # Two rotors with different numbers of ports.
        tone += take.uniform(0.4, 1) * buzz(pitch * 1.2, levels, rate)
    return loud * p.band(tone, take.uniform(250, 500), take.uniform(2_500, 5_000), rate, order=1)


def _sound_alarm(take: Take) -> np.ndarray:
    kind, ratio = take.choose("smoke", "bedside", "truck", "panel"), 1.0
    if kind == "smoke":
        pitch, on_s = take.log_uniform(2_800, 3_600), take.choose(0.5, 0.5, 0.15, 0.25)
        pattern = (on_s, on_s, on_s, on_s, on_s, take.uniform(1, 1.5) if on_s > 0.3 else 2 * on_s)
    elif kind == "bedside":
        pitch, on_s = take.log_uniform(1_700, 3_000), take.uniform(0.04, 0.12)
        short = (on_s, on_s * take.uniform(0.8, 1.4)) * int(take.rng.integers(1, 5))
        pattern = (*short[:-1], take.uniform(0.25, 0.7))
    elif kind == "truck":
        pitch, on_s = take.log_uniform(900, 1_500), take.uniform(0.35, 0.6)
        pattern = (on_s, on_s * take.uniform(0.9, 1.2))
    else:
        pitch, on_s = take.log_uniform(700, 2_400), take.uniform(0.08, 0.3)
        pattern, ratio = (on_s, on_s * take.uniform(0.4, 1)), take.choose(1.0, 0.8, 1.26)
    level = _switch(take, pattern, take.uniform(0.002, 0.006))
    # If there are two pitches, every second beep is at the other one.
    beep = np.cumsum((level > 0) & (np.roll(level, 1) == 0))
    number = np.arange(1, 8)
    levels = number ** -take.uniform(1.0, 2.2) * np.where(number % 2, 1, take.uniform(0, 0.4))
    return level * buzz(pitch * np.where(beep % 2, ratio, 1.0), levels, take.rate_hz)


def _sound_telephone(take: Take) -> np.ndarray:
    count, rate = take.num_samples, take.rate_hz
    level = _switch(take, [take.uniform(0.9, 1.1) * s for s in take.choose(*_RINGS_S)], 0.008)
    kind = take.choose("gongs", "gongs", "trill", "chord")
    if kind == "gongs":  # A hammer between two gongs: struck so fast, they never fall silent.
        first, t60, gongs = take.log_uniform(750, 1_700), take.uniform(0.25, 0.9), []
        for pitch in (first, first * take.uniform(1.05, 1.3)):
            levels = take.rng.uniform(0.3, 1, len(_GONG_RATIOS)) / np.sqrt(_GONG_RATIOS)
            t60s, length = t60 / np.sqrt(_GONG_RATIOS), int(0.7 * t60 * rate)
            gongs.append(_partials(take, pitch * _GONG_RATIOS, levels, t60s, length))
        out = np.zeros(count)
        for number, start in enumerate(_count_up(take, 1 / take.uniform(30, 52), 0.06)):
            if 0 <= start < count and level[start] > 0:
                p.add_at(out, take.uniform(0.7, 1) * gongs[number % 2], start)
        return p.band(out, 300, None, rate)
    low, levels = take.log_uniform(600, 1_500), np.array([1.0, *take.rng.uniform(0, 0.5, 3)])
    turn = np.clip(2 * p.sine(take.uniform(12, 26), count, rate), -1, 1) / 2 + 0.5
    if kind == "trill":
        return level * buzz(low * take.uniform(1.15, 1.4) ** turn, levels, rate)
    steady = np.full(count, low)
    tone = buzz(steady, levels, rate) + buzz(steady * take.choose(1.2, 1.25, 1.5), levels, rate)
    return level * tone * (1 - take.uniform(0.4, 0.9) * turn)


def _sound_bell(take: Take) -> np.ndarray:
    rate, kind = take.rate_hz, take.choose("tolling", "tolling", "peal", "hand")
    ratios, prime, t60 = np.array(_CHURCH_RATIOS), take.log_uniform(140, 620), take.uniform(3, 9)
    period_s = take.uniform(0.25, 0.5) if kind == "peal" else take.uniform(1.1, 3.0)
    if kind == "hand":
        ratios, prime = np.array(_SMALL_RATIOS), take.log_uniform(900, 2_400)
        t60, period_s = take.uniform(0.6, 2.0), take.choose(take.uniform(0.1, 0.3), period_s)
    # No bell is quite round: each partial is a pair that beats.
    ratios = ratios * (1 + take.rng.uniform(-0.01, 0.01, len(ratios)))
    ratios = np.concatenate((ratios, ratios * (1 + take.rng.uniform(5e-4, 3e-3, len(ratios)))))
    levels = take.rng.uniform(0.3, 1, len(ratios)) * ratios ** -take.uniform(0.1, 0.9)
    t60s = t60 / np.maximum(ratios, 0.5) ** take.uniform(0.5, 0.9)
    length, bells = int(rate * min(t60, 3.5, take.duration_s)), []
    scale = (1.0, 0.891, 0.794, 0.749, 0.667)[: int(take.rng.integers(3, 6))]
    ends = p.hold(length, 0.002, 0.3 * length / rate, rate)
    for step in scale if kind == "peal" else (1.0,):
        clapper = p.band(p.noise(take.rng, length), 800, 5_000, rate) * p.decay(length, 0.03, rate)
        strike = _partials(take, prime * step * ratios, levels, t60s, length)
        bells.append((strike + take.uniform(0, 1) * clapper) * ends)
    out = np.zeros(take.num_samples)
    for number, start in enumerate(_count_up(take, period_s, 0.12 if kind == "hand" else 0.02)):
        p.add_at(out, take.uniform(0.6, 1) * bells[number % len(bells)], start)
    return out


def _sound_horn(take: Take) -> np.ndarray:
    count, rate = take.num_samples, take.rate_hz
    kind = take.choose("car", "car", "car", "truck", "ship")
    pattern, ramp_s, slope = _blow(take, 1.8), 0.012, take.uniform(0.3, 0.9)
    pitch, chord = take.log_uniform(300, 620), take.choose((1.0, 1.26), (1.0, 1.19), (1.0,))
    if kind == "truck":
        pitch, chord = take.log_uniform(170, 300), take.choose((1.0, 1.26, 1.5), (1.0, 1.19))
        pattern, ramp_s = [take.uniform(0.4, 2), take.uniform(0.3, 2)], 0.04
    elif kind == "ship":
        pitch, chord = take.log_uniform(75, 170), take.choose((1.0,), (1.0, 1.5), (1.0, 1.01))
        pattern, ramp_s = [take.uniform(1.5, 4), take.uniform(1, 3)], take.uniform(0.08, 0.25)
    number = np.arange(1, 17)
    freqs = pitch * np.outer(chord, number).ravel()
    levels = np.tile(number**-slope, len(chord)) * take.rng.uniform(0.3, 1, len(freqs))
    tone = _partials(take, freqs, levels, np.full(len(freqs), np.inf), count)
    mouth_hz = take.uniform(250, 700) if kind == "ship" else take.log_uniform(700, 3_200)
    tone = 0.3 * tone + p.resonate(tone, mouth_hz, take.uniform(0.7, 2), rate)
    return _switch(take, pattern, ramp_s) * tone


def _sound_whistle(take: Take) -> np.ndarray:
    count, rate = take.num_samples, take.rate_hz
    air = take.uniform(0.02, 0.3) * p.band(p.noise(take.rng, count), 1_200, 6_000, rate)
    if take.chance(0.35):  # A referee's: two close tones that a pea chops.
        pea = p.sine(p.wander(take.rng, count, rate, 3, 28, 55), count, rate)
        pitch = take.log_uniform(2_300, 3_600) * (1 + take.uniform(0.005, 0.02) * pea)
        tone = p.sine(pitch, count, rate)
        tone += take.uniform(0.3, 0.9) * p.sine(pitch * take.uniform(1.04, 1.16), count, rate)
        chopped = 1 - take.uniform(0.2, 0.6) * (0.5 + 0.5 * pea)
        return _switch(take, _blow(take, 1.4), 0.02) * chopped * (tone + 2 * air)
    # A melody: up and down a scale, the pitch sliding from note to note, some of them tongued.
    scale = np.array(take.choose((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9)))
    beat_s = take.uniform(0.16, 0.4)
    num_notes = int(take.duration_s / beat_s) + 2
    degrees = 7 + np.cumsum(take.rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3], num_notes))
    degrees = np.abs(degrees % 24 - 12)  # turns round at both ends of the range
    semitones = scale[degrees % len(scale)] + 12.0 * (degrees // len(scale))
    ends_s = np.cumsum(beat_s * take.rng.choice([1.0, 1.0, 1.0, 2.0, 3.0], num_notes))
    now = np.arange(count) / rate
    note = np.minimum(np.searchsorted(ends_s, now, side="right"), num_notes - 1)
    slid = uniform_filter1d(semitones[note], int(take.uniform(0.02, 0.08) * rate))
    slid += take.uniform(0, 0.4) * p.sine(take.uniform(4.5, 6.5), count, rate)
    pause = (take.rng.random(num_notes) < take.uniform(0, 1))[note] & (ends_s[note] - now < 0.05)
    pitch = take.log_uniform(550, 900) * 2 ** (slid / 12)
    tone = buzz(pitch, np.array([1.0, take.uniform(0, 0.12)]), rate)
    breath = p.wander(take.rng, count, rate, take.uniform(3, 30), 0.6, 1)
    return uniform_filter1d(1.0 - pause, int(0.02 * rate)) * breath * (tone + 0.3 * air)


def _sound_clock(take: Take) -> np.ndarray:
    rate, length, ticks = take.rate_hz, int(0.12 * take.rate_hz), []
    # Watches tick five times a second, small clocks four, wall clocks one or two.
    period_s = take.choose(0.2, 0.25, 0.4, 0.5, 0.5, 1.0) * take.uniform(0.93, 1.07)
    case_hz = take.log_uniform(500, 3_000) * (2 if period_s < 0.3 else 1)
    for shift in (1.0, take.uniform(0.7, 1.0)):  # tick, and a tock that may be lower
        click = np.zeros(length)
        for _ in range(int(take.rng.integers(1, 4))):  # the steps of an escapement
            hit = p.noise(take.rng, length) * p.decay(length, take.uniform(0.01, 0.05), rate, 3e-4)
            p.add_at(click, take.uniform(0.3, 1) * hit, int(take.uniform(0, 0.018) * rate))
        body = p.band(click, 400, None, rate, order=1) * take.uniform(0.02, 0.15)
        for ratio in (1, take.uniform(1.5, 2), take.uniform(2.3, 3.2)):
            body += p.resonate(click, case_hz * shift * ratio, take.uniform(6, 25), rate)
        ticks.append(shift * body / np.max(np.abs(body)))
    limp, out = int(take.uniform(-0.04, 0.04) * period_s * rate), np.zeros(take.num_samples)
    for number, start in enumerate(_count_up(take, period_s, 0.003)):
        p.add_at(out, take.uniform(0.9, 1) * ticks[number % 2], start + limp * (number % 2))
    return out


ALARMS: tuple[SoundClass, ...] = (
    describe(
        "siren",
        _sound_siren,
        "siren, an emergency siren wailing, police siren, ambulance passing with its siren on, the "
        "sound of a fire truck siren, sirens howling in the street, a wailing siren, a police car "
        "races by with sirens blaring, air raid siren, the siren of an ambulance rises and falls",
        "sirens of a police car wailing in the street, an ambulance siren screams, the wail of a "
        "siren racing past, a siren is blaring, police cars with their sirens howling",
    ),
    describe(
        "alarm",
        _sound_alarm,
        "alarm, an alarm beeping, electronic beeping, smoke alarm, a smoke detector is beeping, "
        "the beeps of an alarm, an electronic alarm goes off, a truck beeping as it backs up, "
        "reversing beeper of a truck, the alarm keeps sounding",
        "the alarm is going off, a smoke detector beeps in the kitchen, electronic beeps of a "
        "timer, a beeper sounding while a truck is reversing, an alarm beeps in the hospital",
    ),
    describe(
        "telephone",
        _sound_telephone,
        "telephone, a telephone ringing, phone ringing, an old telephone rings, the phone rings "
        "unanswered, ringing of a telephone in an office, an incoming phone call, a ringtone, the "
        "ring of a landline phone, desk phone rings, a telephone keeps ringing",
        "a phone rings twice, the old phone rings, a telephone call coming in, ringtone of a phone",
    ),
    describe(
        "bell",
        _sound_bell,
        "bell, a church bell tolling, church bells, bells ringing from a tower, a bell is struck, "
        "the tolling of a bell, a hand bell being rung, a bell rings, bells chime, a metal bell "
        "fades away, a small bell dings",
        "a bell tolls in the church tower, bells toll before the wedding, a bell rings at the "
        "school, bells chime in the tower, a big bell rings",
    ),
    describe(
        "horn",
        _sound_horn,
        "horn, a car horn honking, a driver honks the horn, honking in traffic, ship horn, a truck "
        "blows its air horn, a long blast of a horn, the honk of a car, horns blaring, car honks "
        "twice",
        "cars honk their horns in the street, an angry taxi driver honks his horn, the blast of a "
        "ship's horn, horns of cars in traffic, a horn blows",
    ),
    describe(
        "whistle",
        _sound_whistle,
        "whistle, a person whistling, someone whistles a tune, whistling a melody, a man is "
        "whistling, the whistling of a cheerful person, a whistle is blown, referee blows the "
        "whistle, a shrill whistle, a woman whistles",
        "a cheerful tune being whistled by a person, a man whistles a melody, someone whistles a "
        "shrill tune, a whistle blows at the end of the game, a boy whistles in the street",
    ),
    describe(
        "clock",
        _sound_clock,
        "clock, a clock ticking, tick tock, ticking of a clock, the clock on the wall ticks, a "
        "ticking watch, an old grandfather clock ticks slowly, the tick of a wall clock, steady "
        "ticking, a mechanical clock, a pocket watch ticks, a quiet room with a clock ticking",
        "clocks tick in the hall, the kitchen clock ticks on the wall, tick tock of an old clock, "
        "a watch ticks by the bed, slow ticks",
    ),
)
