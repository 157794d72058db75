"""Parse and check queries: a text, example sounds or images say which sound is wanted, a name
becomes its file name.

    queries: [a person speaking, rain]                 # named a-person-speaking and rain
    queries: [{name: voice, text: a person speaking}]  # stems are called voice.flac
    queries: [{name: bird, audio: s3://queries/bird/}] # the sounds in a folder
    queries: [{name: dog, audio: [a.wav, b.mp3]}]      # two sounds
    queries: [{name: dog, image: dog.jpg}]             # shows the source; for models with CLIP
    queries: [{name: x, video: a.mp4, at_s: 3}]        # the frame at 3 s; else one each second
    queries: [{text: siren, classes: [Siren]}]         # the classes by which a detector hears it

Encoders and storage are not involved: a valid query may still mean nothing to an encoder, and its
sounds may be missing.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from separator.errors import QueryError, RequestError
from separator.media.formats import AUDIO, VIDEO
from separator.storage.uri import parse_uri

OR_NONE = ", or leave the name out to have it made from the text"
LONGEST_TEXT, LONGEST_NAME_BYTES = 512, 100
# Names made from texts are shorter: extensions and suffixes are added to them.
LONGEST_SLUG_BYTES, HASH_DIGITS = 72, 8
LATEST_S = 1e9  # latest time of a frame: no video is as long
MAX_SOUNDS = 1_000  # example files of one query: far more than help
FILE_KINDS = ("audio", "image", "video")
KEYS = ("name", "text", *FILE_KINDS, "at_s", "classes")
# Soft hyphens, zero-width and direction marks come along with texts that are copied.
INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
FILE_ENDINGS = f"{VIDEO} {AUDIO} jpg jpeg png txt csv yaml".split()
FILE_NAME = re.compile(rf"\.({'|'.join(FILE_ENDINGS)})$", re.I)
# Windows refuses the first nine; `#` ends the path of a URI, and `%` escapes characters in it.
UNSAFE = frozenset('/\\<>:"|?*#%')
RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"]
)


@dataclass(frozen=True)
class Query:
    """Name one target sound; `parse_queries` makes only valid ones.

    >>> parse_queries(["A dog  barking", {"name": "voice", "text": "a man speaking"}])
    [Query(name='a-dog-barking', text='A dog barking'), Query(name='voice', text='a man speaking')]
    """

    name: str  # file name of its stems without extension, valid on any system: "a-dog-barking"
    text: str = ""  # what the encoder reads, in NFKC with single spaces: "A dog barking"
    # Example sounds instead of a text: files, folders; from a notebook also (samples (C, T), rate)
    audio: tuple[Any, ...] = ()
    version: str = ""  # hash of the encoder and of the files' versions, once these are known
    classes: tuple[str, ...] = ()  # of a detector, to listen for; empty: found by the text
    image: tuple[str, ...] = ()  # or images
    video: tuple[str, ...] = ()  # or videos: one frame a second, or
    at_s: float | None = None  # the one at this time

    @property
    def files(self) -> tuple[Any, ...]:  # the examples that stand for a text
        return self.audio or self.image or self.video

    @property
    def kind(self) -> str:  # text, audio, image or video
        return next((kind for kind in FILE_KINDS if getattr(self, kind)), "text")

    @property
    def key(self) -> str:  # what its condition depends on, for one model
        return self.version if self.files else self.text


def parse_queries(
    items: str | Sequence[str | Mapping[str, Any]], with_samples: bool = False
) -> list[Query]:
    """Parse queries in their order: one text, or a list of texts, of {text, name} and of
    {name, audio} (or image, or video). `with_samples`: sounds may be (samples, rate)."""
    if isinstance(items, str):
        return [_parse_query(items, "queries")]
    if not isinstance(items, Sequence) or isinstance(items, bytes):
        raise QueryError(
            f"queries={_show(items)}: must be a text or a list of texts: "
            "queries: ['a person speaking']"
        )
    if not items:
        raise QueryError("queries=[]: is empty; name at least one sound: queries: [siren]")
    queries = [_parse_query(item, f"queries[{i}]", with_samples) for i, item in enumerate(items)]
    _refuse_duplicates(queries)
    return queries


def _parse_query(item: str | Mapping[str, Any], where: str, with_samples: bool = False) -> Query:
    if isinstance(item, str):
        text = clean_text(item, where)
        return Query(make_name(text), text)
    if not isinstance(item, Mapping):
        raise QueryError(
            f"{where}={_show(item)}: must be a text or {{name, text}}, not "
            f"{type(item).__name__}; in YAML, put quotes around it"
        )
    if unknown := [key for key in item if key not in KEYS]:
        raise QueryError(
            f"{where}: unknown key {_show(unknown[0])}; a query has: name, text, or name and "
            "one of audio, image, video; and classes"
        )
    classes = _check_classes(item.get("classes"), f"{where}.classes")
    given = [kind for kind in FILE_KINDS if item.get(kind) is not None]
    if not given and item.get("text") is None:
        given = [kind for kind in FILE_KINDS if kind in item][:1]
    if len(given) > 1:
        raise QueryError(f"{where}: has {given[0]} and {given[1]}; make two queries of it")
    if given:
        return replace(_parse_example(item, where, given[0], with_samples), classes=classes)
    if item.get("at_s") is not None:
        raise QueryError(f"{where}: at_s is a time in a video; there is none")
    if "text" not in item:
        raise QueryError(
            f"{where}={_show(dict(item))}: has no text; describe the sound in words, or give "
            "example sounds: {name: ..., audio: [...]}"
        )
    text = clean_text(item["text"], f"{where}.text")
    if item.get("name") is None:
        return Query(make_name(text), text, classes=classes)
    return Query(check_name(item["name"], f"{where}.name", OR_NONE), text, classes=classes)


def _check_classes(classes: Any, where: str) -> tuple[str, ...]:
    """Check the form of class names; whether they exist, only a detector knows."""
    if classes is None:
        return ()
    names = [classes] if isinstance(classes, str) else classes
    is_list = isinstance(names, Sequence) and not isinstance(names, bytes)
    if not is_list or not names or not all(isinstance(n, str) and n.strip() for n in names):
        raise QueryError(f"{where}={_show(classes)}: must be names of a detector's classes")
    return tuple(names)


def _parse_example(item: Mapping[str, Any], where: str, kind: str, with_samples: bool) -> Query:
    what = "example sounds" if kind == "audio" else f"{kind}s"
    if item.get("text") is not None:
        raise QueryError(f"{where}: has both a text and {what} ({kind}); make two queries of it")
    if item.get("name") is None:
        raise QueryError(f"{where}: has {what} and no name: {{name: bird, {kind}: ...}}")
    name = check_name(item["name"], f"{where}.name")
    files = item[kind]
    if isinstance(files, str | os.PathLike) or is_pair(files):
        files = [files]
    if not isinstance(files, Sequence) or isinstance(files, bytes) or not files:
        raise QueryError(
            f"{where}.{kind}={_show(files)}: must be a file, a folder, or a list of them"
        )
    if len(files) > MAX_SOUNDS:
        raise QueryError(f"{where}.{kind}: {len(files)} files, at most {MAX_SOUNDS:,} are allowed")
    with_samples = with_samples and kind == "audio"
    checked = [_check_sound(s, f"{where}.{kind}[{i}]", with_samples) for i, s in enumerate(files)]
    return replace(Query(name, at_s=_check_time(item, where, kind)), **{kind: tuple(checked)})


def _check_time(item: Mapping[str, Any], where: str, kind: str) -> float | None:
    if (at_s := item.get("at_s")) is None:
        return None
    is_number = isinstance(at_s, int | float) and not isinstance(at_s, bool)
    if kind != "video" or not is_number or not 0 <= at_s <= LATEST_S:
        raise QueryError(f"{where}.at_s={_show(at_s)}: must be seconds from the start of a video")
    return float(at_s)


def is_pair(sound: object) -> bool:
    """Tell whether an example sound is a pair of samples and rate."""
    return isinstance(sound, tuple | list) and len(sound) == 2 and hasattr(sound[0], "shape")


def _check_sound(sound: Any, where: str, with_samples: bool) -> Any:
    if is_pair(sound) and with_samples:
        return tuple(sound)
    sound = os.fspath(sound) if isinstance(sound, os.PathLike) else sound
    if not isinstance(sound, str):
        raise QueryError(
            f"{where}={_show(sound)}: must be a path or a URI"
            + (", or a pair of samples (channels, samples) and rate" if with_samples else "")
        )
    try:
        parse_uri(sound)
    except RequestError as error:
        raise QueryError(f"{where}: {error}") from None
    return sound


def clean_text(text: object, where: str = "text") -> str:
    """Normalise a text: NFKC, single spaces, no invisible marks; refuse what names no sound."""
    if not isinstance(text, str):
        problem = f"must be a text, not {type(text).__name__}; in YAML, put quotes around it"
        raise QueryError(f"{where}={_show(text)}: {problem}")
    clean = " ".join(unicodedata.normalize("NFKC", INVISIBLE.sub("", text)).split())
    if not any(char.isalnum() for char in clean):
        problem = "has no letter or digit; name a sound in words"
    elif len(clean) > LONGEST_TEXT:
        problem = f"{len(clean)} characters, at most {LONGEST_TEXT} are allowed; name one sound"
    elif control := re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", clean):
        problem = f"contains the control character {control[0]!r}; remove it"
    elif FILE_NAME.search(clean):
        problem = "is a file's name; write words, or example sounds: {name: bird, audio: bird.wav}"
    else:
        return clean
    raise QueryError(f"{where}={_show(text)}: {problem}")


def make_name(text: str) -> str:
    """Make a name from a clean text: lower case, without accents, words joined by `-`.

    Other scripts are kept. A long name is cut, and a hash added to it.
    """
    slug = ""
    for char in text.lower():
        plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
        kind = unicodedata.category(char)[0]
        if plain.isalnum():
            slug += plain
        elif kind == "M" and slug and slug[-1] != "-":
            # A mark is an accent on an ASCII letter, but may be a vowel in another script.
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


def check_name(name: object, where: str = "name", other: str = "") -> str:
    """Return the name in NFC; refuse one that is no file name on some system. `other`: a hint."""
    if not isinstance(name, str):
        raise QueryError(f"{where}={_show(name)}: must be a text, not {type(name).__name__}")
    name = unicodedata.normalize("NFC", name)
    if problem := _find_problem(name):
        raise QueryError(
            f"{where}={_show(name)}: {problem}; it becomes a file name: use letters, digits, "
            f"'-' and '_'{other}"
        )
    return name


def _find_problem(name: str) -> str | None:
    if not name.strip():
        return "is empty"
    for char in name:
        if char in UNSAFE:
            return f"contains {char!r}"
        # Control characters, and invisible ones such as zero-width and direction marks.
        if unicodedata.category(char)[0] == "C" or unicodedata.category(char) in ("Zl", "Zp"):
            return f"contains the character {char!a}"
    if name[0] in ".-":
        return f"begins with {name[0]!r}"
    if name[-1] == "." or name != name.strip():
        return "begins or ends with a space, or ends with a dot"
    if ".." in name:
        return "contains '..'"
    # Windows ignores all after the first dot: `con.flac` is the console.
    if name.partition(".")[0].rstrip().casefold() in RESERVED:
        return "is a device name on Windows"
    if len(name.encode()) > LONGEST_NAME_BYTES:
        return f"is {len(name.encode())} bytes long, at most {LONGEST_NAME_BYTES} are safe"
    return None


def _refuse_duplicates(queries: list[Query]) -> None:
    texts, names = dict[str, int](), dict[str, int]()
    for i, query in enumerate(queries):
        first = i if query.files else texts.setdefault(_fold(query.text, "NFKC"), i)
        if first != i:
            raise QueryError(
                f"queries[{i}].text={_show(query.text)}: the same as queries[{first}]; remove one"
            )
        first = names.setdefault(_fold(query.name, "NFC"), i)
        if first != i:
            raise QueryError(
                f"queries[{i}].name={_show(query.name)}: the same file as queries[{first}]="
                f"{_show(queries[first].name)} where upper and lower case are equal; name one of "
                "them: {name: ..., text: ...}"
            )


def _fold(text: str, form: Any) -> str:
    # Case folding can decompose characters, so the text is normalised before and after it.
    return unicodedata.normalize(form, unicodedata.normalize(form, text).casefold())


def _show(value: object) -> str:
    shown = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return shown if len(shown) <= 80 else shown[:76] + "..."
