"""Write stems, residuals and renditions to storage, and measure them.

A stem of one span is written to its final key at once. Each span of a longer stem is written as a
part, bare float32 samples, and `assemble` joins the parts when all are there. Knows storage and
encoders, not the network.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from separator.audio.format import AudioFormat
from separator.audio.loudness import Meter
from separator.audio.peak import TruePeak
from separator.audio.renditions import Rendition, choose_gain
from separator.errors import MediaError, ObjectMissing, OutputDamaged, StorageError
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings, Tags
from separator.results.commit_file import read_commit_file
from separator.results.paths import Layout
from separator.results.record import to_db
from separator.rows import (
    RENDITION,
    RESIDUAL,
    AlreadyDone,
    Asset,
    Failed,
    Measures,
    Outcome,
    PartWritten,
    Seconds,
    StemRow,
    StemWritten,
    fail,
)
from separator.stages.collect import Assemble
from separator.storage import Storage
from separator.storage.temporary import temporary_folder

PUBLISH_ERRORS = (MediaError, StorageError)
SAMPLE_BYTES = 4  # float32, in parts
SILENT_BLOCK = 1 << 20  # samples


@dataclass(frozen=True)
class Publisher:
    """The stage as a value, which travels to each worker once."""

    storage: Storage
    layout: Layout
    settings: EncodeSettings
    run_id: str
    renditions: tuple[Rendition, ...] = ()

    def __call__(self, row: StemRow | Failed | AlreadyDone) -> Iterator[Outcome]:
        yield self.publish(row) if isinstance(row, StemRow) else row

    def publish(self, row: StemRow) -> Outcome:
        """Write the core of one span: as the whole stem, or as a part of it."""
        started = time.monotonic()
        measures = measure(row)
        try:
            if row.num_silent:
                done = describe_part(row, measures)
            elif row.number == 0 and row.is_last:
                done = self._write_stem(row, measures, lambda: [np.asarray(row.samples)])
            else:
                done = self._write_part(row, measures)
        except PUBLISH_ERRORS as error:
            done = fail(row.of(), error, "publish", kind=row.kind, name=row.name)
        seconds = replace(row.seconds, publish=time.monotonic() - started)
        return replace(done, seconds=seconds)

    def assemble(self, command: Assemble) -> StemWritten | Failed:
        """Make the stem of its parts, one of them in memory at a time."""
        started = time.monotonic()
        try:
            done = self._write_stem(command, command.measures, lambda: self._read_parts(command))
        except PUBLISH_ERRORS as error:
            done = fail(command.of(), error, "publish", kind=command.kind, name=command.name)
        return replace(done, seconds=Seconds(publish=time.monotonic() - started))

    def _write_part(self, row: StemRow, measures: Measures) -> PartWritten:
        if not self._is_committed(row.asset):
            uri = self._name_part(row, row.number)
            self.storage.write(uri, np.asarray(row.samples).T.astype("<f4").tobytes())
        return describe_part(row, measures)

    def _is_committed(self, asset: Asset) -> bool:
        """Tell whether the asset is committed already, by this run or by one that took over while
        this one slept. Ray repeats a task whose node was lost, even if all of its results were
        used; a part that is written then would never be deleted."""
        own = {each for item in asset.items for each in (item.id, item.absent_id)}
        try:
            records = read_commit_file(self.storage, self.layout.record(asset.path)).records
        except OutputDamaged:  # this run would have written a whole one
            return False
        return any(r["request"] in own and r["run_id"] >= self.run_id for r in records)

    def _name_part(self, row: StemRow | Assemble, number: int) -> str:
        return self.layout.part(row.asset.path, row.track.index, row.kind, row.name, number)

    def _read_parts(self, command: Assemble) -> Iterator[np.ndarray]:
        """Read the samples of a stem part by part; raise StorageError if some are missing."""
        measures, num_bytes = command.measures, 0
        frame_bytes = SAMPLE_BYTES * measures.num_channels
        silent = dict(command.silent)
        for number in range(command.num_parts):
            if number in silent:
                num_bytes += frame_bytes * silent[number]
                yield from list_silence(measures.num_channels, silent[number])
                continue
            try:
                data = self.storage.read(self._name_part(command, number))
            except ObjectMissing:  # not written, or cleared by another run: too few bytes below
                break
            num_bytes += len(data)
            if len(data) % frame_bytes:
                break
            yield np.frombuffer(data, "<f4").reshape(-1, measures.num_channels).T
        wanted = frame_bytes * measures.num_samples
        if num_bytes != wanted:
            raise StorageError(
                f"{self.layout.parts(command.asset.path)}: the parts of {command.name!r} hold "
                f"{num_bytes:,} bytes instead of {wanted:,}; the next run makes them again"
            )

    def _write_stem(
        self,
        row: StemRow | Assemble,
        measures: Measures,
        read: Callable[[], Iterable[np.ndarray]],
    ) -> StemWritten:
        """Encode and upload a file. Each call of `read` reads its blocks (C, T) from the start."""
        track, num_channels = row.track, measures.num_channels
        layout = track.layout if num_channels == track.num_channels else None
        audio_format = AudioFormat(track.rate_hz, num_channels, layout)
        gain = 1.0
        if row.kind == RENDITION:
            rendition = next(r for r in self.renditions if r.name == row.name)
            gain = find_gain(read, audio_format, rendition)
        blocks = read() if gain == 1 else (np.float32(gain) * block_CT for block_CT in read())
        loudness, peak = Meter(audio_format), TruePeak(audio_format)
        uri = self.layout.stem(row.asset.path, track.index, row.kind, row.name)
        with temporary_folder() as folder:
            path = folder / f"stem.{self.layout.extension}"
            report = encode(
                _metered(blocks, loudness, peak),
                path,
                audio_format,
                settings=self.settings,
                tags=Tags(title=make_title(row.asset, row.kind, row.name), source=row.asset.uri),
            )
            self.storage.upload(path, uri)
        scaled_db = to_db(report.gain, 20)  # clip=scale changes the level after the meters
        return StemWritten(
            *row.of(),
            kind=row.kind,
            name=row.name,
            uri=uri,
            measures=measures,
            gain=gain * report.gain,
            num_clipped=report.num_clipped,
            loudness_lufs=loudness.loudness_lufs() + scaled_db,
            true_peak_dbtp=peak.peak_dbtp() + scaled_db,
            active_share=loudness.active_share(),
            heard=row.heard,
            repairs=row.repairs,
        )


def find_gain(
    read: Callable[[], Iterable[np.ndarray]],
    audio_format: AudioFormat,
    rendition: Rendition,
) -> float:
    """Measure a rendition, to find the factor that brings it to its loudness."""
    if rendition.loudness_lufs is None:
        return 1.0
    loudness, peak = Meter(audio_format), TruePeak(audio_format)
    for _ in _metered(read(), loudness, peak):
        pass
    return choose_gain(loudness.loudness_lufs(), peak.peak_dbtp(), rendition)


def make_title(asset: Asset, kind: str, name: str) -> str:
    texts = {item.name: item.text or item.name for item in asset.items}
    return f"without {texts.get(name, 'any stem')}" if kind == RESIDUAL else texts[name]


def _metered(blocks: Iterable[np.ndarray], *meters: Meter | TruePeak) -> Iterator[np.ndarray]:
    for block_CT in blocks:
        for meter in meters:
            meter.add(block_CT)
        yield block_CT


def list_silence(num_channels: int, num_samples: int) -> Iterator[np.ndarray]:
    """Yield blocks (C, T) of silence, none too large."""
    for at in range(0, num_samples, SILENT_BLOCK):
        yield np.zeros((num_channels, min(SILENT_BLOCK, num_samples - at)), np.float32)


def describe_part(row: StemRow, measures: Measures) -> PartWritten:
    return PartWritten(
        *row.of(),
        kind=row.kind,
        name=row.name,
        number=row.number,
        is_last=row.is_last,
        is_silent=row.num_silent > 0,
        measures=measures,
        heard=row.heard,
        repairs=row.repairs,
    )


def measure(row: StemRow) -> Measures:
    if row.num_silent:
        return Measures(0, row.num_silent, 0.0, row.energy_in, 0.0)
    samples_CT = np.asarray(row.samples)
    return Measures(
        num_channels=samples_CT.shape[0],
        num_samples=samples_CT.shape[1],
        energy=float(np.square(samples_CT, dtype=np.float64).sum()),
        energy_in=row.energy_in,
        peak=float(np.abs(samples_CT).max(initial=0.0)),
        null_error=row.null_error,
        similarity=row.similarity,
    )
