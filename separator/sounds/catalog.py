"""List all classes of sounds, and make a finished sound: in a room, at a level.

Shapes: T samples.
"""

from zlib import crc32

import numpy as np

from separator.errors import RequestError
from separator.sounds.alarms import ALARMS
from separator.sounds.creatures import CREATURES
from separator.sounds.machines import MACHINES
from separator.sounds.music import MUSIC
from separator.sounds.nature import NATURE
from separator.sounds.people import PEOPLE
from separator.sounds.primitives import band, hold, reverberate
from separator.sounds.take import SoundClass, Take
from separator.sounds.voices import VOICES

CLASSES: dict[str, SoundClass] = {
    sound.name: sound
    for sound in (*VOICES, *MUSIC, *ALARMS, *MACHINES, *NATURE, *CREATURES, *PEOPLE)
}
HIGHEST_PEAK = 0.95


def make_sound(
    name: str, seed: int, num_samples: int, rate_hz: int = 32_000, held_out: bool = False
) -> np.ndarray:
    """Make a sound (T,), float32; the same arguments give the same samples."""
    if name not in CLASSES:
        raise RequestError(f"{name!r}: no such class of sounds; choose one of {', '.join(CLASSES)}")
    rng = np.random.default_rng([crc32(name.encode()), seed, held_out])
    take = Take(rng, num_samples, rate_hz, held_out)
    return finish(take, np.asarray(CLASSES[name].make(take), np.float64))


def finish(take: Take, dry_T: np.ndarray) -> np.ndarray:
    """Add colour, room and pauses at random, and set the level."""
    x_T = dry_T / (np.abs(dry_T).max() + 1e-12)
    if take.chance(0.4):
        tilt = take.uniform(-0.6, 1.0)
        x_T = x_T + tilt * band(x_T, None, take.log_uniform(300, 3_000), take.rate_hz, order=1)
    if take.chance(0.6):
        t60_s = take.log_uniform(0.15, 1.5)
        x_T = reverberate(x_T, take.rng, take.rate_hz, t60_s, take.log_uniform(0.02, 0.5))
    if take.chance(0.3):
        x_T = x_T * make_pause(take)
    rms = float(np.sqrt(np.mean(x_T**2))) + 1e-12
    gain = min(10 ** (take.uniform(-32, -14) / 20) / rms, HIGHEST_PEAK / np.abs(x_T).max())
    return (gain * x_T).astype(np.float32)


def make_pause(take: Take) -> np.ndarray:
    """Make a gain curve (T,) that leaves 40 to 80 % of the take, with soft ends."""
    length = int(take.num_samples * take.uniform(0.4, 0.8))
    gain_T = np.zeros(take.num_samples)
    start = int(take.rng.integers(take.num_samples - length + 1))
    gain_T[start : start + length] = hold(length, 0.05, 0.1, take.rate_hz)
    return gain_T
