"""Make examples for a detector that says when: sounds at known times in ten seconds.

Example i is the same on every machine.

Shapes: T samples, N rows, K labels.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.signal import butter, sosfilt

from separator.detect.activity import find_active, mark_rows
from separator.errors import RequestError
from separator.model.frame_net import RATE_HZ, ROW
from separator.sounds.primitives import hold
from separator.storage import Storage
from separator.train.draw import PEAK, draw_log, make_drawer
from separator.train.examples import choose_source, group_by_package, list_groups
from separator.train.recipe import DataSettings
from separator.train.sound_lists import Source

SOUND_DB = -26.0  # RMS of a sound, before its own gain
NOISE_DB = (-60.0, -15.0)  # level of the noise relative to SOUND_DB
NOISE_HZ = (100.0, 4_000.0)  # half of the noises fall off above a frequency in this range
EXAMPLE_DB = (-22.0, 6.0)  # gain of a whole example
EDGE_S = 0.005


class PlacedSounds:
    """Draw examples by number: sounds of random kinds, each of another group."""

    def __init__(
        self, sources: Sequence[Source], settings: DataSettings, seed: int, storage: Storage
    ) -> None:
        self.settings, self.seed = settings, seed
        self.drawer = make_drawer(settings, RATE_HZ, storage)
        self.labels = sorted({source.kind for source in sources})
        self.groups = list_groups(group_by_package(sources))
        self.pools = {
            is_real: group_by_package(s for s in sources if is_real in (None, bool(s.package)))
            for is_real in (None, False, True)
        }
        least, most = settings.num_sounds
        num_groups = len(set[str]().union(*self.groups.values()))
        if most > num_groups:
            raise RequestError(
                f"data.num_sounds={[least, most]}: must be [least, most], and no more than the "
                f"{num_groups} groups of the lists"
            )

    def make_batch(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """Stack the examples of these numbers."""
        made = [self.make(int(number)) for number in numbers]
        return {
            "waveform": np.stack([waveform_T for waveform_T, _, _ in made]),
            "active": np.stack([active_NK for _, active_NK, _ in made]),
            "num_skipped": np.array([skipped for _, _, skipped in made]),
        }

    def make(self, number: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Draw the sounds of one example and place them; also count unusable files met."""
        rng = np.random.default_rng([self.seed, number])
        num_samples = self.drawer.num_samples
        num_rows = -(-num_samples // ROW)
        waveform_T = np.zeros(num_samples, np.float32)
        active_NK = np.zeros((num_rows, len(self.labels)), np.float32)
        num_skipped = 0
        for kind in self._draw_kinds(rng):
            sound_T, skipped = self._draw_sound(rng, kind)
            num_skipped += skipped
            start = int(rng.integers(-len(sound_T) // 2, num_samples - len(sound_T) // 2))
            first, stop = max(0, start), min(num_samples, start + len(sound_T))
            waveform_T[first:stop] += sound_T[first - start : stop - start]
            times = find_active(sound_T, RATE_HZ, start / RATE_HZ)
            rows = mark_rows(times, num_rows, ROW / RATE_HZ)
            active_NK[rows, self.labels.index(kind)] = 1
        if rng.random() < self.settings.noise_ratio:
            waveform_T += draw_noise(rng, num_samples)
        peak = float(np.abs(waveform_T).max(initial=0))
        gain = 10 ** (rng.uniform(*EXAMPLE_DB) / 20)
        return waveform_T * np.float32(min(gain, PEAK / max(peak, 1e-9))), active_NK, num_skipped

    def _draw_kinds(self, rng: np.random.Generator) -> list[str]:
        least, most = self.settings.num_sounds
        kinds: list[str] = []
        count = int(rng.integers(least, most + 1))
        taken: set[str] = set()  # groups
        while len(kinds) < count and any(not own & taken for own in self.groups.values()):
            kind = self.labels[int(rng.integers(len(self.labels)))]
            if not self.groups[kind] & taken:
                kinds.append(kind)
                taken |= self.groups[kind]
        return kinds

    def _draw_sound(self, rng: np.random.Generator, kind: str) -> tuple[np.ndarray, int]:
        """Draw a sound of a kind."""
        packages = self._choose_origin(rng, kind)
        shortest_s, longest_s = self.settings.sound_s
        length = round(rng.uniform(shortest_s, longest_s) * RATE_HZ)
        drawer = replace(self.drawer, num_samples=length)
        _, sound_T, skipped = drawer.draw(rng, lambda: choose_source(packages, rng))
        sound_T = sound_T * hold(length, EDGE_S, EDGE_S, RATE_HZ)
        level = float(np.sqrt(np.mean(np.square(sound_T, dtype=np.float64)))) + 1e-9
        level_db = SOUND_DB + rng.uniform(-1, 1) * self.settings.level_db
        return (sound_T * (10 ** (level_db / 20) / level)).astype(np.float32), skipped

    def _choose_origin(self, rng: np.random.Generator, kind: str) -> list[list[Source]]:
        """Choose recordings or synthetic sounds of a kind by `real_ratio`, if it has both."""
        if self.settings.real_ratio < 0:
            return self.pools[None][kind]
        synthetic, real = (self.pools[is_real].get(kind) for is_real in (False, True))
        is_real = not synthetic or rng.random() < self.settings.real_ratio
        chosen = (real if is_real else None) or synthetic
        assert chosen, kind
        return chosen


def draw_noise(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Draw a floor of noise (T,): white, or falling off above a drawn frequency."""
    noise_T = rng.standard_normal(num_samples)
    if rng.random() < 0.5:
        sos = butter(1, draw_log(rng, *NOISE_HZ), fs=RATE_HZ, output="sos")
        noise_T = np.asarray(sosfilt(sos, noise_T))
    level_db = SOUND_DB + rng.uniform(*NOISE_DB)
    return (noise_T * (10 ** (level_db / 20) / noise_T.std())).astype(np.float32)
