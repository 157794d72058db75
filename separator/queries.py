"""What the user asks for, checked: a text, and a name that can be a file on any system.

It knows nothing of encoders: whether a text means anything to one is not asked here.
"""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from separator.errors import QueryError

LONGEST_TEXT = 512
LONGEST_NAME_BYTES = 100
# Derived names stay well below the limit: extensions and suffixes are added to them.
LONGEST_SLUG_BYTES = 72
HASH_DIGITS = 8
# The first nine are refused by Windows; the last two end or escape a path inside a URI.
UNSAFE = frozenset('/\\<>:"|?*#%')
RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"]
)


@dataclass(frozen=True)
class Query:
    name: str
    text: str


def parse_queries(items: Sequence[str | Mapping[str, Any]]) -> list[Query]:
    """Texts, or mappings {text, name}, as checked queries in the same order."""
    if not isinstance(items, Sequence) or isinstance(items, str | bytes):
        raise QueryError(
            f"queries={_show(items)}: must be a list of texts, even for one: "
            "queries: ['a person speaking']"
        )
    if not items:
        raise QueryError("queries=[]: nothing was asked for; name at least one sound")
    queries = [_parse_query(item, f"queries[{i}]") for i, item in enumerate(items)]
    _refuse_twins(queries)
    return queries


def _parse_query(item: str | Mapping[str, Any], where: str) -> Query:
    if isinstance(item, str):
        text = clean_text(item, where)
        return Query(make_name(text), text)
    if not isinstance(item, Mapping):
        raise QueryError(
            f"{where}={_show(item)}: must be a text or {{name, text}}, not "
            f"{type(item).__name__}; in YAML, put quotes around it"
        )
    if unknown := [key for key in item if key not in ("name", "text")]:
        raise QueryError(f"{where}: unknown key {_show(unknown[0])}; a query has: name, text")
    if "text" not in item:
        raise QueryError(f"{where}={_show(dict(item))}: has no text; say what is to be heard")
    text = clean_text(item["text"], f"{where}.text")
    if item.get("name") is None:
        return Query(make_name(text), text)
    return Query(check_name(item["name"], f"{where}.name"), text)


def clean_text(text: object, where: str = "text") -> str:
    """The text as it is stored and encoded: NFKC, every run of white space one space."""
    if not isinstance(text, str):
        raise QueryError(
            f"{where}={_show(text)}: must be a text, not {type(text).__name__}; "
            "in YAML, put quotes around it"
        )
    clean = " ".join(unicodedata.normalize("NFKC", text).split())
    if not any(char.isalnum() for char in clean):
        raise QueryError(f"{where}={_show(text)}: holds no letter or digit; name a sound in words")
    if len(clean) > LONGEST_TEXT:
        raise QueryError(
            f"{where}={_show(text)}: {len(clean)} characters, at most {LONGEST_TEXT} are read; "
            "name one sound in a short phrase"
        )
    for char in clean:
        if unicodedata.category(char) in ("Cc", "Cs"):
            raise QueryError(
                f"{where}={_show(text)}: holds the control character {char!r}; remove it"
            )
    return clean


def make_name(text: str) -> str:
    """A name for a clean text: lower case, accents dropped, other scripts kept, `-` between."""
    slug = ""
    for char in text.lower():
        plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
        kind = unicodedata.category(char)[0]
        if plain.isalnum():
            slug += plain
        elif kind == "M" and slug and slug[-1] != "-":
            # A mark is an accent on an ascii letter, but a vowel in, say, Devanagari.
            slug += "" if slug[-1].isascii() else char
        elif kind in "LN":
            slug += char
        elif not slug.endswith("-"):
            slug += "-"
    slug = unicodedata.normalize("NFC", slug).strip("-")
    if len(slug.encode()) <= LONGEST_SLUG_BYTES and slug not in RESERVED:
        return slug
    tail = "-" + hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]
    head = slug.encode()[: LONGEST_SLUG_BYTES - len(tail)].decode(errors="ignore")
    return head.rstrip("-") + tail


def check_name(name: object, where: str = "name") -> str:
    """The name in NFC, if it can be one file name on any system and storage."""
    if not isinstance(name, str):
        raise QueryError(f"{where}={_show(name)}: must be a text, not {type(name).__name__}")
    name = unicodedata.normalize("NFC", name)
    if problem := _find_problem(name):
        raise QueryError(
            f"{where}={_show(name)}: {problem}; it becomes a file name: use letters, digits, "
            "'-' and '_', or leave it out and it is made from the text"
        )
    return name


def _find_problem(name: str) -> str | None:
    if not name.strip():
        return "is empty"
    for char in name:
        if char in UNSAFE:
            return f"holds {char!r}"
        # Besides control characters, what cannot be seen: zero-width and direction marks.
        if unicodedata.category(char)[0] == "C" or unicodedata.category(char) in ("Zl", "Zp"):
            return f"holds the character {char!a}"
    if name[0] in ".-":
        return f"begins with {name[0]!r}"
    if name[-1] == "." or name != name.strip():
        return "begins or ends with a space, or ends with a dot"
    if ".." in name:
        return "holds '..'"
    # Windows looks no further than the first dot: `con.flac` is the console.
    if name.partition(".")[0].rstrip().casefold() in RESERVED:
        return "is a device name on Windows"
    if len(name.encode()) > LONGEST_NAME_BYTES:
        return f"is {len(name.encode())} bytes long, at most {LONGEST_NAME_BYTES} are safe"
    return None


def _refuse_twins(queries: list[Query]) -> None:
    texts: dict[str, int] = {}
    names: dict[str, int] = {}
    for i, query in enumerate(queries):
        first = texts.setdefault(_fold(query.text, "NFKC"), i)
        if first != i:
            raise QueryError(
                f"queries[{i}].text={_show(query.text)}: the same as queries[{first}]; remove one"
            )
        first = names.setdefault(_fold(query.name, "NFC"), i)
        if first != i:
            raise QueryError(
                f"queries[{i}].name={_show(query.name)}: the same file as queries[{first}]="
                f"{_show(queries[first].name)} where case does not count; give one another name: "
                "{name: ..., text: ...}"
            )


def _fold(text: str, form: Any) -> str:
    # Folding the case can undo a composition, hence the normalisation on either side.
    return unicodedata.normalize(form, unicodedata.normalize(form, text).casefold())


def _show(value: object) -> str:
    shown = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return shown if len(shown) <= 80 else shown[:76] + "..."
