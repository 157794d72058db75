"""Separate single files: every chosen track, one stem after the other, span by span.

Whatever the length of the file, memory holds one span with its context, and the stem's energy in
each tenth of a second. The file is decoded again for each stem, so that only one decoder and one
encoder run at a time; decoding takes about a hundredth of the network's time.

Shapes: C channels, T samples, Q queries, D condition.
"""

import logging
import os
from collections.abc import Generator, Iterator, Sequence, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import soundfile
import torch

from separator.audio.format import AudioFormat
from separator.audio.spans import cut_spans
from separator.audio.window import EnvelopeMeter, Times, choose_window
from separator.errors import (
    AudioError,
    ObjectMissing,
    RequestError,
)
from separator.media.choose import choose_tracks
from separator.media.cut import Excerpt, cut
from separator.media.decode import decode, output_rate
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings
from separator.media.probe import Media, Track, probe
from separator.media.usable import check_track
from separator.model.track import SPAN_S, TrackSeparator
from separator.notebook.players import MAX_PLAYERS, Preview, make_page
from separator.queries import Query
from separator.storage import Storage, parse_uri
from separator.storage.atomic import make_folder, replacing
from separator.storage.temporary import temporary_folder

log = logging.getLogger(__name__)

LONGEST_NAME_BYTES = 255  # of a file, on almost all file systems


@dataclass(frozen=True)
class StemFile:
    """A stem that was written, e.g. `StemFile(Path("out/talk.siren.flac"), "siren", 0, ...)`."""

    path: Path
    query: str
    track_index: int
    language: str | None  # of the track
    rate_hz: int  # of the separated samples; a lossy format may store another (ogg: 48 kHz)
    num_samples: int  # at that rate
    loudest: Times  # the stretch that a player shows, in seconds

    @property
    def duration_s(self) -> float:
        return self.num_samples / self.rate_hz


class StemFiles(tuple[StemFile, ...]):
    """The stems of a file; a notebook shows them with players."""

    def _repr_html_(self) -> str:
        return make_page([read_preview(each) for each in self[:MAX_PLAYERS]], len(self))


@dataclass(frozen=True)
class FileTask:
    """Separate one local file into `out`."""

    path: Path
    name: str  # of its stems: NAME.siren.flac
    out: Path
    tracks: Any
    settings: EncodeSettings
    kept: Set[Path] = frozenset()  # no stem may replace these

    def separate(
        self, engine: TrackSeparator, names: Sequence[str], conditions_QD: np.ndarray
    ) -> Iterator[StemFile]:
        """Write one stem after the other; each appears whole or not at all."""
        media = probe(self.path)
        chosen = choose_tracks(media.tracks, self.tracks)
        is_one = len(chosen) == 1
        stems = [
            (track, name, condition_D, self._name_stem(name, None if is_one else track.index))
            for track in chosen
            for name, condition_D in zip(names, conditions_QD, strict=True)
        ]
        for track in chosen:
            check_track(track, engine.policy, self.settings.format)
        for *_, path in stems:
            check_stem_path(path)
        if taken := [path for *_, path in stems if path.resolve() in self.kept]:
            raise RequestError(f"{taken[0]}: is an input, and a stem would replace it")
        make_folder(self.out)
        for track, name, condition_D, path in stems:
            blocks = separate_blocks(engine, self.path, media, track, condition_D)
            yield self._write(path, name, track, blocks)

    def _name_stem(self, query: str, track_index: int | None) -> Path:
        return self.out / name_stem_file(self.name, query, self.settings.format, track_index)

    def _write(
        self, path: Path, query: str, track: Track, blocks: Generator[np.ndarray, None, None]
    ) -> StemFile:
        rate_hz = output_rate(track)
        meter = EnvelopeMeter(rate_hz)
        with closing(blocks), replacing(path) as temporary:
            first_CT = next(blocks)  # it shows the number of channels: one with channels="mono"
            layout = track.layout if len(first_CT) == track.num_channels else None
            report = encode(
                watch(first_CT, blocks, meter),
                temporary,
                AudioFormat(rate_hz, len(first_CT), layout),
                settings=self.settings,
            )
        if report.num_clipped:
            log.warning("%s: %d samples over full scale were clipped", path, report.num_clipped)
        envelope, _ = meter.finish()
        loudest = choose_window(envelope, report.num_samples / rate_hz, None)
        facts = (track.index, track.language, rate_hz, report.num_samples, loudest)
        return StemFile(path, query, *facts)


def check_stem_path(path: Path) -> None:
    """Raise RequestError if a stem's file cannot have this name."""
    if (num_bytes := len(os.fsencode(path.name))) > LONGEST_NAME_BYTES:
        raise RequestError(
            f"{path.name}: a name of {num_bytes} bytes, at most {LONGEST_NAME_BYTES} are possible; "
            "rename the input, or give the query a shorter name"
        )
    if path.is_dir():
        raise RequestError(f"{path}: is a folder, and a stem would have its name")


def watch(
    first_CT: np.ndarray, blocks: Iterator[np.ndarray], meter: EnvelopeMeter
) -> Iterator[np.ndarray]:
    """Yield all blocks unchanged, and measure each of them."""
    meter.add(first_CT)
    yield first_CT
    for block_CT in blocks:
        meter.add(block_CT)
        yield block_CT


def separate_blocks(
    engine: TrackSeparator, path: Path, media: Media, track: Track, condition_D: np.ndarray
) -> Generator[np.ndarray, None, None]:
    """Yield the stem of one query in blocks (C, T), a span at a time."""
    rate_hz, num_samples = output_rate(track), 0
    condition_1D = torch.tensor(condition_D)[None]
    with closing(decode(path, media, track)) as decoded:
        for span, samples_CT, _ in cut_spans(
            decoded, rate_hz, SPAN_S, engine.context_s, engine.grid_s
        ):
            num_samples = span.core_stop
            samples = torch.tensor(samples_CT)
            for stem_CT in engine.separate_span(samples, rate_hz, condition_1D, span):
                yield stem_CT.numpy()
    if not num_samples:
        raise AudioError(f"{path.name!r}: track {track.index} holds no samples")


def list_examples(queries: Sequence[Query]) -> set[Path]:
    """List the local example files of queries, also those in nested folders."""
    files: set[Path] = set()
    for query in queries:
        for name in (*query.audio, *query.image, *query.video):
            if isinstance(name, str) and not (place := parse_uri(name)).bucket:
                files |= {each.resolve() for each in (place.path, *place.path.rglob("*"))}
    return files


def name_stem_file(name: str, query: str, format: str, track_index: int | None = None) -> str:
    """Name the stem of a file: talk.siren.flac, talk.track-1.siren.flac."""
    track = "" if track_index is None else f".track-{track_index}"
    return f"{name}{track}.{query}.{format}"


def read_preview(stem: StemFile) -> Preview:
    """Read the loudest part of a stem from its file."""
    name = stem.query if stem.track_index == 0 else f"{stem.query}, track {stem.track_index}"
    sound = read_part(stem.path, stem.loudest)
    return Preview(name, sound.samples, sound.rate_hz, stem.loudest, stem.duration_s)


def read_part(path: Path, part: Times) -> Excerpt:
    """Read a part of a stem: by seeking with libsndfile, which does not know m4a, else from its
    beginning."""
    if path.suffix == ".m4a":
        media = probe(path)
        return cut(path, media, media.tracks[0], part)
    try:
        with soundfile.SoundFile(path) as file:
            start, stop = (round(each * file.samplerate) for each in part)
            file.seek(min(start, file.frames))
            samples_TC = file.read(stop - start, dtype="float32", always_2d=True)
            return Excerpt(samples_TC.T, file.samplerate)
    except soundfile.LibsndfileError as error:
        raise ObjectMissing(f"{path}: cannot be read any more: {error}") from None


@contextmanager
def opened(path: str | Path, storage: Storage) -> Iterator[tuple[Path, str]]:
    """Yield (path, name without extension) of a local file or of a temporary copy of an object."""
    uri = str(path) if "://" in str(path) else str(Path(path).expanduser())
    place = parse_uri(uri)
    name = PurePosixPath(place.key).stem
    if not place.bucket:
        yield place.path, name
        return
    with temporary_folder() as folder, storage.on_disk(storage.stat(uri), folder) as local:
        yield local, name
