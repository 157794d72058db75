"""Make scenes for the measurement of presence: a minute with up to four sounds at known times.

The sounds are held-out takes of the generator, of kinds that are never confused by name, over a
faint noise. A sound may contain pauses: a pause of 1 s or more divides it into two events. Equal
seeds give equal scenes.

Shapes: T samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from separator.audio.window import Times
from separator.detect.activity import find_active
from separator.sounds.catalog import CLASSES, make_sound

RATE_HZ = 32_000
SCENE_S = 60.0
LENGTH_S = (2.0, 15.0)
MAX_SOUNDS = 4
NOISE_DB = -65.0
FIRST_SEED = 7_000_000  # of scenes; seeds of training and of mini's tables are lower


@dataclass(frozen=True)
class Scene:
    """A mixture and, for each kind that sounds in it, when."""

    samples: np.ndarray  # (T,)
    events: dict[str, list[Times]]


def make_scene(seed: int, kinds: Sequence[str] = tuple(CLASSES), seconds: float = SCENE_S) -> Scene:
    """Make the scene number `seed`, with none to four sounds of different groups."""
    rng = np.random.default_rng([FIRST_SEED, seed])
    num_samples = round(seconds * RATE_HZ)
    noise_T = rng.standard_normal(num_samples)
    samples_T = (10 ** (NOISE_DB / 20) * noise_T).astype(np.float32)
    events: dict[str, list[Times]] = {}
    for i, kind in enumerate(draw_kinds(rng, kinds)):
        length = round(min(rng.uniform(*LENGTH_S), seconds) * RATE_HZ)
        start = int(rng.integers(num_samples - length + 1))
        sound_T = make_sound(kind, FIRST_SEED + 10 * seed + i, length, RATE_HZ, held_out=True)
        samples_T[start : start + length] += sound_T
        events[kind] = find_active(sound_T, RATE_HZ, start / RATE_HZ)
    peak = float(np.abs(samples_T).max())
    return Scene(samples_T / max(1.0, np.float32(peak / 0.95)), events)


def draw_kinds(rng: np.random.Generator, kinds: Sequence[str]) -> list[str]:
    """Draw none to four kinds, no two of one group: a man's voice is also in a crowd's."""
    groups: dict[str, list[str]] = {}
    for kind in kinds:
        groups.setdefault(CLASSES[kind].group, []).append(kind)
    count = min(int(rng.integers(MAX_SOUNDS + 1)), len(groups))
    chosen = rng.choice(list(groups), count, replace=False)
    return [str(rng.choice(groups[group])) for group in chosen]
