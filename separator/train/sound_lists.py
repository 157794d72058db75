"""Read lists of captioned sounds in all accepted forms, and stretches of their audio.

Shapes: T samples.
"""

import io
import json
import math
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from separator.audio.anchors import SEGMENT, SEGMENT_HZ
from separator.audio.level import LOUDEST
from separator.config_file import named
from separator.errors import AudioError, ObjectMissing, RequestError
from separator.model.zero_shot_files import NUM_AUDIOSET, read_labels
from separator.storage import Storage, parse_uri
from separator.storage.tables import Row, resolve_uri
from separator.train.labelled_sounds import (
    find_labelled,
    read_audioset,
    read_classes,
    read_numbered,
)
from separator.train.panns_hdf5 import is_hdf5, list_rows, open_row
from separator.train.recipe import ANY_LICENCE, PERMISSIVE

AUDIO_KEYS = ("wav", "audio", "stem_uri", "uri")
CAPTION_KEYS = ("captions", "caption", "query_text", "text", "query_name")
MADE = ("stem", "rendition")  # by a job
CREDIT_AT_MOST = re.compile(
    r"CC0(-[\d.]+)?|CC-BY-[\d.]+|Expat( \(MIT\))?|MIT|BSD-[234]-Clause|ISC|Zlib|Unlicense"
    r"|Apache-2\.0|public domain",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Source:
    """One sound. Kinds are drawn equally often, and so are the packages of a kind; sounds of one
    `group` are never mixed.

    `paraphrases` are for evaluation only. `package` is empty for synthetic sounds. A sound with
    `joins` is followed by these other sounds, with pauses between them.

    `labels` name what sounds somewhere in it, its kind among them. A mined sound is the stretch
    that begins at `start_s`; `latent` is the detector's embedding of this stretch.
    """

    uri: str
    captions: tuple[str, ...]
    kind: str = ""
    group: str = ""
    paraphrases: tuple[str, ...] = ()
    package: str = ""
    joins: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    start_s: float | None = None
    latent: np.ndarray | None = field(default=None, compare=False)
    licence: str = ""
    is_grouped: bool = False  # its list names the group
    image: str = ""  # an image or a video of it, for training with CLIP


def read_lists(
    uris: list[str], storage: Storage, without: Collection[str] = (), licences: str = ANY_LICENCE
) -> list[Source]:
    """Read the usable rows of all lists; refuse lists without any. Leave out sounds with a label of
    `without`, and with `licences="permissive"` those whose licence asks for more than credit."""
    sources: list[Source] = []
    for uri in uris:
        if not (listed := read_list(uri, storage)):
            raise RequestError(f"data.lists: {uri}: no sound listed in it")
        sources += listed
    sources = [source for source in sources if not set(without) & set(source.labels)]
    if licences == PERMISSIVE:
        sources = [source for source in sources if is_permissive(source.licence)]
    if not sources:
        left = f" without {list(without)}" if without else ""
        left += " of permissive licences" if licences == PERMISSIVE else ""
        raise RequestError(f"data.lists={uris}: no sound listed in them{left}")
    return sources


def is_permissive(licence: str) -> bool:
    """Tell whether a licence asks for credit at most. A sound without one is the user's own."""
    return not licence or CREDIT_AT_MOST.fullmatch(licence) is not None


def read_list(uri: str, storage: Storage) -> list[Source]:
    """Read the rows of one list; of a job's manifest the stems that are ok."""
    if is_hdf5(uri):
        place = parse_uri(uri)
        if place.bucket:
            raise RequestError(f"{uri}: HDF5 is read from a local folder; copy it there")
        return [
            Source(address, labels, labels[0], labels[0], labels=labels)
            for address, labels in list_rows(place.path)
            if labels
        ]
    if uri.lower().endswith(".csv") and (lines := read_audioset(storage, uri)) is not None:
        found, _ = find_labelled(storage, uri, lines, "", read_classes(storage, uri, ""))
        names = read_labels(NUM_AUDIOSET)
        return [
            Source(sound.uri, labels, labels[0], labels[0], labels=labels)
            for sound in found
            if (labels := tuple(names[index] for index in sound.classes))
        ]
    sources = []
    for number, row in read_numbered(storage, uri):
        # In a manifest `kind` says what was made, not what is heard.
        made = row.pop("kind") if row.get("kind") in MADE and "query_name" in row else "stem"
        if row.get("carried") and "query_name" in row:
            with suppress(ValueError, TypeError, AttributeError):  # not what a job carried
                row = {"licence": json.loads(row["carried"]).get("licence")} | row
        if row.get("status", "ok") == "ok" and made == "stem":
            sources.append(_make_source(uri, number, row))
    return sources


def _make_source(uri: str, number: int, row: Row) -> Source:
    where = f"{uri}: row {number}"
    row = {key: value for key, value in row.items() if value not in (None, "")}  # kind 0 is one
    audio = next((row[key] for key in AUDIO_KEYS if row.get(key)), None)
    labels, paraphrases, joins = (
        read_texts(row, key, where) for key in ("labels", "paraphrases", "joins")
    )
    captions = next((row[key] for key in CAPTION_KEYS if row.get(key)), None) or labels or None
    if audio is None or captions is None:
        raise RequestError(
            f"{where} has values in the columns {sorted(row)}: needed are one of {AUDIO_KEYS} "
            f"and one of {CAPTION_KEYS}, or labels"
        )
    captions = captions if isinstance(captions, list | tuple) else [captions]
    if not all(isinstance(caption, str) and caption.strip() for caption in captions):
        raise RequestError(f"{where}: the captions {captions!r:.80} must be texts")
    kind = str(row.get("kind", captions[0]))
    image = str(row.get("image", row.get("video", "")))
    return Source(
        resolve_sound(uri, audio, where),
        tuple(captions),
        kind,
        group=str(row.get("group", kind)),
        paraphrases=paraphrases,
        package=str(row.get("package", "")),
        joins=tuple(resolve_sound(uri, other, where) for other in joins),
        labels=labels or (kind,),
        start_s=read_start(row, where),
        latent=read_latent(row, where),
        licence=str(row.get("licence", "")),
        is_grouped="group" in row,
        image=resolve_uri(uri, image) if image else "",
    )


def resolve_sound(uri: str, audio: object, where: str) -> str:
    """Resolve an address in a list; refuse what can be no file, which no reader could skip."""
    if not isinstance(audio, str):
        raise RequestError(f"{where}: {audio!r:.80}: must be the path or URI of a sound")
    resolved = resolve_uri(uri, audio)
    with named(f"{where}: "):
        parse_uri(resolved)
    return resolved


def read_texts(row: Row, key: str, where: str) -> tuple[str, ...]:
    """Read a column of texts: a list, or one text, as in CSV, that joins them by `;`."""
    if (value := row.get(key)) is None:
        return ()
    texts = value.split(";") if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str | int) for text in texts):
        raise RequestError(f"{where}: {key}={value!r:.80}: must be texts, or one joined by ';'")
    return tuple(stripped for text in texts if (stripped := str(text).strip()))


def read_latent(row: Row, where: str) -> np.ndarray | None:
    """Read the embedding of a mined sound."""
    if (value := row.get("latent")) is None or value == "":
        return None
    try:
        latent = np.array(value, np.float32)
    except (TypeError, ValueError):
        latent = np.zeros(())
    if latent.ndim != 1:
        raise RequestError(f"{where}: latent={value!r:.80}: must be a list of numbers")
    return latent


def read_start(row: Row, where: str) -> float | None:
    """Read the column `start_s`, in CSV a text."""
    value = row.get("start_s")
    if value is None or value == "":
        return None
    try:
        start_s = float(value)
    except (TypeError, ValueError):
        start_s = math.nan
    if not 0 <= start_s < math.inf:
        raise RequestError(f"{where}: start_s={value!r:.80}: must be a number of seconds")
    return start_s


def group_by_kind(sources: Sequence[Source]) -> dict[str, list[Source]]:
    """Group by kind, in alphabetical order, so that a draw by number is the same everywhere."""
    kinds: dict[str, list[Source]] = {}
    for source in sorted(sources, key=lambda s: s.kind):
        kinds.setdefault(source.kind, []).append(source)
    return kinds


def read_stretch(
    storage: Storage,
    uri: str,
    num_samples: int,
    rate_hz: int,
    rng: np.random.Generator,
    start_s: float | None = None,
) -> np.ndarray:
    """Read a stretch (T,), mono float32: the one from `start_s` on, or else a random one.

    A sound that is too short gets silence on both sides, of random lengths.
    """
    with _open_sound(storage, uri) as file:
        wanted = -(-num_samples * file.samplerate // rate_hz)
        if start_s is None:
            file.seek(int(rng.integers(max(1, file.frames - wanted + 1))))
        else:
            file.seek(min(round(start_s * file.samplerate), file.frames))
        data, from_hz = file.read(wanted, dtype="float32", always_2d=True), file.samplerate
    mono_T = _to_mono(data, from_hz, rate_hz, uri)[:num_samples]
    before = int(rng.integers(num_samples - len(mono_T) + 1))
    return np.pad(mono_T, (before, num_samples - len(mono_T) - before))


def read_whole(storage: Storage, uri: str, rate_hz: int) -> np.ndarray:
    """Read a whole file (T,), mono float32."""
    with _open_sound(storage, uri) as file:
        data, from_hz = file.read(dtype="float32", always_2d=True), file.samplerate
    return _to_mono(data, from_hz, rate_hz, uri)


def read_example(storage: Storage, source: Source, rate_hz: int) -> np.ndarray:
    """Read a sound (T,) for a query by example: of a mined sound only the 2 s with its label."""
    sound_T = read_whole(storage, source.uri, rate_hz)
    if source.start_s is None:
        return sound_T
    start, length = round(source.start_s * rate_hz), SEGMENT * rate_hz // SEGMENT_HZ
    return sound_T[min(start, max(0, len(sound_T) - length)) :][:length]


def read_rate(storage: Storage, uri: str) -> int:
    """Read the sampling rate of a file."""
    with _open_sound(storage, uri) as file:
        return file.samplerate


@contextmanager
def _open_sound(storage: Storage, uri: str) -> Iterator[Any]:
    import soundfile  # imported here: only workers read sounds

    if is_hdf5(uri):
        with open_row(uri) as row:
            yield row
        return
    if uri.lower().endswith(".raw"):
        raise AudioError(f"{uri}: has no header that says its rate")
    parsed = parse_uri(uri)
    try:
        opened = io.BytesIO(storage.read(uri)) if parsed.bucket else str(parsed.path)
        with soundfile.SoundFile(opened) as file:
            yield file
    except (soundfile.SoundFileError, OSError, ObjectMissing) as error:
        raise AudioError(f"{uri}: {error}") from None


def _to_mono(data: np.ndarray, from_hz: int, rate_hz: int, uri: str) -> np.ndarray:
    """Average the channels and resample. Samples so large that the loss would be no number are
    refused."""
    if not len(data) or not (np.abs(data) <= LOUDEST).all():  # NaN never is
        what = f"samples that are NaN or beyond {LOUDEST:g}" if len(data) else "no samples"
        raise AudioError(f"{uri}: {what}")
    mono_T = data.mean(1)
    if from_hz == rate_hz:
        return mono_T
    import torch  # imported here: few sounds are resampled, and readers start faster without it

    from separator.audio.resample import resample

    return resample(torch.from_numpy(mono_T)[None], from_hz, rate_hz)[0].numpy()
