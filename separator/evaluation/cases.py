"""Plan, make and score test cases: a mixture, a query, and the target that the query means.

Shapes: T samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from separator.audio.metrics import (
    compute_level_db,
    compute_sdr_db,
    compute_sdri_db,
    compute_si_sdr_db,
)
from separator.errors import AudioError, QueryError, RequestError
from separator.queries import parse_queries
from separator.storage import Storage
from separator.storage.tables import Row, resolve_uri
from separator.train.draw import draw_sound
from separator.train.labelled_sounds import read_numbered
from separator.train.mixer import measure_energy, mix
from separator.train.recipe import ChangeSettings
from separator.train.sound_lists import Source, group_by_kind

UNCHANGED = ChangeSettings()


@dataclass(frozen=True)
class MixSettings:
    """Settings of cases that are mixed from a list of sounds."""

    per_kind: int
    style: str
    levels_db: tuple[float, ...]
    num_sounds: int
    seconds: float
    seed: int
    num_examples: int = 0


@dataclass(frozen=True)
class Case:
    """One case. `sounds` are the target and the others; an absent query names none of them."""

    number: int
    sounds: tuple[Source, ...]
    query: str
    style: str
    level_db: float  # of every other sound against the target
    examples: tuple[Source, ...] = ()  # the query, if it is other sounds of the named kind


def plan_cases(sources: Sequence[Source], settings: MixSettings, level_db: float) -> list[Case]:
    """Plan `per_kind` cases with each kind as target; the same for the same arguments.

    With `num_examples` the query is up to this number of other sounds of the kind.
    """
    style, seed = settings.style, settings.seed
    num_sounds = settings.num_sounds + (style == "absent")
    by_kind = group_by_kind(sources)
    groups_of = {kind: {s.group for s in members} for kind, members in by_kind.items()}
    cases = []
    for kind in by_kind:
        for i in range(settings.per_kind):
            number = len(cases)
            rng = np.random.default_rng([seed, number])
            chosen = [by_kind[kind][i % len(by_kind[kind])]]
            for _ in range(num_sounds - 1):
                taken = {s.group for s in chosen}
                kinds = [k for k, groups in groups_of.items() if groups - taken]
                if not kinds:
                    raise RequestError(
                        f"{num_sounds} sounds of different groups are needed,"
                        f" the list has {len(set[str]().union(*groups_of.values()))}"
                    )
                other = kinds[int(rng.integers(len(kinds)))]
                pool = [source for source in by_kind[other] if source.group not in taken]
                chosen.append(pool[int(rng.integers(len(pool)))])
            named = chosen.pop() if style == "absent" else chosen[0]
            texts = named.paraphrases if style == "paraphrase" else named.captions
            if not texts:
                raise RequestError(f"{named.uri}: has no paraphrases; take --style caption")
            query = texts[int(rng.integers(len(texts)))]
            examples = ()
            if most := settings.num_examples:
                rng = np.random.default_rng([seed, number, 1])
                examples = choose_examples(by_kind[named.kind], named, most, rng)
            else:
                check_query(named.uri, query)
            cases.append(Case(number, tuple(chosen), query, style, level_db, examples))
    return cases


def check_query(where: str, query: Any) -> None:
    """Refuse a query that no model can take, before anything is scored."""
    try:
        parse_queries([query])
    except QueryError as error:
        raise RequestError(f"{where}: {error}") from None


def choose_examples(
    members: Sequence[Source], named: Source, most: int, rng: np.random.Generator
) -> tuple[Source, ...]:
    """Choose at most `most` sounds of a kind, without the named one."""
    others = [source for source in members if source.uri != named.uri]
    if not others:
        raise RequestError(f"{named.kind}: only {named.uri} is one: no other is an example")
    return tuple(others[i] for i in rng.permutation(len(others))[:most])


def make_case(
    storage: Storage, case: Case, segment_s: float, rate_hz: int, seed: int
) -> tuple[np.ndarray, ...]:
    """Make (mixture, target) of a case; the target of an absent query is silence."""
    num_samples = round(segment_s * rate_hz)
    sounds = [
        read_sounding(storage, source, num_samples, rate_hz, [seed, case.number, i])
        for i, source in enumerate(case.sounds)
    ]
    mixture_T, (target_T, *_) = mix(sounds[0], sounds[1:], [case.level_db] * (len(sounds) - 1))
    return mixture_T, target_T * np.float32(case.style != "absent")


def read_sounding(
    storage: Storage, source: Source, num_samples: int, rate_hz: int, seed: list[int]
) -> np.ndarray:
    """Draw stretches of a sound until one is not silent."""
    for attempt in range(20):
        rng = np.random.default_rng([*seed, attempt])
        sound_T = draw_sound(storage, source, num_samples, rate_hz, rng, UNCHANGED)
        if measure_energy(sound_T) > 1e-6:
            return sound_T
    raise AudioError(f"{source.uri}: silent in 20 stretches; take it off the list")


def read_cases(storage: Storage, uri: str) -> list[Row]:
    """Read rows of mixture, target, query and kind; paths are relative to the list."""
    rows = []
    for i, row in read_numbered(storage, uri):
        if missing := [key for key in ("mixture", "target", "query") if not row.get(key)]:
            raise RequestError(
                f"{uri}: row {i} has no {missing[0]}; needed are mixture, target and query"
            )
        for key in ("mixture", "target"):
            if not isinstance(row[key], str):
                raise RequestError(
                    f"{uri}: row {i}: {key} is no text, but {type(row[key]).__name__}; needed is"
                    " the path of a file"
                )
            row[key] = resolve_uri(uri, row[key])
        check_query(f"{uri}: row {i}", row["query"])
        row["kind"] = str(row.get("kind") or row["query"])
        rows.append(row)
    return rows


def score(stem_T: np.ndarray, target_T: np.ndarray, mixture_T: np.ndarray) -> dict[str, float]:
    """Compute all figures of one stem. For a silent target only the levels mean something."""
    if not len(stem_T) == len(target_T) == len(mixture_T):
        raise AudioError(
            f"mixture, target and stem have {len(mixture_T)}, {len(target_T)} and {len(stem_T)} "
            "samples: bring them to one length"
        )
    return {
        "sdr_db": float(compute_sdr_db(stem_T, target_T)),
        "sdri_db": float(compute_sdri_db(stem_T, target_T, mixture_T)),
        "si_sdr_db": float(compute_si_sdr_db(stem_T, target_T)),
        "stem_db": float(compute_level_db(stem_T)),
        "mixture_db": float(compute_level_db(mixture_T)),
    }
