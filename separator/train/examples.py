"""Make training examples by number: example i is the same on every machine.

Shapes: B batch, T samples.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from separator.errors import RequestError
from separator.storage import Storage
from separator.train.draw import MAX_DRAWS, make_drawer, set_level
from separator.train.mixer import mix
from separator.train.recipe import DataSettings
from separator.train.sound_lists import Source, group_by_kind


@dataclass(frozen=True)
class Example:
    """One example. `caption` is the query for `target`; if it names a sound that is not in the
    mixture (`is_absent`), the target is silence. `num_skipped` counts unusable files met."""

    mixture: np.ndarray
    target: np.ndarray
    caption: str
    is_absent: bool
    num_skipped: int
    image: str = ""  # of the target, if its list names one


@dataclass(frozen=True)
class Mixture:
    """Sounds (T,) and their sum."""

    number: int
    total: np.ndarray
    sounds: list[np.ndarray]
    sources: list[Source]
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
        self.settings, self.seed = settings, seed
        self._made: Mixture | None = None  # the last one: the next query may be its other sound
        self.drawer = make_drawer(settings, rate_hz, storage)
        self.pools = {
            is_real: group_by_package(s for s in sources if is_real in (None, bool(s.package)))
            for is_real in (None, False, True)
        }
        self.groups = {is_real: list_groups(pool) for is_real, pool in self.pools.items()}
        self.kinds = {is_real: Kinds(groups) for is_real, groups in self.groups.items()}
        if len({s.group for s in sources}) < 2:
            groups = sorted({s.group for s in sources})
            raise RequestError(f"data.lists: only the group {groups[0]!r}; two groups are needed")
        for is_real, word in ((True, "recordings (column package)"), (False, "synthetic sounds")):
            if settings.real_ratio >= 0 and len(self.pools[is_real]) < 4:
                raise RequestError(
                    f"data.real_ratio={settings.real_ratio}: four kinds of {word} are needed; "
                    "add a list, or set data.real_ratio=-1"
                )

    def make(self, number: int) -> Example:
        """Make a mixture, and a query for one of its sounds or for a sound that is not in it.

        With `ask_each`, examples 2i and 2i + 1 query the first and second sound of one mixture.
        """
        number, asked = divmod(number, 2) if self.settings.ask_each else (number, 0)
        if self._made is None or self._made.number != number:
            self._made = self.draw_mixture(number)
        mixture = self._made
        rng = np.random.default_rng([self.seed, number, 1 + asked])
        source, target_T = mixture.sources[asked], mixture.sounds[asked]
        absent = self._draw_absent(rng, mixture.sources)
        if absent is not None:
            source, target_T = absent, np.zeros_like(target_T)
        caption = source.captions[int(rng.integers(len(source.captions)))]
        skipped = 0 if asked else mixture.num_skipped
        is_absent = absent is not None
        return Example(mixture.total, target_T, caption, is_absent, skipped, source.image)

    def _draw_absent(self, rng: np.random.Generator, present: Sequence[Source]) -> Source | None:
        """Draw a sound that is not in the mixture, in a share of the examples. Return None in the
        other examples, and if no such sound is found."""
        groups = {source.group for source in present}
        if rng.random() >= self.settings.absent_ratio or not self.kinds[None].outside(groups):
            return None
        for _ in range(MAX_DRAWS):
            source = self._choose(rng, groups, None)
            if not any(is_alike(source, each) for each in present):
                return source
        return None

    def draw_mixture(self, number: int) -> Mixture:
        """Draw a target and one or two other sounds, and mix them."""
        rng = np.random.default_rng([self.seed, number])
        is_real = self._draw_origin(rng, None)
        target, target_T, skipped = self._draw(rng, set(), is_real)
        sources, others = [target], []
        for _ in range(2 if rng.random() < self.settings.third_ratio else 1):
            groups = {source.group for source in sources}
            if not self.kinds[None].outside(groups):
                break  # no third group
            other, other_T, more = self._draw(rng, groups, self._draw_origin(rng, is_real))
            sources.append(other)
            others.append(other_T)
            skipped += more
        level_db = self.settings.level_db
        gains_db = [float(rng.uniform(-level_db, level_db)) for _ in others]
        mixture_T, sounds = mix(target_T, others, gains_db)
        if self.settings.changes.level_db:
            mixture_T, *sounds = set_level(rng, self.settings.changes.level_db, mixture_T, *sounds)
        return Mixture(number, mixture_T, sounds, sources, skipped)

    def make_batch(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """Stack the examples of these numbers, field by field."""
        made = [self.make(int(number)) for number in numbers]
        return {
            "mixture": np.stack([e.mixture for e in made]),
            "target": np.stack([e.target for e in made]),
            "caption": np.array([e.caption for e in made]),
            "is_absent": np.array([e.is_absent for e in made]),
            "num_skipped": np.array([e.num_skipped for e in made]),
            "image": np.array([e.image for e in made]),
        }

    def _draw_origin(self, rng: np.random.Generator, target: bool | None) -> bool | None:
        """Draw whether a sound is a recording, None if it may be either. `target`: whether the
        target is a recording; None if the target itself is drawn."""
        if self.settings.real_ratio < 0:
            return None
        if target is None:
            return bool(rng.random() < self.settings.real_ratio)
        return target == (rng.random() < self.settings.same_origin_ratio)

    def _choose(self, rng: np.random.Generator, groups: set[str], is_real: bool | None) -> Source:
        if not (kinds := self.kinds[is_real].outside(groups)):
            kinds, is_real = self.kinds[None].outside(groups), None
        return choose_outside(kinds, self.pools[is_real], self.groups[is_real], groups, rng)

    def _draw(
        self, rng: np.random.Generator, groups: set[str], is_real: bool | None
    ) -> tuple[Source, np.ndarray, int]:
        """Draw a source outside the groups, its samples, and the number of files skipped before."""
        return self.drawer.draw(rng, lambda: self._choose(rng, groups, is_real))


class Kinds:
    """Find the kinds that have sounds outside some groups, without looking at every kind: a list
    without a column `kind` has as many of them as captions."""

    def __init__(self, own_groups: Mapping[str, set[str]]) -> None:
        self.names, self.own_groups = list(own_groups), own_groups
        self.places: dict[str, list[int]] = {}  # of the kinds in each group, in `names`
        for place, own in enumerate(own_groups.values()):
            for group in own:
                self.places.setdefault(group, []).append(place)

    def outside(self, groups: set[str]) -> "RemainingNames":
        """Return the kinds that have a sound outside these groups."""
        places = {place for group in groups for place in self.places.get(group, ())}
        inside = [at for at in sorted(places) if self.own_groups[self.names[at]] <= groups]
        return RemainingNames(self.names, inside)


@dataclass(frozen=True)
class RemainingNames:
    """Names, without those at some places, which are in rising order. Nothing is copied."""

    names: Sequence[str]
    left_out: Sequence[int]

    def __len__(self) -> int:
        return len(self.names) - len(self.left_out)

    def __getitem__(self, at: int) -> str:
        for place in self.left_out:
            at += place <= at
        return self.names[at]


def is_alike(one: Source, other: Source) -> bool:
    """Tell whether a query for one sound may mean the other: a common kind, label or caption."""
    return (
        one.kind == other.kind
        or bool(set(one.labels) & set(other.labels))
        or bool(set(one.captions) & set(other.captions))
    )


def group_by_package(sources: Iterable[Source]) -> dict[str, list[list[Source]]]:
    """Group by kind, and within each kind by package, both in alphabetical order."""
    kinds = {}
    for kind, members in group_by_kind(list(sources)).items():
        packages: dict[str, list[Source]] = {}
        for source in sorted(members, key=lambda s: s.package):
            packages.setdefault(source.package, []).append(source)
        kinds[kind] = list(packages.values())
    return kinds


def list_groups(kinds: Mapping[str, list[list[Source]]]) -> dict[str, set[str]]:
    """List the groups of each kind: usually one."""
    return {
        kind: {source.group for package in packages for source in package}
        for kind, packages in kinds.items()
    }


def leave_out(packages: list[list[Source]], groups: set[str]) -> list[list[Source]]:
    """Leave out the sounds of these groups."""
    left = [[source for source in package if source.group not in groups] for package in packages]
    return [package for package in left if package]


def choose_outside(
    names: Sequence[str] | RemainingNames,
    kinds: Mapping[str, list[list[Source]]],
    own_groups: Mapping[str, set[str]],
    groups: set[str],
    rng: np.random.Generator,
) -> Source:
    """Choose one of the named kinds, and a source of it that is in none of the groups."""
    name = names[int(rng.integers(len(names)))]
    packages = kinds[name]
    if own_groups[name] & groups:
        packages = leave_out(packages, groups)
    return choose_source(packages, rng)


def choose_source(packages: list[list[Source]], rng: np.random.Generator) -> Source:
    """Choose a source of one kind: first its package, then one of the package's sounds."""
    sources = packages[int(rng.integers(len(packages)))] if len(packages) > 1 else packages[0]
    return sources[int(rng.integers(len(sources)))]
