"""Synthesize weather, water and fire: noise shaped by slow curves and strewn with drops and cracks.

Shapes: T samples, E points of a curve at `_CURVE_HZ`, before it is stretched over the samples.
"""

from collections.abc import Sequence

import numpy as np

from separator.sounds.events import describe, gain, normalize, pick_starts
from separator.sounds.primitives import add_at, band, decay, noise, resonate, sine, strew, wander
from separator.sounds.take import SoundClass, Take

_CURVE_HZ = 200

# Where the drops of a rain ring: (lowest centre, highest centre, quality) of each layer of drops.
_SURFACES = {
    "roof": ((900, 1_800, 2.5), (2_200, 4_000, 2.0), (4_500, 7_000, 1.5)),
    "leaves": ((600, 1_200, 1.2), (1_800, 3_500, 1.0), (4_000, 8_000, 1.0)),
    "ground": ((1_200, 2_500, 1.5), (3_000, 5_000, 1.0), (6_000, 10_000, 1.0)),
    "window": ((350, 700, 2.0), (1_500, 2_600, 2.0), (4_000, 7_000, 1.0)),
}


def _strike_at_random(take: Take, per_second: float, spread: float) -> np.ndarray:
    """Place impulses at random times, of log-normal sizes, at least one."""
    starts = np.append(strew(take.rng, take.num_samples, take.rate_hz, per_second), 0)
    # None so large that it would leave the rest of the take inaudible.
    sizes = np.exp(spread * np.minimum(take.rng.standard_normal(len(starts)), 2))
    sizes *= take.rng.choice((-1.0, 1.0), len(starts))
    return np.bincount(starts, sizes, take.num_samples)


def _curve_times(take: Take) -> np.ndarray:
    return np.arange(int(take.duration_s * _CURVE_HZ) + 2) / _CURVE_HZ


def _stretch(curve_E: np.ndarray, take: Take) -> np.ndarray:
    at_T = np.arange(take.num_samples) * (_CURVE_HZ / take.rate_hz)
    return np.interp(at_T, np.arange(len(curve_E)), curve_E)


def _swell(t_E: np.ndarray, peak_s: float, rise_s: float, fall_s: float) -> np.ndarray:
    since = t_E - peak_s
    return np.exp(-((np.minimum(since, 0) / rise_s) ** 2) - np.maximum(since, 0) / fall_s)


def _make_rain(take: Take) -> np.ndarray:
    rng, num_samples, rate_hz = take.rng, take.num_samples, take.rate_hz
    heaviness = take.uniform(0, 1)  # from a drizzle to a downpour
    drops = np.zeros(num_samples)
    for low, high, quality in _SURFACES[take.choose(*_SURFACES)]:
        per_second = 60 * 50**heaviness * take.uniform(0.6, 1.6)
        hits = _strike_at_random(take, per_second, take.uniform(0.5, 0.9))
        ringing = resonate(hits, take.log_uniform(low, high), quality, rate_hz)
        drops += take.uniform(0.4, 1) * normalize(ringing)
    bed = noise(rng, num_samples, take.uniform(-3, 0))
    bed = band(bed, take.log_uniform(300, 1_200), take.log_uniform(7_000, 14_000), rate_hz)
    bed_db = take.uniform(-10, -4) + 10 * heaviness
    out = normalize(drops) + gain(bed_db) * normalize(bed)
    return out * wander(rng, num_samples, rate_hz, take.uniform(0.1, 0.5), 0.75, 1)


def _make_wind(take: Take) -> np.ndarray:
    rng, num_samples, rate_hz = take.rng, take.num_samples, take.rate_hz
    gusts_hz = take.log_uniform(0.15, 0.7)
    force_T = wander(rng, num_samples, rate_hz, gusts_hz, 0, 1)
    force_T = 0.8 * force_T + 0.2 * wander(rng, num_samples, rate_hz, 4 * gusts_hz, 0, 1)
    # A stronger gust is louder and higher: it moves up a ladder of fixed bands.
    octave_T = take.uniform(-0.3, 0.7) + take.uniform(1, 2.2) * force_T
    white = noise(rng, num_samples, -3)
    out = np.zeros(num_samples)
    for step in range(4):
        centre_hz = 130.0 * 2**step
        part = band(white, 0.6 * centre_hz, 1.6 * centre_hz, rate_hz, order=1)
        out += part * np.exp(-((octave_T - step) ** 2) / 0.8)
    out = normalize(out)
    if take.chance(0.35):  # howling round a corner: a tone that is itself a narrow noise
        pitch_T = take.log_uniform(250, 600) * 2 ** (take.uniform(0.4, 1) * force_T)
        flutter = normalize(band(rng.standard_normal(num_samples), None, 12, rate_hz))
        howl = sine(pitch_T, num_samples, rate_hz) * (1 + 0.7 * flutter) * force_T
        out += gain(take.uniform(-8, 2)) * normalize(howl)
    if take.chance(0.4):  # in trees
        rustle = band(noise(rng, num_samples), 1_500, take.uniform(3_500, 6_000), rate_hz)
        out += gain(take.uniform(-22, -12)) * normalize(rustle) * force_T
    return out * 10 ** (take.uniform(14, 24) * (force_T - 1) / 20)


def _make_waves(take: Take) -> np.ndarray:
    rng, num_samples, rate_hz = take.rng, take.num_samples, take.rate_hz
    t_E = _curve_times(take)
    period_s = take.uniform(4, 10)
    surf, break_, wash = (np.full(len(t_E), gain(take.uniform(-18, -12))) for _ in range(3))
    start_s = -take.uniform(0, period_s)  # a take begins anywhere between two waves
    while start_s < take.duration_s + 2:
        size = take.uniform(0.6, 1)
        surf += size * _swell(t_E, start_s, take.uniform(0.8, 2.2), take.uniform(0.6, 1.4))
        break_ += size * _swell(t_E, start_s + 0.1, take.uniform(0.3, 0.9), take.uniform(0.5, 1.5))
        late_s = start_s + take.uniform(0.3, 0.9)  # the water hisses as it runs up and back
        wash += size * _swell(t_E, late_s, take.uniform(0.4, 0.9), take.uniform(1.2, 2.8))
        start_s += period_s * take.uniform(0.75, 1.25)
    pink = noise(rng, num_samples, -3)
    out = np.zeros(num_samples)
    edges = (70.0, take.uniform(300, 500), take.uniform(1_500, 2_500), take.uniform(6e3, 1e4))
    for i, curve_E in enumerate((surf, break_, wash)):
        part = normalize(band(pink, edges[i], edges[i + 1], rate_hz, order=1))
        out += take.uniform(0.5, 1) * part * _stretch(curve_E, take)
    return out


def _crack(take: Take) -> np.ndarray:
    """Make the tearing start of a near strike: a quick run of bursts."""
    length = int(take.uniform(0.3, 0.7) * take.rate_hz)
    out = np.zeros(length)
    for _ in range(take.choose(3, 5, 8)):
        burst = noise(take.rng, length // 2, -4)
        burst *= decay(len(burst), take.uniform(0.1, 0.4), take.rate_hz, attack_s=0.003)
        at = int(length * 0.5 * take.rng.random() ** 1.5)
        add_at(out, take.uniform(0.3, 1) * burst, at)
    return band(out, 50, take.log_uniform(900, 4_000), take.rate_hz, order=1)


def _make_thunder(take: Take) -> np.ndarray:
    t_E = _curve_times(take)
    rumble_E = np.full(len(t_E), 0.03)
    cracks = np.zeros(take.num_samples)
    nearness = take.uniform(0, 1)
    for start_s in pick_starts(take, (1.5, 4.5)):
        size, roll_s = take.uniform(0.5, 1), start_s + take.uniform(0.03, 0.2)
        rise_s = take.uniform(0.03, 0.1) + 0.2 * (1 - nearness) * take.uniform(0, 1)
        for _ in range(take.choose(4, 6, 9)):
            rumble_E += size * _swell(t_E, roll_s, rise_s, take.uniform(0.2, 0.8))
            roll_s += take.uniform(0.1, 0.6)
            size *= take.uniform(0.6, 1)
        if take.chance(nearness):
            crack = take.uniform(1, 2.5) * nearness * normalize(_crack(take))
            add_at(cracks, crack, int(start_s * take.rate_hz))
    body = noise(take.rng, take.num_samples, -3)
    brightest_hz = take.choose(180, 180, 1_200)  # near strikes keep more of the highs
    body = band(body, take.uniform(25, 45), take.log_uniform(80, brightest_hz), take.rate_hz)
    return normalize(body) * _stretch(rumble_E, take) + cracks


def _render_bubble(take: Take, freq_hz: float, ring_s: float) -> np.ndarray:
    """Make the sound of an air bubble: a tone that rises while it decays."""
    length = int(ring_s * take.rate_hz)
    rise_T = 1 + take.uniform(0.1, 0.7) * np.linspace(0, 1, length) ** 1.5
    attack_s = take.uniform(0.001, 0.003)
    tone = sine(freq_hz * rise_T, length, take.rate_hz)
    return tone * decay(length, ring_s, take.rate_hz, attack_s)


def _render_bubbles(take: Take, low_hz: float, high_hz: float, longest_s: float) -> list:
    freqs = sorted(take.log_uniform(low_hz, high_hz) for _ in range(24))
    rings = [longest_s * take.uniform(0.4, 1) * (low_hz / freq) ** 0.4 for freq in freqs]
    return [_render_bubble(take, *pair) for pair in zip(freqs, rings, strict=True)]


def _add_bubbles(
    take: Take, out_T: np.ndarray, bubbles: Sequence, per_second: float, rising: bool
) -> None:
    """Strew bubbles over the take; `rising` takes ever higher ones, as in a filling vessel."""
    starts = strew(take.rng, take.num_samples, take.rate_hz, per_second)
    sizes = np.exp(0.7 * take.rng.standard_normal(len(starts)))
    which = take.rng.integers(0, len(bubbles), len(starts))
    if rising:
        near = starts / take.num_samples * len(bubbles) + 3 * take.rng.standard_normal(len(starts))
        which = np.clip(near.astype(int), 0, len(bubbles) - 1)
    for start, size, i in zip(starts, sizes, which, strict=True):
        add_at(out_T, size * bubbles[i], start)


def _make_stream(take: Take) -> np.ndarray:
    rng, num_samples, rate_hz = take.rng, take.num_samples, take.rate_hz
    out = np.zeros(num_samples)
    kind = take.choose("brook", "brook", "pouring", "dripping")
    if kind == "dripping":
        bubbles = _render_bubbles(take, take.log_uniform(500, 1_100), 2_600, take.uniform(0.1, 0.3))
        for start_s in pick_starts(take, (0.12, take.uniform(0.3, 0.9))):
            start = int(start_s * rate_hz)
            plink = take.uniform(0.4, 1) * take.choose(*bubbles)
            add_at(out, plink, start)
            splash = noise(rng, len(plink)) * decay(len(plink), 0.02, rate_hz)
            add_at(out, take.uniform(0.05, 0.3) * splash, start - int(0.012 * rate_hz))
        _add_bubbles(take, out, [0.15 * bubble for bubble in bubbles], 6, rising=False)
        bed_db = take.uniform(-50, -34)
    else:
        low_hz = take.log_uniform(350, 800)
        bubbles = _render_bubbles(
            take, low_hz, low_hz * take.uniform(3, 6), take.uniform(0.06, 0.2)
        )
        _add_bubbles(take, out, bubbles, take.log_uniform(40, 200), rising=kind == "pouring")
        bed_db = take.uniform(-20, -6)
    bed = band(noise(rng, num_samples, -3), take.uniform(300, 700), take.uniform(3e3, 8e3), rate_hz)
    murmur_T = wander(rng, num_samples, rate_hz, take.uniform(2, 6), 0.5, 1)
    return out + gain(bed_db) * normalize(bed) * murmur_T


def _make_fire(take: Take) -> np.ndarray:
    rng, num_samples, rate_hz = take.rng, take.num_samples, take.rate_hz
    liveliness_T = wander(rng, num_samples, rate_hz, take.uniform(0.5, 2), 0.1, 1) ** 1.5
    crackle = np.zeros(num_samples)
    per_second = take.log_uniform(10, 60)
    for low, high, quality in ((600, 1_500, 1.5), (1_500, 3_000, 1.2), (3_000, 6_000, 1.0)):
        clicks = _strike_at_random(take, per_second * take.uniform(0.4, 1), 0.9) * liveliness_T
        ringing = resonate(clicks, take.log_uniform(low, high), quality, rate_hz)
        crackle += take.uniform(0.5, 1) * normalize(ringing)
    top = np.max(np.abs(crackle))
    snaps = [_snap(take) for _ in range(4)]
    for start_s in pick_starts(take, (0.15, take.uniform(0.6, 2))):
        add_at(crackle, top * take.uniform(0.2, 0.9) * take.choose(*snaps), int(start_s * rate_hz))
    roar = band(noise(rng, num_samples, -3), 45, take.log_uniform(250, 700), rate_hz, order=1)
    roar = normalize(roar) * wander(rng, num_samples, rate_hz, take.uniform(2, 6), 0.4, 1)
    return normalize(crackle) + gain(take.uniform(-10, 4)) * roar


def _snap(take: Take) -> np.ndarray:
    """Make the sound of bursting wood: noise and a short knock."""
    length = int(0.06 * take.rate_hz)
    knock = sine(take.log_uniform(300, 1_500), length, take.rate_hz)
    burst = 0.4 * noise(take.rng, length, -2) + take.uniform(0, 0.8) * knock
    out = burst * decay(length, take.uniform(0.01, 0.05), take.rate_hz, attack_s=0.0003)
    return out / np.max(np.abs(out))


NATURE: tuple[SoundClass, ...] = (
    describe(
        "rain",
        _make_rain,
        "rain, rain falling on a roof, a heavy downpour, raindrops on leaves, it is raining, "
        "the rain is pattering down, light drizzle, a rainy day, a rain shower, "
        "drops of rain hitting a window, heavy rainfall outside, steady rain on the ground",
        "rain pouring down on the leaves, the patter of raindrops, "
        "a rainstorm beats on the windows, raining hard on the rooftop, the sound of falling rain",
    ),
    describe(
        "wind",
        _make_wind,
        "wind, wind blowing, strong gusts of wind, a howling wind, it is windy, the wind rises "
        "and falls, a breeze in the trees, a windy day, blustery weather with gusts, "
        "the wind howls around the house, a cold wind blows, air blowing past",
        "the wind howls through the trees, a gust blowing by, gusty winds outdoors, "
        "a cold breeze through the leaves, wind whipping around the corner",
    ),
    describe(
        "waves",
        _make_waves,
        "waves, sea waves breaking on the shore, ocean surf, waves rolling onto a beach, "
        "the sea, the ocean, a wave crashes, surf washing over sand, waves crashing on rocks, "
        "the tide coming in, swells breaking at the seaside, a beach with waves",
        "ocean waves, the crash of the surf, the sound of the sea at the beach, "
        "waves washing ashore, big waves break on the rocks",
    ),
    describe(
        "thunder",
        _make_thunder,
        "thunder, rolling thunder, a clap of thunder, thunder rumbling in the distance, "
        "it is thundering, a thunderstorm, lightning strikes nearby, a deep rumble of thunder, "
        "loud thunder cracks, the thunder rolls, a storm with lightning, distant thunderclaps",
        "a thunderclap over the mountain, the rumble of a distant thunderstorm, "
        "a lightning strike, thunder rolling across the sky, thunder cracks over the mountain",
    ),
    describe(
        "stream",
        _make_stream,
        "stream, a babbling brook, running water, water flowing over stones, a small stream, "
        "water trickling, pouring water, water dripping, a gurgling creek, bubbling water, "
        "the water flows and splashes, drops of water dripping into a pool, the brook gurgles",
        "the babble of a stream, flowing water, somebody pours water into the pool, "
        "water trickles over stones, a bubbling brook",
    ),
    describe(
        "fire",
        _make_fire,
        "fire, a crackling fire, a campfire, fire burning in a fireplace, wood burning, "
        "flames crackling, logs crackle and pop, a bonfire, the fire crackles, "
        "a wood fire popping, burning logs, the roar of flames",
        "a fire crackles and burns, a burning campfire, firewood that burns, "
        "the flames of a fireplace, the crackling of burning logs",
    ),
)
