"""Write a finished output with known stems: short noise, no job is run."""

import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import soundfile

from separator.config import read_settings
from separator.export.finish import write_descriptions
from separator.export.select import select
from separator.export.settings import ExportConfig
from separator.export.shard_contents import Contents
from separator.export.shards import ShardWriter
from separator.results.manifest import ManifestWriter
from separator.results.paths import ExportLayout, Layout
from separator.results.schema import COLUMNS
from separator.storage import Storage

START = datetime(2026, 1, 1, tzinfo=UTC)
RATE_HZ = 8_000
NUM_ASSETS = 40
NUM_STEMS = 72  # of NUM_ASSETS, less the failed ones
LICENCES = ("CC-BY-4.0", "CC0-1.0", None)


def make_sound(number: int) -> bytes:
    """Encode a quarter of a second of noise as FLAC, other noise for each number."""
    samples_T = 0.1 * np.random.default_rng(number).standard_normal(RATE_HZ // 4)
    sink = io.BytesIO()
    soundfile.write(sink, samples_T, RATE_HZ, format="FLAC")
    return sink.getvalue()


def make_records(output_uri: str, num_assets: int = NUM_ASSETS) -> list[dict]:
    """Make rows of two stems and a mix per asset; every fifth asset's second stem has failed."""
    layout, records = Layout(output_uri, "flac"), []
    for i in range(num_assets):
        for j, (name, kind) in enumerate((("a", "stem"), ("b", "stem"), ("m", "rendition"))):
            failed = i % 5 == 4 and name == "b"
            uri = "" if failed else layout.stem(f"x{i}.wav", 0, kind, name)
            residual = layout.stem(f"x{i}.wav", 0, "residual", name)
            records.append(
                dict.fromkeys(COLUMNS)
                | {
                    "asset_uri": f"/in/x{i}.wav",
                    "asset_etag": "e",
                    "track_index": 0,
                    "kind": kind,
                    "query_name": name,
                    "query_text": f"a sound | {name}",
                    "status": "failed" if failed else "ok",
                    "error_code": "decoder_hung" if failed else "",
                    "stem_uri": uri,
                    "residual_uri": residual if kind == "stem" and not failed else "",
                    "num_samples": 0 if failed else RATE_HZ // 4,
                    "num_channels": 0 if failed else 1,
                    "rate_hz": RATE_HZ,
                    "duration_s": None if failed else 0.25,
                    "rms_db": None if failed else -20.1 - i,
                    "energy_share": None if failed else i / num_assets,
                    "presence": None if failed else make_presence(i),
                    "carried": json.dumps({"licence": LICENCES[i % 3], "speaker": f"s{i // 4}"}),
                    "model_name": "mini",
                    "request": hashlib.sha256(f"{i}{name}".encode()).hexdigest()[:32],
                    "checkpoint_sha256": "abc",
                    "fingerprint": hashlib.sha256(f"{i}{j}".encode()).hexdigest()[:32],
                    "created_at": (START + timedelta(hours=i)).isoformat(),
                }
            )
    return records


def make_presence(number: int) -> list[dict]:
    """Make none to two stretches."""
    return [
        {"start_s": 0.1 * i, "stop_s": 0.1 * i + 0.05, "score": 0.75} for i in range(number % 3)
    ]


def write_output(storage: Storage, output_uri: str, num_assets: int = NUM_ASSETS) -> list[dict]:
    """Write the stems, the residuals and the manifest."""
    records = make_records(output_uri, num_assets)
    for number, record in enumerate(records):
        for key, offset in (("stem_uri", 0), ("residual_uri", 1_000)):
            if record[key]:
                storage.write(record[key], make_sound(number + offset))
    write_manifest(storage, output_uri, records)
    return records


def write_manifest(storage: Storage, output_uri: str, records: list[dict], run_id: str = "r"):
    """Write rows, in files of 50; rows whose stems are not there will do for a selection."""
    writer = ManifestWriter(storage, Layout(output_uri, "flac"), run_id, rows_per_file=50)
    for record in records:
        writer.add([record])
    writer.flush()


def make_config(output: Path, *overrides: str) -> ExportConfig:
    """Fill configs/export.yaml; the data set goes beside the output, unless told otherwise."""
    given = [f"input.uri={output}", f"output.uri={output.with_name('set')}", *overrides]
    return read_settings(ExportConfig, Path(__file__).parents[2] / "configs/export.yaml", given)


def hash_tree(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def export(
    output: Path | str, folder: Path | str, *overrides: str, storage: Storage | None = None
) -> list[Contents]:
    """Write a data set as jobs/export.py does, without Ray."""
    given = [f"input.uri={output}", f"output.uri={folder}", *overrides]
    config, storage = make_config(Path("unused/out"), *given), storage or Storage()
    layout = ExportLayout(config.output.uri)
    writer = ShardWriter(storage, layout, config.output.format, config.output.residual)
    with select(storage, config) as selection:
        contents = [writer(shard) for shard in selection.iterate()]
    write_descriptions(storage, layout, config, contents)
    return contents
