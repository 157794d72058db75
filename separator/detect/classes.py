"""Find the classes of a detector that a query's text means, by names and synonyms. Pure.

The first of these that matches counts: classes set by hand; a class of that very name, with its
synonyms; phrases of the table of synonyms and names of classes that are found in the text. A phrase
within a longer one that is found too does not count: "car alarm" is neither "car" nor "alarm". The
answer says how it was found; a text in which nothing is found gives `NoClasses`, never the nearest
guess.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from separator.detect.synonyms import read_table
from separator.encoders.words import drop_fillers, split_parts, split_words
from separator.errors import QueryError
from separator.sounds.kind_names import list_kinds, list_synonyms
from separator.sounds.recorded_kinds import read_recorded_kinds

Words = frozenset[str]
# Names of classes that mean something else as a part of a longer text: "the radio" is a radio, "a
# radio play" is none.
ONLY_WHOLE = {
    "run", "country", "roll", "crack", "tap", "fly", "pop", "echo", "whip", "boom", "bang",
    "pulse", "hands", "silence", "blues", "song", "funk", "wood", "sampler", "turkey", "rub",
    "scratch", "flap", "ping", "ding", "ring", "arrow", "camera", "liquid", "glass", "fill",
    "stir", "spray", "hiss", "static", "noise", "radio", "television", "jingle", "burst",
    "smash", "slap", "chop", "man", "woman", "waves", "tick", "clicking", "vibration", "opera",
    "bass", "steam", "crow", "crowing", "goat", "whistle", "chant", "distortion", "sidetone",
    "harmonic", "soul", "shuffle", "howl", "coo", "moan", "gears", "tools", "chime", "zing", "ska",
    "techno", "chorus", "walk", "saw", "tapping", "scratching",
}  # fmt: skip


@dataclass(frozen=True)
class Classes:
    """The classes of a query, in the detector's order, and how they were found."""

    text: str
    labels: tuple[str, ...]
    how: Literal["set", "name", "synonym"]


@dataclass(frozen=True)
class NoClasses:
    """No class of the detector is meant by a text; `near` are names that look like it."""

    text: str
    near: tuple[str, ...]

    def __str__(self) -> str:
        hint = f"; near: {', '.join(self.near)}" if self.near else ""
        return f"{self.text!r}: none of the detector's classes is found in it{hint}"


def match_classes(
    text: str, labels: Sequence[str], chosen: Sequence[str] = ()
) -> Classes | NoClasses:
    """Find the classes that a text means among `labels`; `chosen` are set by hand.

    QueryError for a chosen class that the detector lacks.
    """
    if chosen:
        for name in chosen:
            if name not in labels:
                near = difflib.get_close_matches(name, labels)
                hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
                raise QueryError(f"classes: the detector has no class {name!r}{hint}")
        return Classes(text, sort_by(labels, chosen), "set")
    whole = text.strip().casefold()
    if named := [label for label in labels if whole in split_names(label)]:
        return Classes(text, sort_by(labels, [*named, *find_meant(text, labels)]), "name")
    if meant := sort_by(labels, find_meant(text, labels)):
        return Classes(text, meant, "synonym")
    lower = {name: label for label in labels for name in split_names(label)}
    near = difflib.get_close_matches(whole, lower)
    return NoClasses(text, tuple(dict.fromkeys(lower[name] for name in near)))


def sort_by(labels: Sequence[str], chosen: Sequence[str]) -> tuple[str, ...]:
    return tuple(label for label in labels if label in chosen)


@cache
def split_names(label: str) -> tuple[str, ...]:
    """List the names in a label: the label, and its parts between commas, without brackets."""
    bare = re.sub(r"\(.*?\)", "", label)
    names = [label, bare, *bare.split(",")]
    return tuple(dict.fromkeys(name.strip().casefold() for name in names if name.strip()))


@cache
def stem_name(name: str) -> Words:
    return frozenset(split_words(name))


def find_meant(text: str, labels: Sequence[str]) -> list[str]:
    """List the classes of all phrases and names that are found in a text.

    If all labels are kinds of our generator, a phrase of another of its kinds stands for no class:
    "chopping wood" is no chopper.
    """
    words, bare = frozenset(split_words(text)), drop_fillers(text)
    ours = set(list_kinds()).issuperset(labels)
    found: list[tuple[Words, tuple[str, ...]]] = [
        (phrase, classes) for phrase, classes in list_phrases() if phrase <= words
    ]
    found += [
        (phrase, (kind,) if kind in labels else ())
        for word in words
        for phrase, kind in index_kind_phrases().get(word, ())
        if (kind in labels or ours) and (phrase == words or (len(phrase) > 1 and phrase <= words))
    ]
    for label in labels:
        for name in split_names(label):
            stems = stem_name(name)
            is_whole = bare in (name, f"{name}s")
            if stems and stems <= words and (is_whole or name not in ONLY_WHOLE):
                found.append((stems, (label,)))
    phrases = {phrase for phrase, _ in found}
    longest = {phrase for phrase in phrases if not any(phrase < other for other in phrases)}
    return [name for phrase, classes in found if phrase in longest for name in classes]


@cache
def list_phrases() -> list[tuple[Words, tuple[str, ...]]]:
    """List the phrases of the table, as stems of words, with their classes."""
    return [
        (frozenset(split_words(phrase)), tuple(classes))
        for phrases, classes in read_table()
        for phrase in phrases
    ]


@cache
def index_kind_phrases() -> dict[str, list[tuple[Words, str]]]:
    """Index the phrases that mean our generator's kinds: (stems of words, kind), by the first stem.

    A single word counts only if it is the whole text: "running" means steps, and "a running
    engine" an engine.
    """
    index: dict[str, list[tuple[Words, str]]] = {}
    for kind in list_kinds():
        recorded = read_recorded_kinds().get(kind)
        for phrase in (*list_synonyms(kind), *(recorded.captions if recorded else ())):
            stems = frozenset(split_words(phrase))
            index.setdefault(min(stems), []).append((stems, kind))
    return index


def names_several(text: str, kinds: Sequence[str]) -> bool:
    """Tell whether the parts of a text ("a dog and rain") mean different kinds."""
    parts = split_parts(text)
    found = [match_classes(part, kinds) for part in parts] if len(parts) > 1 else []
    meant = [set(part.labels) for part in found if isinstance(part, Classes)]
    return any(one.isdisjoint(other) for one in meant for other in meant)
