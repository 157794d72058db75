"""Select the names of a listing by shell patterns, without regard to case and to the way in which
accents are encoded. Pure.

A pattern without `/` is matched with the last part of a name, at any depth; one with `/` with the
whole name below the folder. `*` and `?` stop at `/`, `**/` is any number of folders. As in a shell,
only a pattern that spells out the dot matches a part of a name that begins with a dot.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from unicodedata import normalize

from separator.errors import RequestError


def make_selector(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    """Make a test for names relative to the folder. Without `include` it accepts all."""
    wanted = [compile_pattern(p) for p in include or ["*"]]
    unwanted = [compile_pattern(p) for p in exclude]

    def accepts(name: str) -> bool:
        name = normalize("NFC", name)
        return any(p(name) for p in wanted) and not any(p(name) for p in unwanted)

    return accepts


def find_folders(include: Sequence[str]) -> list[str]:
    """Find the folders below the root that can hold a match, none inside another; [""]: the root.

    `2026/11/**` limits the listing to a folder. A name with letters does not: its case may differ.
    """
    found = {_find_folder(pattern) for pattern in include or ["*"]}
    return sorted(f for f in found if not any(f.startswith(g) for g in found - {f}))


def _find_folder(pattern: str) -> str:
    """Return the fixed folder that a pattern begins with, and a slash."""
    return "".join(f"{part}/" for part in itertools.takewhile(_is_fixed, pattern.split("/")[:-1]))


def _is_fixed(part: str) -> bool:
    """Tell whether a part of a pattern matches one folder name only. A name with accents may be
    written in two ways."""
    is_name = part not in ("", ".", "..") and not set(part) & set("*?[]")
    return is_name and part.isascii() and part.lower() == part.upper()


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    if not pattern or pattern.startswith("/"):
        raise RequestError(f"{pattern!r}: a pattern is relative to the folder: '*.mp4', '2024/**'")
    if pattern.endswith("/"):
        pattern += "**"
    # Translated part by part, each behind a guard against a hidden name it does not ask for.
    translated = _translate(normalize("NFC", pattern))
    try:
        match = re.compile(translated, re.IGNORECASE | re.DOTALL).fullmatch
    except re.error as error:  # a range that runs backwards, as in [2026-11-21]
        raise RequestError(f"{pattern!r}: {error.msg}; write [[] for a bracket") from None
    if "/" not in pattern:
        hidden = re.compile(r"(^|/)\.")
        # The pattern names no folder, so it does not match inside hidden ones.
        return lambda name: (
            match(name.rpartition("/")[2]) is not None
            and not hidden.search(name.rpartition("/")[0])
        )
    return lambda name: match(name) is not None


def _translate(pattern: str) -> str:
    out, rest = "", pattern
    at_start = True  # of a part of the name
    while rest:
        visible = r"(?!\.)" if at_start else ""
        if rest.startswith("**/") and at_start:
            out, rest = out + r"(?:(?!\.)[^/]+/)*", rest[3:]
            continue
        if rest == "**" and at_start:
            return out + r"(?:(?!\.)[^/]+/)*(?!\.)[^/]+"
        if rest.startswith("**"):
            raise RequestError(f"{pattern!r}: ** stands for whole folders: '**/x', 'x/**'")
        at_start = rest[0] == "/"
        if rest[0] == "*":
            out, rest = out + visible + "[^/]*", rest[1:]
        elif rest[0] == "?":
            out, rest = out + visible + "[^/]", rest[1:]
        elif rest[0] == "[" and (found := re.match(r"\[(!?)(\]?[^\]/]*)\]", rest)):
            # Keep the range of characters; escape what has a meaning in Python but not in a shell.
            body = re.sub(r"[\\\[^&~|]|^-|(?<=-)-", r"\\\g<0>", found[2])
            out += visible + ("[^/" if found[1] else "[") + body + "]"
            rest = rest[found.end() :]
        else:
            out, rest = out + re.escape(rest[0]), rest[1:]
    return out
