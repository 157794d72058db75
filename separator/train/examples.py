"""Example number i of a run: which sounds, how loud, asked for how. The same on every machine.

Shapes: B batch, T samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from separator.errors import AudioError, RequestError
from separator.storage import Storage
from separator.train.mixer import measure_energy, mix
from separator.train.recipe import DataSettings
from separator.train.sound_lists import Source, group_by_kind, read_stretch

# A stretch this quiet (-60 dB) holds no target to learn from.
SILENCE = 1e-6
# Draws before a list counts as broken as a whole.
MOST_DRAWS = 50


@dataclass(frozen=True)
class Example:
    """`caption` asks for `target`, which is silence where what it names is not in the mixture."""

    mixture: np.ndarray
    target: np.ndarray
    caption: str
    is_absent: bool
    num_skipped: int


class Examples:
    """Endless examples by number, drawn from a list of sources."""

    def __init__(
        self,
        sources: Sequence[Source],
        settings: DataSettings,
        rate_hz: int,
        seed: int,
        storage: Storage,
    ) -> None:
        self.storage = storage
        self.settings = settings
        self.rate_hz = rate_hz
        self.seed = seed
        self.num_samples = round(settings.segment_s * rate_hz)
        self.by_kind = group_by_kind(sources)
        if len({s.group for s in sources}) < 2:
            raise RequestError("data.lists: sounds of two groups at least are needed to mix")

    def make(self, number: int) -> Example:
        rng = np.random.default_rng([self.seed, number])
        target, target_T, skipped = self._draw(rng, set())
        groups, others = {target.group}, []
        for _ in range(2 if rng.random() < self.settings.third_ratio else 1):
            other, other_T, more = self._draw(rng, groups)
            groups.add(other.group)
            others.append(other_T)
            skipped += more
        level_db = self.settings.level_db
        gains_db = [float(rng.uniform(-level_db, level_db)) for _ in others]
        mixture_T, target_T = mix(target_T, others, gains_db)
        is_absent = rng.random() < self.settings.absent_ratio and len(self._outside(groups)) > 0
        if is_absent:
            target, target_T = self._choose(rng, groups), np.zeros_like(target_T)
        caption = target.captions[int(rng.integers(len(target.captions)))]
        return Example(mixture_T, target_T, caption, is_absent, skipped)

    def make_batch(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        made = [self.make(int(number)) for number in numbers]
        return {
            "mixture": np.stack([e.mixture for e in made]),
            "target": np.stack([e.target for e in made]),
            "caption": np.array([e.caption for e in made]),
            "is_absent": np.array([e.is_absent for e in made]),
            "num_skipped": np.array([e.num_skipped for e in made]),
        }

    def _outside(self, groups: set[str]) -> list[str]:
        return [kind for kind, members in self.by_kind.items() if members[0].group not in groups]

    def _choose(self, rng: np.random.Generator, groups: set[str]) -> Source:
        kinds = self._outside(groups)
        sources = self.by_kind[kinds[int(rng.integers(len(kinds)))]]
        return sources[int(rng.integers(len(sources)))]

    def _draw(self, rng: np.random.Generator, groups: set[str]) -> tuple[Source, np.ndarray, int]:
        """A source outside the groups, its samples, and how many files were unusable before it."""
        skipped = 0
        for _ in range(MOST_DRAWS):
            source = self._choose(rng, groups)
            try:
                samples_T = read_stretch(
                    self.storage, source.uri, self.num_samples, self.rate_hz, rng
                )
            except AudioError:
                skipped += 1
                continue
            if measure_energy(samples_T) > SILENCE:
                return source, samples_T, skipped
        raise AudioError(f"{MOST_DRAWS} draws in a row were unreadable or silent ({skipped} bad)")
