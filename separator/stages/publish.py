"""Stems, residuals and mixes in, what lies on storage and its figures out. It knows storage and
encoders, no network.

A stem of one span is written to its final key at once. Of a longer one each span is written as a
part of bare float32 samples, and `assemble` makes the stem of them when all are there.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from separator.audio.format import AudioFormat
from separator.audio.loudness import SILENCE_LUFS, Meter
from separator.audio.peak import SILENCE_DBTP, TruePeak
from separator.audio.renditions import RENDITION, RESIDUAL, Rendition, choose_gain
from separator.errors import MediaError, StorageError
from separator.media.encode import EncodeSettings, Tags, encode
from separator.results.paths import Layout
from separator.results.record import read_record
from separator.rows import AssetRow, DoneRow, StemRow, carry, set_error
from separator.storage import Storage

PUBLISH_ERRORS = (MediaError, StorageError)


@dataclass(frozen=True)
class Publisher:
    """The stage as a value: it travels to the workers once."""

    storage: Storage
    layout: Layout
    settings: EncodeSettings
    run_id: str
    renditions: tuple[Rendition, ...] = ()

    def __call__(self, row: StemRow) -> Iterator[DoneRow]:
        yield self.publish(row)

    def publish(self, row: StemRow) -> DoneRow:
        samples_CT = np.asarray(row["samples"])
        done = make_row(row, samples_CT)
        if row["error_code"] or row["records"]:
            return done
        started = time.monotonic()
        try:
            if row["number"] == 0 and row["is_last"]:
                self._write_stem(lambda: [samples_CT], done)
            elif not self._is_late(row):
                path = json.loads(row["asset"])["asset_path"]
                place = (path, row["track_index"], row["kind"], row["query_name"], row["number"])
                self.storage.write(self.layout.part(*place), samples_CT.T.astype("<f4").tobytes())
        except PUBLISH_ERRORS as error:
            set_error(done, error, "publish")
        done["publish_s"] = time.monotonic() - started
        return done

    def _is_late(self, row: StemRow) -> bool:
        """Whether this run has committed the asset already: Ray repeats a task whose node was lost,
        also when all that it had brought was used. Nobody would clear the part away."""
        asset = json.loads(row["asset"])
        asked = {(query["request"], self.run_id) for query in json.loads(asset["queries"])}
        record = read_record(self.storage, self.layout.record(asset["asset_path"]))
        return bool(asked & {(r["request"], r["run_id"]) for r in record})

    def assemble(self, last: DoneRow) -> DoneRow:
        """The stem from its parts, one of them in memory at a time."""
        done = DoneRow(**last)
        started = time.monotonic()
        try:
            self._write_stem(lambda: self._read_parts(last), done)
        except PUBLISH_ERRORS as error:
            set_error(done, error, "publish")
        done["publish_s"] = time.monotonic() - started
        return done

    def _read_parts(self, last: DoneRow) -> Iterator[np.ndarray]:
        path = json.loads(last["asset"])["asset_path"]
        for number in range(last["number"] + 1):
            place = (path, last["track_index"], last["kind"], last["query_name"], number)
            data = self.storage.read(self.layout.part(*place))
            yield np.frombuffer(data, "<f4").reshape(-1, last["num_channels"]).T

    def _write_stem(self, read: Callable[[], Iterable[np.ndarray]], done: DoneRow) -> None:
        """`read` gives the blocks, as often as it is asked."""
        asset, track = json.loads(done["asset"]), json.loads(done["track"])
        kind, name = done["kind"], done["query_name"]
        uri = self.layout.stem(asset["asset_path"], done["track_index"], kind, name)
        rate_hz, num_channels = track["rate_hz"], done["num_channels"]
        layout = track["layout"] if num_channels == track["num_channels"] else None
        audio_format = AudioFormat(rate_hz, num_channels, layout)
        blocks = read()
        if kind == RENDITION:
            rendition = next(r for r in self.renditions if r.name == name)
            blocks = level(read, audio_format, rendition)
        loudness, peak = Meter(audio_format), TruePeak(audio_format)
        with tempfile.TemporaryDirectory(prefix="separator-") as folder:
            path = Path(folder) / f"stem.{self.layout.extension}"
            report = encode(
                _measure(blocks, loudness, peak),
                path,
                audio_format,
                settings=self.settings,
                tags=Tags(title=make_title(asset, kind, name), source=asset["asset_uri"]),
            )
            self.storage.upload(path, uri)
        done["stem_uri"], done["num_clipped"] = uri, report.num_clipped
        done["loudness_lufs"] = loudness.loudness_lufs()
        done["true_peak_dbtp"] = peak.peak_dbtp()
        done["active_share"] = loudness.active_share()


def level(
    read: Callable[[], Iterable[np.ndarray]],
    audio_format: AudioFormat,
    rendition: Rendition,
) -> Iterable[np.ndarray]:
    """Measure the mix, then scale it to the rendition's loudness."""
    if rendition.loudness_lufs is None:
        return read()
    loudness, peak = Meter(audio_format), TruePeak(audio_format)
    for _ in _measure(read(), loudness, peak):
        pass
    gain = np.float32(choose_gain(loudness.loudness_lufs(), peak.peak_dbtp(), rendition))
    return (gain * block_CT for block_CT in read())


def make_title(asset: AssetRow, kind: str, name: str) -> str:
    texts = {query["name"]: query["text"] for query in json.loads(asset["queries"])}
    return f"without {texts.get(name, 'any stem')}" if kind == RESIDUAL else texts[name]


def _measure(blocks: Iterable[np.ndarray], *meters: Meter | TruePeak) -> Iterator[np.ndarray]:
    for block_CT in blocks:
        for meter in meters:
            meter.add(block_CT)
        yield block_CT


def make_row(row: StemRow, samples_CT: np.ndarray) -> DoneRow:
    return DoneRow(
        **carry(row),
        kind=row["kind"],
        query_name=row["query_name"],
        null_error=row["null_error"],
        similarity=row["similarity"],
        num_channels=samples_CT.shape[0],
        num_samples=samples_CT.shape[1],
        energy=float(np.square(samples_CT, dtype=np.float64).sum()),
        energy_in=row["energy_in"],
        peak=float(np.abs(samples_CT).max(initial=0.0)),
        num_clipped=0,
        loudness_lufs=SILENCE_LUFS,
        true_peak_dbtp=SILENCE_DBTP,
        active_share=0.0,
        stem_uri="",
        extract_s=row["extract_s"],
        separate_s=row["separate_s"],
        publish_s=0.0,
    )
