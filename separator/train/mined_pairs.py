"""Make examples in pairs for zero-shot separation: each of two sounds is the target once.

A pair is two sounds of different labels at one energy. The condition is not a caption but a
detector's embedding: of the target's own stretch, as in the paper, or of other sounds of its label,
as a user gives them. Example i is the same on every machine.

Shapes: T samples, D condition.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from separator.audio.pairs import match_first
from separator.errors import RequestError
from separator.storage import Storage
from separator.train.draw import MAX_DRAWS, draw_turn, make_drawer, set_level
from separator.train.examples import (
    choose_outside,
    choose_source,
    group_by_package,
    list_groups,
)
from separator.train.recipe import DataSettings
from separator.train.sound_lists import Source

Drawn = tuple[Source, np.ndarray]


def check_latents(sources: Sequence[Source], size: int) -> None:
    """Refuse lists that were not mined with the detector whose embeddings have this size."""
    if any(source.latent is None for source in sources):
        raise RequestError(
            "data.lists: a sound without a latent embedding; make the lists by `separator mine`"
        )
    if (sizes := {len(source.latent) for source in sources if source.latent is not None}) != {size}:
        raise RequestError(
            f"data.lists: embeddings of {sorted(sizes)} values, those of the detector have {size}: "
            "mine the lists with the detector of encoder="
        )


class MinedPairs:
    """Draw pairs by number from mined sounds: pair i makes the examples 2 i and 2 i + 1."""

    def __init__(
        self,
        sources: Sequence[Source],
        settings: DataSettings,
        rate_hz: int,
        seed: int,
        storage: Storage,
    ) -> None:
        self.settings, self.seed = settings, seed
        self.drawer = make_drawer(settings, rate_hz, storage)
        self.kinds = group_by_package(sources)
        self.names = list(self.kinds)
        self.groups = list_groups(self.kinds)
        if len(self.names) < 2 or len({source.group for source in sources}) < 2:
            raise RequestError(
                f"data.lists: only {self.names}; sounds of two labels and of two groups are needed"
            )

    def make_batch(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """Make the examples of these numbers; the first number is even."""
        assert numbers[0] % 2 == 0 and len(numbers) % 2 == 0, numbers
        made: dict[str, list[np.ndarray]] = {"mixture": [], "target": [], "condition": []}
        skipped = 0
        for number in numbers[::2]:
            rng = np.random.default_rng([self.seed, number // 2])
            (one, one_T), (other, other_T), more = self.draw_pair(number // 2, rng)
            gain_db = rng.uniform(-1, 1) * self.settings.level_db
            other_T = match_first(one_T, other_T) * np.float32(10 ** (gain_db / 20))
            mixture_T = one_T + other_T  # may exceed full scale, as in the paper
            if level_db := self.settings.changes.level_db:
                mixture_T, one_T, other_T = set_level(rng, level_db, mixture_T, one_T, other_T)
            for source, target_T in ((one, one_T), (other, other_T)):
                if rng.random() < self.settings.absent_ratio:
                    absent = self._choose(rng, {one.group, other.group}, {one.kind, other.kind})
                    source = absent or source
                    target_T = np.zeros_like(target_T) if absent else target_T
                made["mixture"].append(mixture_T)
                made["target"].append(target_T)
                made["condition"].append(self._find_condition(source, rng))
            skipped += more
        batch = {name: np.stack(arrays) for name, arrays in made.items()}
        return batch | {"num_skipped": np.array([skipped])}

    def draw_pair(self, number: int, rng: np.random.Generator) -> tuple[Drawn, Drawn, int]:
        """Draw two sounds of the next two labels in a queue of all labels, shuffled each round."""
        first, second = (draw_turn(self.seed, 2 * number + i, self.names) for i in (0, 1))
        one, one_T, skipped = self._draw(rng, first, [])
        other, other_T, more = self._draw(rng, second, [one])
        return (one, one_T), (other, other_T), skipped + more

    def _draw(
        self, rng: np.random.Generator, name: str, present: Sequence[Source]
    ) -> tuple[Source, np.ndarray, int]:
        """Draw a sound of the label, or of another one if it may not be mixed with `present`."""

        def choose() -> Source:
            source = choose_source(self.kinds[name], rng)
            kinds, groups = {s.kind for s in present}, {s.group for s in present}
            if name not in kinds and source.group not in groups:
                return source
            # If all other labels have only sounds of these groups, another group is enough.
            other = self._choose(rng, groups, kinds) or self._choose(rng, groups, set())
            assert other is not None, groups
            return other

        return self.drawer.draw(rng, choose)

    def _choose(self, rng: np.random.Generator, groups: set[str], kinds: set[str]) -> Source | None:
        """Choose a sound outside these groups and labels; None if there is none."""
        names = [name for name in self.names if name not in kinds and self.groups[name] - groups]
        return choose_outside(names, self.kinds, self.groups, groups, rng) if names else None

    def _find_condition(self, source: Source, rng: np.random.Generator) -> np.ndarray:
        """Return the target's own embedding, or the mean of a few others of its label."""
        assert source.latent is not None
        if rng.random() < self.settings.own_ratio:
            return source.latent
        count = int(rng.integers(1, self.settings.most_examples + 1))
        others: list[Any] = [self._choose_other(source, rng).latent for _ in range(count)]
        return np.mean(others, axis=0, dtype=np.float64).astype(np.float32)

    def _choose_other(self, source: Source, rng: np.random.Generator) -> Source:
        """Choose another sound of the same label; the sound itself if it is the only one."""
        for _ in range(MAX_DRAWS):
            other = choose_source(self.kinds[source.kind], rng)
            if other is not source:
                return other
        return source
