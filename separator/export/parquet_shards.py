"""Write shards as Parquet, in the layout of Hugging Face's `Audio`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from separator.errors import RequestError
from separator.export.columns import ADDED
from separator.export.select import Shard
from separator.export.sounds import Samples
from separator.export.tar_shards import name_member
from separator.results.schema import make_schema as make_manifest_schema

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
MAX_BYTES = 1 << 30  # of a sound, which is held in memory
HELD_BYTES = 64 << 20  # of a row group, which readers load as a whole
DTYPES = {"float": "float32", "double": "float64"}  # Arrow's name -> NumPy's


def write_parquet(folder: Path, shard: Shard, samples: Samples, sounds: Sequence[str]) -> None:
    """Write rows with their sounds, in row groups of `HELD_BYTES`."""
    schema = make_schema(sounds)
    held: list[dict[str, Any]] = []
    held_bytes = 0
    path = folder / f"{shard.name}.parquet"
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(held, schema=schema))
            held.clear()

        for row, paths in samples:
            for name, sound_path in paths.items():
                if sound_path.stat().st_size > MAX_BYTES:
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
