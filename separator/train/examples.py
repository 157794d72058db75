"""Make training examples by number: example i is the same on every machine.

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

# Energy (-60 dB) at or below which a stretch counts as silent.
SILENCE = 1e-6
# Draws in a row without a usable sound that end the run.
MOST_DRAWS = 50


@dataclass(frozen=True)
class Example:
    """One example. `caption` is the query for `target`; where it names a sound that is not in the
    mixture (`is_absent`), the target is silence. `num_skipped` counts unusable files met."""

    mixture: np.ndarray
    target: np.ndarray
    caption: str
    is_absent: bool
    num_skipped: int


class Examples:
    """Draw examples by number from a list of sources."""

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
            groups = sorted({s.group for s in sources})
            raise RequestError(f"data.lists: only the group {groups[0]!r}; two groups are needed")

    def make(self, number: int) -> Example:
        """Draw a target, one or two other sounds and a caption; mix them."""
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
        """Stack the examples of these numbers, field by field."""
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
        """Draw a source outside the groups, its samples, and the number of files skipped before."""
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
        raise AudioError(
            f"data.lists: {MOST_DRAWS} sounds drawn in a row cannot be used: {skipped} unreadable, "
            f"{MOST_DRAWS - skipped} silent"
        )
