"""Synthesize machines: engines, helicopters, trains, drills, vacuums and typing.

Shapes: T samples.
"""

import numpy as np
from scipy.ndimage import uniform_filter1d

from separator.sounds import primitives as p
from separator.sounds.events import buzz, describe, normalize
from separator.sounds.steady import make_hiss, make_hum
from separator.sounds.take import SoundClass, Take

_TABLE_SIZE = 4_096


def _pick_rpm(take: Take, kind: str) -> np.ndarray:
    """Draw revolutions a minute (T,) for a way of running."""
    count, rate = take.num_samples, take.rate_hz
    idle = take.log_uniform(600, 1_150)
    if kind == "revving":
        presses = np.clip(p.wander(take.rng, count, rate, take.uniform(0.5, 1.2), -0.7, 1), 0, 1)
        return idle * (1 + take.uniform(1, 4) * presses)
    if kind == "driving":  # Up through a gear, then down at once into the next.
        gear = p.oscillate(1 / take.uniform(1.5, 4), count, rate) + take.uniform(0, 1)
        climb = uniform_filter1d(gear % 1, int(0.12 * rate), mode="nearest")
        return idle * (take.uniform(1.6, 2.4) + take.uniform(1, 2.5) * climb)
    steady = 1 if kind == "idle" else take.uniform(1.8, 4)
    return idle * steady * p.wander(take.rng, count, rate, 1.5, 0.97, 1.03)


def _sound_engine(take: Take) -> np.ndarray:
    count, rate = take.num_samples, take.rate_hz
    kind = take.choose("idle", "idle", "revving", "driving", "cruising")
    cylinders, rpm = take.choose(1, 2, 2, 3, 4, 4, 6, 8), _pick_rpm(take, kind)
    turn = p.oscillate(rpm / 120, count, rate)  # Each cylinder fires once in two revolutions.
    width, table = take.uniform(0.008, 0.03), np.zeros(_TABLE_SIZE)
    for number in range(cylinders):
        fires_at = (number + take.uniform(-0.12, 0.12)) / cylinders
        since = (np.arange(_TABLE_SIZE) / _TABLE_SIZE - fires_at) % 1 / width
        table += take.uniform(0.65, 1) * since * np.exp(1 - since)
    strokes = np.arange(int(2 * turn[-1]) + 2)
    vigour = np.interp(2 * turn, strokes, take.rng.uniform(0.7, 1.1, len(strokes)))
    pulses = table[(turn * _TABLE_SIZE).astype(int) % _TABLE_SIZE] * vigour
    gas = take.uniform(0.05, 0.5) * pulses * p.band(p.noise(take.rng, count), 150, 3_000, rate)
    bang = np.diff(pulses, prepend=pulses[0]) * rate / 400 + gas
    body = 0.4 * p.band(bang, None, take.log_uniform(300, 1_500), rate)
    for low_hz, high_hz in ((70, 150), (180, 420), (500, 1_300)):
        mode_hz, quality = take.log_uniform(low_hz, high_hz), take.uniform(1.2, 3)
        body += take.uniform(0.4, 1) * p.resonate(bang, mode_hz, quality, rate)
    clatter = normalize(p.band(p.noise(take.rng, count), 1_200, 5_000, rate) * pulses**2)
    loud = take.uniform(0.15, 0.5) if take.chance(0.35) else take.uniform(0.01, 0.06)  # a diesel?
    return (normalize(body) + loud * clatter) * (rpm / np.max(rpm)) ** 0.3


def _sound_helicopter(take: Take) -> np.ndarray:
    count, rate = take.num_samples, take.rate_hz
    blades_hz = take.log_uniform(9, 23) * p.wander(take.rng, count, rate, 0.4, 0.97, 1.03)
    turn = p.oscillate(blades_hz, count, rate)
    chop = (0.5 + 0.5 * np.cos(2 * np.pi * turn)) ** take.uniform(1.2, 4)
    floor = take.uniform(0.05, 0.35)
    wash = p.band(p.noise(take.rng, count, -3.0), 60, take.log_uniform(500, 3_000), rate)
    slap = p.band(p.noise(take.rng, count), take.uniform(200, 500), 2_500, rate)
    thump = buzz(blades_hz, np.arange(1, 25) ** -take.uniform(0.2, 0.7), rate)
    tail = buzz(blades_hz * take.uniform(4.3, 6.7), np.arange(1, 12) ** -1.0, rate)
    whine_hz = take.log_uniform(1_300, 4_500) * p.wander(take.rng, count, rate, 0.3, 0.99, 1.01)
    whine = buzz(whine_hz, np.array([1, 0.3]), rate) + 0.5 * p.sine(1.37 * whine_hz, count, rate)
    near = p.wander(take.rng, count, rate, 0.12, 0.35, 1)
    return near * (
        normalize(wash) * (floor + chop)
        + take.uniform(0, 0.7) * normalize(slap) * chop**2
        + take.uniform(0.1, 0.6) * normalize(p.band(thump, 25, None, rate))
        + take.uniform(0, 0.12) * normalize(tail)
        + near * take.log_uniform(0.01, 0.12) * normalize(whine)
    )


def _clack(take: Take) -> np.ndarray:
    """Make the sound of a wheel over a joint of the rails."""
    rate, length = take.rate_hz, int(0.3 * take.rate_hz)
    hit = p.noise(take.rng, length) * p.decay(length, take.uniform(0.08, 0.25), rate)
    ring = p.band(hit, take.uniform(300, 700), take.uniform(1_800, 4_000), rate)
    boom = p.sine(take.uniform(70, 160), length, rate) * p.decay(length, 0.25, rate)
    return normalize(ring) * take.uniform(0.5, 1) + normalize(boom) * take.uniform(0.3, 0.8)


def _sound_train(take: Take) -> np.ndarray:
    count, rate = take.num_samples, take.rate_hz
    rumble = p.band(p.noise(take.rng, count, -3.0), 35, take.log_uniform(200, 700), rate)
    rumble = normalize(rumble) * p.wander(take.rng, count, rate, 2, 0.6, 1)
    if take.chance(0.35):  # Steam: four puffs to a turn of the wheels, one of them the loudest.
        puffs_hz = np.geomspace(take.log_uniform(1.8, 6), take.log_uniform(1.8, 6), count)
        puff = p.oscillate(puffs_hz, count, rate) + take.uniform(0, 1)
        strength = np.array([1, *take.rng.uniform(0.45, 0.8, 3)])[puff.astype(int) % 4]
        since = puff % 1
        level = np.minimum(since / 0.08, 1) * np.exp(-since * take.uniform(2.5, 5))
        steam = p.band(p.noise(take.rng, count, -2.0), 120, take.log_uniform(1_500, 5_000), rate)
        return take.uniform(0.05, 0.25) * rumble + normalize(steam) * strength * level
    period_s, out = take.log_uniform(0.6, 1.5), take.uniform(0.25, 0.8) * rumble
    axle_s, bogie_s = period_s * take.uniform(0.13, 0.2), period_s * take.uniform(0.4, 0.5)
    wheels_s = [0, axle_s, bogie_s, bogie_s + axle_s] if take.chance(0.5) else [0, axle_s]
    clacks = [_clack(take) for _ in range(4)]
    first_s = -take.uniform(0, period_s)
    for number in range(int((take.duration_s - first_s) / period_s) + 1):
        for clack, wheel_s in zip(clacks, wheels_s, strict=False):
            at_s = first_s + number * period_s + wheel_s + take.uniform(-0.004, 0.004)
            p.add_at(out, take.uniform(0.6, 1) * clack, int(at_s * rate))
    hiss = p.band(p.noise(take.rng, count), 800, 3_500, rate)
    return out + take.uniform(0.02, 0.2) * hiss


def _sound_drill(take: Take) -> np.ndarray:
    count, rate = take.num_samples, take.rate_hz
    lengths_s = take.rng.uniform((0.7, 0.25), (3.0, 1.0), (int(take.duration_s) + 2, 2))
    switches_s = np.cumsum(lengths_s) - take.uniform(0, 0.5)
    on = np.searchsorted(switches_s, np.arange(count) / rate) % 2 == 0
    spin = p.band(on.astype(float), None, take.uniform(1.2, 4), rate, order=1)
    load = np.clip(p.wander(take.rng, count, rate, take.uniform(0.5, 1.5), -0.5, 1), 0, 1)
    freq = take.log_uniform(170, 520) * (0.08 + spin) * (1 - take.uniform(0.15, 0.4) * load)
    motor = buzz(freq, np.arange(1, 30) ** -take.uniform(0.4, 1.2), rate)
    gears = buzz(freq * take.uniform(4.2, 9.7), np.array([1, 0.6, 0.4, 0.2]), rate)
    chips = p.band(p.noise(take.rng, count), take.uniform(700, 2_000), 7_000, rate)
    chips = normalize(chips) * (0.1 + load) * (1 + 0.5 * p.sine(freq / 4, count, rate))
    if take.chance(0.3):  # A hammer drill beats while it is pressed on.
        blow = p.oscillate(take.uniform(22, 48) * (0.1 + spin), count, rate) % 1
        chips = chips * 2.5 * np.exp(-6 * blow) + 2 * load * np.exp(-12 * blow) * motor
    mix = take.uniform(0.5, 1) * normalize(p.band(motor, 200, None, rate))
    mix += take.uniform(0.2, 0.8) * normalize(gears) + take.uniform(0.3, 1) * chips
    return np.clip(spin, 0, 1) ** 1.5 * mix


def _sound_vacuum(take: Take) -> np.ndarray:
    count, rate = take.num_samples, take.rate_hz
    air = p.noise(take.rng, count, take.uniform(-4, -1))
    air = p.band(air, take.uniform(120, 300), take.log_uniform(4_000, 9_000), rate, order=1)
    for low_hz, high_hz in ((350, 900), (1_000, 2_500)):
        mode_hz, quality = take.log_uniform(low_hz, high_hz), take.uniform(1, 4)
        air = air + take.uniform(0.5, 2) * p.resonate(air, mode_hz, quality, rate)
    # Strokes over the floor: the nozzle closes, the fan runs free, and the air grows duller.
    stroke = p.wander(take.rng, count, rate, take.uniform(0.3, 0.9), 0, 1)
    freq = take.log_uniform(230, 480) * (1 + take.uniform(0.01, 0.08) * stroke)
    if take.chance(0.2):
        freq = freq * (1 - 0.9 * np.exp(-np.arange(count) / rate / take.uniform(0.2, 0.5)))
    motor = buzz(freq, np.arange(1, 9) ** -take.uniform(0.8, 1.6), rate)
    blades = buzz(freq * take.choose(5, 6, 7, 9), np.array([1, 0.3]), rate)
    mix = normalize(air) * (1 - take.uniform(0, 0.35) * stroke)
    mix += take.uniform(0.15, 0.6) * normalize(motor) + take.uniform(0.1, 0.4) * normalize(blades)
    return mix * np.minimum(1, freq / np.median(freq)) ** 2


def _press_key(take: Take, click_hz: float, thud_hz: float, ring_s: float) -> np.ndarray:
    """Press a key: down and, softer, up again."""
    rate = take.rate_hz
    length, out = int(0.09 * rate), np.zeros(int(0.25 * rate))
    hit = p.noise(take.rng, length) * p.decay(length, ring_s, rate, 5e-4)
    click = p.band(hit, click_hz * take.uniform(0.5, 0.7), click_hz * take.uniform(1.2, 2), rate)
    thud = p.resonate(hit, thud_hz * take.uniform(0.85, 1.2), take.uniform(2, 6), rate)
    down = normalize(click) + take.uniform(0.2, 0.8) * normalize(thud)
    p.add_at(out, down, 0)
    p.add_at(
        out, take.uniform(0.1, 0.45) * click / np.std(click), int(take.uniform(0.05, 0.12) * rate)
    )
    return out


def _sound_typing(take: Take) -> np.ndarray:
    out = np.zeros(take.num_samples)
    voice = (
        take.log_uniform(1_800, 4_500),
        take.log_uniform(180, 700),
        take.log_uniform(0.015, 0.07),
    )
    keys = [_press_key(take, *voice) for _ in range(8)]
    speed, at_s, left = take.log_uniform(3.5, 10), take.uniform(0, 0.2 * take.duration_s), 0
    while at_s < take.duration_s:
        if left == 0:  # A word or a few, then a thought.
            left = int(take.rng.integers(4, 25))
            at_s += take.uniform(0.2, 1.0) if np.any(out) else 0
        p.add_at(out, take.uniform(0.4, 1) * take.choose(*keys), int(at_s * take.rate_hz))
        at_s += np.exp(take.rng.normal(0, 0.35)) / speed
        left -= 1
    return out


MACHINES: tuple[SoundClass, ...] = (
    describe(
        "engine",
        _sound_engine,
        "engine, a car engine idling, an engine revving, a motorcycle engine, diesel engine, a "
        "motor running, the engine of a truck idles, car accelerating, a motorcycle revs up, the "
        "rumble of an engine, someone revs the engine, a car drives away, idling motor, engines",
        "a car with its engine idling in the street, motorcycles revving, "
        "the motor of a car is running, a running engine, a diesel motor idles",
    ),
    describe(
        "helicopter",
        _sound_helicopter,
        "helicopter, a helicopter flying overhead, helicopter rotor blades, a chopper in the sky, "
        "the beating of a helicopter's blades, a hovering helicopter, a helicopter flies past, "
        "chopping rotor of a helicopter, helicopters, a rescue helicopter lands",
        "a helicopter hovers overhead, the chopper is flying past, "
        "blades of a helicopter whirl overhead, rotor noise from a helicopter",
    ),
    describe(
        "train",
        _sound_train,
        "train, a train passing, a train on the tracks, the clatter of a train over rail joints, "
        "railway, a steam train puffing, steam locomotive, the train rolls by, clickety-clack of "
        "wheels on rails, a railroad train, a freight train rumbles past, trains, riding in a "
        "railway carriage",
        "a train rumbling past on its tracks, the steam locomotive puffs, "
        "a train passes the station, wheels of a train on the rails, railway train",
    ),
    describe(
        "hum",
        make_hum,
        "hum, an electrical hum, mains hum, a transformer humming, humming of a refrigerator, low "
        "electric hum, ground loop hum, the fridge hums, a steady low hum, power line hum, "
        "electric humming noise, a humming appliance",
        "a big transformer hums, an old appliance hums in the kitchen, "
        "a refrigerator hums in the kitchen, mains electricity hum, low humming",
    ),
    describe(
        "hiss",
        make_hiss,
        "hiss, tape hiss, white noise, hissing, radio static, a steady hiss, steam hissing out of "
        "a pipe, the hiss of leaking gas, background noise of a recording, static, air escaping "
        "from a valve, high-pitched hissing noise, a tape recording hisses",
        "an old tape hisses, static from an old radio, hissing steam, gas hisses out of a pipe, "
        "a constant hissing sound",
    ),
    describe(
        "drill",
        _sound_drill,
        "drill, an electric drill, drilling, a power drill boring into a wall, drilling a hole, a "
        "power tool, someone is drilling, the whine of a drill, a cordless drill, a drill starts "
        "and stops, drilling into wood, drills, workshop power tools, the drill bores through "
        "metal",
        "a drill boring a hole, someone drills holes into the wall, power tools in the garage, "
        "a drill whines in metal, an electric drill starts",
    ),
    describe(
        "vacuum",
        _sound_vacuum,
        "vacuum, a vacuum cleaner, vacuuming, a vacuum cleaner running, someone vacuums the "
        "carpet, vacuuming the floor, the roar of a vacuum cleaner, a hoover, cleaning the carpet "
        "with a vacuum, a vacuum cleaner sucking up dust, the vacuum is on, household vacuum "
        "cleaner",
        "someone vacuums the stairs, a running vacuum, vacuum cleaners on the floor, "
        "the bedroom carpet is vacuumed, a hoover runs over the carpet",
    ),
    describe(
        "typing",
        _sound_typing,
        "typing, typing on a keyboard, a person types on a computer, keyboard clicks, fast typing, "
        "the clatter of a computer keyboard, someone is typing, typing a letter, keys being "
        "pressed, clicking of keys, a typist at work, computer keys clicking",
        "someone types a story on a keyboard, clicks of a computer keyboard, "
        "a person typing fast, the keys of a keyboard, a long letter is typed on the computer",
    ),
)
