"""Make the previews of one asset: short sound, spectrograms and waveforms of each of its stems.

A stem's preview has three sounds of equal length, which the page plays in step: the mixture, the
stem, and their difference. They are m4a files, which every browser plays. Memory holds 30 s of each
sound, and an envelope of the track. Shapes: C channels, T samples.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from separator.audio.pictures import draw_spectrogram, measure_loudest, measure_peaks
from separator.audio.window import WHOLE_S, EnvelopeMeter, Times, choose_window
from separator.errors import (
    AccessDenied,
    AudioError,
    MediaError,
    ObjectChanged,
    RequestError,
    StorageError,
)
from separator.media.cut import Excerpt, cut, read_blocks
from separator.media.decode import output_rate
from separator.media.groups import find_track
from separator.media.preview import encode_preview
from separator.media.probe import Media, Track, probe
from separator.results.record import hash_content
from separator.results.schema import Record
from separator.rows import STEM
from separator.storage import Storage, join_uri
from separator.storage.temporary import temporary_folder

VERSION = 1  # of previews; with another version all previews are made again
AGAIN = "again"  # a script of this name makes the next report repeat the previews of its folder
NUM_PEAKS = 600
MAX_PEAKS = 400  # of the waveform of a whole track
ERRORS = (MediaError, StorageError, AudioError, RequestError)
MIXTURE, RESIDUAL = "mixture", "residual"


@dataclass(frozen=True)
class AssetWork:
    """One asset with the rows that need previews."""

    uri: str
    etag: str
    rows: Sequence[Record]
    folder: str  # below previews/
    is_stale: bool = False  # the folder holds outdated previews, which are deleted first


@dataclass(frozen=True)
class PreviewMaker:
    """Write previews below `folder_uri`; a plain value that Ray can send to its workers."""

    storage: Storage
    folder_uri: str

    def __call__(self, work: AssetWork) -> dict[str, str]:
        """Make the previews of an asset; return by name why one failed, or an empty text."""
        if work.is_stale:
            self.storage.clear(join_uri(self.folder_uri, work.folder))
        try:
            with temporary_folder() as folder, opened(self.storage, work, folder) as source:
                return {
                    name_preview(row): self._try(work, row, source, folder) for row in work.rows
                }
        except ObjectChanged as error:  # while the asset was read
            return {name_preview(row): f"{error.code}: {error}" for row in work.rows}

    def _try(self, work: AssetWork, row: Record, source: "AssetCutter", folder: Path) -> str:
        name = name_preview(row)
        try:
            preview = self._make(work, row, source, folder)
            if source.may_come:
                self._write(work, f"{AGAIN}.js", b"")
            self._write(work, f"{name}.js", pack_script("preview", name, preview))
        except ERRORS as error:
            return f"{error.code}: {error}"
        return ""

    def _make(
        self, work: AssetWork, row: Record, source: "AssetCutter", folder: Path
    ) -> dict[str, Any]:
        path = folder / f"stem.{row['stem_uri'].rpartition('.')[2]}"
        self.storage.fetch(row["stem_uri"], path)
        media = probe(path)
        envelope, peaks, duration_s, whole = measure(path, media, media.tracks[0])
        window = choose_window(envelope, duration_s, list_spans(row))
        stem = whole or cut(path, media, media.tracks[0], window)
        kind = row["kind"] or STEM
        sounds = {kind: stem}
        mixture = source.cut(row["track_index"], row["track_streams"] or (), window)
        if mixture is not None:
            sounds = {MIXTURE: mixture, kind: stem}
            if kind == STEM and mixture.rate_hz == stem.rate_hz:
                sounds[RESIDUAL] = subtract(mixture, stem, row.get("gain_db") or 0.0)
        first = next(iter(sounds.values()))
        loudest_db = measure_loudest(first.samples, first.rate_hz)
        lanes = [
            self._write_lane(work, row, window, kind, sound, loudest_db, folder)
            for kind, sound in sounds.items()
        ]
        return {
            "duration_s": round(duration_s, 3),
            "window": window,
            "lanes": lanes,
            "track": shrink(peaks, MAX_PEAKS),
            "trouble": source.trouble,
        }

    def _write_lane(
        self,
        work: AssetWork,
        row: Record,
        window: Times,
        kind: str,
        sound: Excerpt,
        loudest_db: float,
        folder: Path,
    ) -> dict[str, Any]:
        """Write sound and picture of one lane; stems of one track share the mixture's sound."""
        name = f"{name_preview(row)}-{kind}"
        audio = f"{name}.m4a"
        if kind == MIXTURE:
            streams = row["track_streams"] or []
            about = [VERSION, work.uri, work.etag, row["track_index"], window]
            shared = hash_content([*about, streams] if streams else about)
            audio = f"{shared}.m4a"
        if not (path := folder / audio).exists():
            encode_preview(sound.samples, sound.rate_hz, path)
            self._write(work, audio, path.read_bytes())
        picture = draw_spectrogram(sound.samples, sound.rate_hz, loudest_db=loudest_db)
        self._write(work, f"{name}.png", picture)
        peaks = measure_peaks(sound.samples, NUM_PEAKS)
        addresses = {"audio": f"{work.folder}/{audio}", "picture": f"{work.folder}/{name}.png"}
        return {"kind": kind, **addresses, "peaks": shrink(peaks)}

    def _write(self, work: AssetWork, name: str, data: bytes) -> None:
        self.storage.write(join_uri(self.folder_uri, work.folder, name), data)


class AssetCutter:
    """Cut stretches out of an asset; a stretch that several stems share is decoded once."""

    def __init__(self, path: Path | None = None, media: Media | None = None) -> None:
        self.path, self.media = path, media
        self.trouble = ""  # the reason why there is no mixture
        self.may_come = False  # whether a later report may find the mixture
        self._last: tuple[tuple[Track, Times], Excerpt] | None = None

    def cut(self, track_index: int, streams: Sequence[int], window: Times) -> Excerpt | None:
        if self.path is None or self.media is None:
            return None
        track = find_track(self.path, self.media, track_index, streams)
        if self._last is None or self._last[0] != (track, window):
            self._last = (track, window), cut(self.path, self.media, track, window)
        return self._last[1]


@contextlib.contextmanager
def opened(storage: Storage, work: AssetWork, folder: Path) -> Iterator[AssetCutter]:
    """Open the asset; if it is missing or has changed, previews show its stems alone."""
    source = AssetCutter()
    with contextlib.ExitStack() as stack:
        try:
            entry = storage.stat(work.uri)
            if entry.etag != work.etag:
                raise ObjectChanged(f"{work.uri}: has changed since its stems were made")
            path = stack.enter_context(storage.on_disk(entry, folder))
            source = AssetCutter(path, probe(path))
        except ERRORS as error:
            source.trouble = f"{error.code}: {error}"
            source.may_come = error.may_pass and not isinstance(error, ObjectChanged | AccessDenied)
        yield source


def name_preview(row: Record) -> str:
    """Name a preview after everything that changes it."""
    return hash_content([VERSION, row["fingerprint"], list_spans(row)])


def list_spans(row: Record) -> list[Times] | None:
    """Return the presence of a row; None if it was not measured."""
    found = row.get("presence")
    return None if found is None else [(each["start_s"], each["stop_s"]) for each in found]


def pack_script(kind: str, name: str, content: Mapping[str, Any]) -> bytes:
    """Pack data as a script that passes them to the page: scripts load from file:// too."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return f"Report.put({json.dumps(kind)},{json.dumps(name)},{text});\n".encode()


def measure(
    path: Path, media: Media, track: Track
) -> tuple[np.ndarray, np.ndarray, float, Excerpt | None]:
    """Measure the envelope, its peaks and the length of a track; return a short track too."""
    rate_hz = output_rate(track)
    meter, num_samples, kept = EnvelopeMeter(rate_hz), 0, []
    for block_CT in read_blocks(path, media, track):
        meter.add(block_CT)
        num_samples += block_CT.shape[1]
        if num_samples <= WHOLE_S * rate_hz:
            kept.append(block_CT)
        else:
            kept.clear()
    whole = Excerpt(np.concatenate(kept, 1), rate_hz) if kept else None
    return *meter.finish(), num_samples / rate_hz, whole


def subtract(mixture: Excerpt, stem: Excerpt, gain_db: float = 0.0) -> Excerpt:
    """Subtract the stem, without the gain of its file, from the mixture; if their channel counts
    differ, subtract the means."""
    whole_CT, stem_CT = mixture.samples, stem.samples * np.float32(10 ** (-gain_db / 20))
    if len(stem_CT) != len(whole_CT):
        whole_CT, stem_CT = (each.mean(0, keepdims=True) for each in (whole_CT, stem_CT))
    return Excerpt(whole_CT - stem_CT, stem.rate_hz)


def shrink(peaks: np.ndarray, most: int | None = None) -> list[int]:
    """Turn peaks into at most `most` whole numbers from 0 to 99, which the page draws."""
    if most is not None and len(peaks) > most:
        starts = (np.arange(most) * len(peaks)) // most
        peaks = np.maximum.reduceat(peaks, starts)
    return [int(each) for each in np.round(np.clip(peaks, 0, 1) * 99)]
