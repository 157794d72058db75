"""Write shards: stems as they are stored, with their rows, in a tar or in Parquet.

The tar is WebDataset's, the Parquet file has the layout of Hugging Face's `Audio`. The same rows
give the same bytes.
"""

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from separator.errors import ObjectMissing, OutputDamaged, RequestError
from separator.results.paths import ExportLayout
from separator.results.schema import COLUMNS
from separator.results.schema import make_schema as make_manifest_schema
from separator.storage import Storage
from separator.storage.temporary import temporary_folder

if TYPE_CHECKING:
    from separator.export.select import Shard

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
MOST_BYTES = 1 << 30  # of a sound in a row of Parquet: it is held in memory
HELD_BYTES = 64 << 20  # of a row group of Parquet: readers load it whole
LOSSLESS = ("FLAC", "WAV", "WAVEX", "RF64", "W64")
FLOATS: dict[str, Any] = {"FLOAT": "float32", "DOUBLE": "float64"}  # types that lose nothing
COUNTED = ("query_text", "licence", "model_name", "checkpoint_sha256")
ADDED = {
    "licence": ("string", "of the asset, from the job's list"),
    "cut_start_s": ("float64", "of a stretch of a stem: where it begins in the track"),
    "cut_stop_s": ("float64", "where it stops"),
}
EXPORTED = COLUMNS | ADDED
DTYPES = {"float": "float32", "double": "float64"}  # Arrow's name -> NumPy's

# Rows with local copies of their sounds; the next row overwrites the copies.
Samples = Iterator[tuple[dict[str, Any], dict[str, Path]]]


@dataclass
class Contents:
    """Count what a shard holds, and list the stems that were missing from storage."""

    split: str
    num_stems: int = 0
    seconds: float = 0.0
    num_bytes: int = 0
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # by column and value
    missing: list[str] = field(default_factory=list)  # URIs

    def add(self, row: dict[str, Any], suffix: str) -> None:
        self.num_stems += 1
        self.seconds += row["duration_s"]
        for column, value in [*((column, row[column]) for column in COUNTED), ("suffix", suffix)]:
            counts = self.counts.setdefault(column, {})
            counts[value] = counts.get(value, 0) + 1


class Total(NamedTuple):
    """Sum up the shards of one split; empty shards do not count."""

    num_stems: int
    seconds: float
    num_bytes: int
    num_shards: int


def sum_splits(contents: Sequence[Contents]) -> dict[str, Total]:
    """Sum up shards by split, in order of the names."""
    full = [each for each in contents if each.num_stems]
    totals = {}
    for split in sorted({each.split for each in full}):
        shards = [each for each in full if each.split == split]
        totals[split] = Total(
            sum(each.num_stems for each in shards),
            sum(each.seconds for each in shards),
            sum(each.num_bytes for each in shards),
            len(shards),
        )
    return totals


@dataclass(frozen=True)
class ShardWriter:
    """Write shards; a plain value that Ray can send to its workers."""

    storage: Storage
    layout: ExportLayout
    is_tar: bool
    residual: bool

    @property
    def columns(self) -> dict[str, str]:
        """Map the sounds' names in the data set to the manifest's columns of their URIs."""
        return {"audio": "stem_uri"} | ({"residual": "residual_uri"} if self.residual else {})

    def __call__(self, shard: "Shard") -> Contents:
        """Write a shard, then its index: a shard with an index is complete."""
        contents = Contents(shard.split)
        with temporary_folder() as folder:
            path = folder / "shard"
            samples = self._read(shard.rows, contents, folder)
            (write_tar if self.is_tar else write_parquet)(path, samples, list(self.columns))
            contents.num_bytes = path.stat().st_size
            if contents.num_stems:  # loaders fail on empty files
                self.storage.upload(path, self.layout.shard(shard.name))
        index = json.dumps(asdict(contents), indent=1, ensure_ascii=False, sort_keys=True)
        self.storage.write(self.layout.index(shard.name), index.encode("utf-8", "surrogateescape"))
        return contents

    def _read(self, rows: pa.Table, contents: Contents, folder: Path) -> Samples:
        for batch in rows.to_batches(max_chunksize=256):
            for row in batch.to_pylist():
                paths = {}
                for name, column in self.columns.items():
                    path = folder / f"{name}{Path(row[column]).suffix}"
                    try:
                        self.storage.fetch(row[column], path)
                    except ObjectMissing:
                        contents.missing.append(row[column])
                        break
                    cut_sound(path, row)
                    paths[name] = path
                else:
                    contents.add(row, paths["audio"].suffix)
                    yield row, paths


def cut_sound(path: Path, row: dict[str, Any]) -> None:
    """Keep the stretch of a sound that its row names, in samples as they are stored."""
    if row["cut_start_s"] is None:
        return
    start = round(row["cut_start_s"] * row["rate_hz"])
    try:
        with soundfile.SoundFile(path) as file:
            if file.format not in LOSSLESS:
                raise RequestError(
                    f"{row['stem_uri']}: {file.format} cannot be cut without loss; input.cut is for"
                    " flac and wav"
                )
            about = {"samplerate": file.samplerate, "format": file.format, "subtype": file.subtype}
            file.seek(min(start, file.frames))
            samples = file.read(row["num_samples"], FLOATS.get(file.subtype, "int32"))
    except soundfile.SoundFileError as error:
        raise OutputDamaged(f"{row['stem_uri']}: {error}") from None
    soundfile.write(path, samples, **about)


def write_tar(path: Path, samples: Samples, _: Sequence[str]) -> None:
    """Write `KEY.flac`, `KEY.residual.flac` and `KEY.json` of each row: WebDataset's layout."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for row, paths in samples:
            for name, sound_path in paths.items():
                with sound_path.open("rb") as file:
                    member = make_member(name_member(row, name, sound_path), file.seek(0, 2))
                    file.seek(0)
                    tar.addfile(member, file)
            about = json.dumps(to_json(row), ensure_ascii=False, sort_keys=True).encode(
                "utf-8", "surrogateescape"
            )
            tar.addfile(make_member(f"{row['fingerprint']}.json", len(about)), io.BytesIO(about))


def name_member(row: dict[str, Any], name: str, sound_path: Path) -> str:
    """Name a sound by its key and type: WebDataset takes all after the first dot as the type."""
    return row["fingerprint"] + ("" if name == "audio" else f".{name}") + sound_path.suffix


def make_member(name: str, size: int) -> tarfile.TarInfo:
    """Make a tar header without time and owner: they would change the bytes."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def to_json(row: dict[str, Any]) -> dict[str, Any]:
    """Make a row fit for JSON.

    `carried` stays a text: its keys may differ from row to row, and loaders take the first row's.
    """
    return row | {k: v.isoformat() for k, v in row.items() if isinstance(v, datetime)}


def write_parquet(path: Path, samples: Samples, sounds: Sequence[str]) -> None:
    """Write rows with their sounds, in row groups of `HELD_BYTES`."""
    schema = make_schema(sounds)
    held: list[dict[str, Any]] = []
    held_bytes = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(held, schema=schema))
            held.clear()

        for row, paths in samples:
            for name, sound_path in paths.items():
                if sound_path.stat().st_size > MOST_BYTES:
                    raise RequestError(
                        f"{row['stem_uri']}: too long for a row of Parquet; leave it out with"
                        f" input.where (duration_s < {row['duration_s']:.0f}), or use webdataset"
                    )
                data = sound_path.read_bytes()
                row[name] = {"bytes": data, "path": name_member(row, name, sound_path)}
                held_bytes += len(data)
            held.append(row)
            if held_bytes >= HELD_BYTES:
                flush()
                held_bytes = 0
        flush()


def make_schema(sounds: Sequence[str]) -> pa.Schema:
    """Make the schema, with the metadata by which Hugging Face's `datasets` decodes the sounds."""
    columns = [each.remove_metadata() for each in make_manifest_schema()]
    columns += [pa.field(name, pa.type_for_alias(kind)) for name, (kind, _) in ADDED.items()]
    features: dict[str, Any] = {name: {"_type": "Audio"} for name in sounds}
    features |= {each.name: describe_type(each.type) for each in columns}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([pa.field(name, AUDIO) for name in sounds] + columns, metadata=about)


def describe_type(kind: pa.DataType) -> dict[str, Any]:
    """Describe a type of Arrow as a feature of Hugging Face's `datasets`."""
    if pa.types.is_list(kind):
        return {"_type": "List", "feature": describe_type(kind.value_type)}
    if pa.types.is_struct(kind):
        return {each.name: describe_type(each.type) for each in kind}
    return {"_type": "Value", "dtype": DTYPES.get(str(kind), str(kind))}
