"""Read lists of sounds with labels for the whole sound: AudioSet's CSV layout, and tables.

AudioSet's lists have lines `YTID, start, end, "labels"` behind comments; the labels are ids such as
/m/09x0r, and a folder holds the sounds, named by YTID. Tables (Parquet, JSONL, CSV) have a column
`audio` and a column `labels`: names, ids or numbers of classes, as a list or joined by `;`.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from separator.errors import ObjectMissing, RequestError
from separator.model.zero_shot_files import NUM_AUDIOSET, read_labels
from separator.storage import Storage, parse_uri
from separator.storage.tables import LONGEST_FIELD, Row, read_rows, resolve_uri

CLASSES_FILE = "class_labels_indices.csv"  # of AudioSet: index, mid, display_name
AUDIO_KEYS = ("audio", "uri", "wav")
ID_LENGTH = 11
SOUND_SUFFIXES = ("wav", "flac", "ogg", "mp3")


@dataclass(frozen=True)
class Labelled:
    """A sound and the classes that are heard somewhere in it."""

    uri: str
    classes: tuple[int, ...]


def read_labelled(
    storage: Storage, uri: str, audio: str, classes: str
) -> tuple[list[Labelled], int]:
    """Read a list; return its sounds, and how many of AudioSet's are missing from the folder.

    `audio` is the folder of the sounds, by default the list's own; `classes` is AudioSet's
    class_labels_indices.csv, by default the one beside the list.
    """
    if uri.lower().endswith(".csv") and (lines := read_audioset(storage, uri)) is not None:
        return find_labelled(storage, uri, lines, audio, read_classes(storage, uri, classes))
    known: Mapping[str, int] | None = None
    sounds = []
    for number, row in read_numbered(storage, uri):
        found = next((row[key] for key in AUDIO_KEYS if row.get(key)), None)
        labels = row.get("labels")
        if found is None or labels is None:
            raise RequestError(
                f"{uri}: row {number} has the columns {sorted(row)}; needed are labels "
                f"and one of {AUDIO_KEYS}"
            )
        labels = labels.split(";") if isinstance(labels, str) else list(labels)
        if known is None:
            known = name_classes()
            if any(str(label).startswith(("/m/", "/t/")) for label in labels):
                known = read_classes(storage, uri, classes)
        base = f"{audio.rstrip('/')}/list" if audio else uri
        numbers = look_up(known, labels, f"{uri}: row {number}")
        sounds.append(Labelled(resolve_uri(base, str(found)), numbers))
    if not sounds:
        raise RequestError(f"{uri}: no sounds in it")
    return sounds, 0


def read_numbered(storage: Storage, uri: str) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a list with their numbers, from 1 on; refuse a list that is not UTF-8."""
    for number, row in enumerate(read_rows(storage, uri), start=1):
        if strange := [key for key, value in row.items() if not is_unicode([key, value])]:
            raise RequestError(
                f"{uri}: row {number}: {strange[0]!a} is no UTF-8; save the list as UTF-8"
            )
        yield number, row


def is_unicode(value: Any) -> bool:
    """Tell whether a text, or each text of a list, is valid Unicode: bytes of Latin-1 are not."""
    if isinstance(value, list):
        return all(map(is_unicode, value))
    return not (isinstance(value, str) and any("\ud800" <= each <= "\udfff" for each in value))


def read_audioset(storage: Storage, uri: str) -> list[list[str]] | None:
    """Read the lines of AudioSet's layout; None if the file has another one."""
    text = storage.read(uri).decode("utf-8-sig", "replace")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    csv.field_size_limit(LONGEST_FIELD)
    try:
        rows = list(csv.reader(lines, skipinitialspace=True))
    except csv.Error as error:
        raise RequestError(f"{uri}: {error}") from None
    if not rows or len(rows[0]) != 4 or not is_number(rows[0][1]) or not is_number(rows[0][2]):
        return None
    for number, row in enumerate(rows, start=1):
        if len(row) != 4:
            raise RequestError(f"{uri}: sound {number} has {len(row)} fields; AudioSet's has four")
    return rows


def find_labelled(
    storage: Storage, uri: str, rows: list[list[str]], audio: str, known: Mapping[str, int]
) -> tuple[list[Labelled], int]:
    """Find the sounds of AudioSet's lines in a folder; many are no longer available."""
    folder = audio or parse_uri(uri).uri.rpartition("/")[0]
    try:
        files = dict(list_sounds(storage, folder))
    except ObjectMissing:
        raise RequestError(f"audio={folder}: no such folder") from None
    sounds = []
    for number, (video, _, _, labels) in enumerate(rows, start=1):
        if video in files:
            classes = look_up(known, labels.split(","), f"{uri}: sound {number}")
            sounds.append(Labelled(files[video], classes))
    if not sounds:
        raise RequestError(
            f"audio={folder}: none of the {len(rows)} sounds of {uri} is there; they are looked "
            f"for by their YouTube id, such as {rows[0][0]}.wav or Y{rows[0][0]}.wav"
        )
    return sounds, len(rows) - len(sounds)


def list_sounds(storage: Storage, folder: str) -> Iterator[tuple[str, str]]:
    """Yield (YouTube id, URI): names begin with the id, or are `Y` and the id."""
    for entry in storage.list(folder, [f"*.{suffix}" for suffix in SOUND_SUFFIXES]):
        name = parse_uri(entry.uri).key.rpartition("/")[2].rpartition(".")[0]
        has_y = len(name) == ID_LENGTH + 1 and name.startswith("Y")
        yield name[has_y:][:ID_LENGTH], entry.uri


def read_classes(storage: Storage, uri: str, classes: str) -> Mapping[str, int]:
    """Read the numbers of classes by AudioSet's ids, and by their names."""
    path = classes or resolve_uri(uri, CLASSES_FILE)
    try:
        rows = list(read_rows(storage, path))
    except ObjectMissing:
        raise RequestError(
            f"{path}: no such file; it says which class each id of {uri} is: take AudioSet's "
            f"{CLASSES_FILE} and name it by class_list=..."
        ) from None
    try:
        ids = {row["mid"]: int(row["index"]) for row in rows}
    except (KeyError, ValueError):
        raise RequestError(
            f"{path}: not AudioSet's {CLASSES_FILE}: index, mid, display_name"
        ) from None
    return name_classes() | ids


def name_classes() -> dict[str, int]:
    return {name: index for index, name in enumerate(read_labels(NUM_AUDIOSET))}


def look_up(known: Mapping[str, int], labels: list[Any], where: str) -> tuple[int, ...]:
    """Return the numbers of labels: names, ids or numbers."""
    found = []
    for label in labels:
        text = str(label).strip()
        number = int(text) if re.fullmatch(r"\d{1,3}", text) else known.get(text)
        if number is None or number >= NUM_AUDIOSET:
            raise RequestError(f"{where}: {text!r} is no class of AudioSet")
        found.append(number)
    return tuple(found)


def is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text.strip()) is not None
