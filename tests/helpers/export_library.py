"""Write a finished output with known stems, small enough to be made for every test."""

import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import soundfile

from separator.config import read_settings
from separator.export.settings import ExportConfig
from separator.results.manifest import ManifestWriter
from separator.results.paths import Layout
from separator.results.schema import COLUMNS
from separator.storage import Storage

START = datetime(2026, 1, 1, tzinfo=UTC)
RATE_HZ = 8_000
LICENCES = ("CC-BY-4.0", "CC0-1.0", None)


def make_sound(number: int) -> bytes:
    """Other samples for every stem, as a FLAC file."""
    samples_T = 0.1 * np.random.default_rng(number).standard_normal(RATE_HZ // 4)
    sink = io.BytesIO()
    soundfile.write(sink, samples_T, RATE_HZ, format="FLAC")
    return sink.getvalue()


def make_records(root_uri: str, num_assets: int) -> list[dict]:
    """Of every asset two stems and a mix; of every fifth a failure in place of the second stem."""
    layout, records = Layout(root_uri, "flac"), []
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
                    "energy_share": None if failed else i / num_assets,
                    "carried": json.dumps({"licence": LICENCES[i % 3], "speaker": f"s{i // 4}"}),
                    "model_name": "mini",
                    "checkpoint_sha256": "abc",
                    "fingerprint": hashlib.sha256(f"{i}{j}".encode()).hexdigest()[:32],
                    "created_at": (START + timedelta(hours=i)).isoformat(),
                }
            )
    return records


def write_output(storage: Storage, root_uri: str, num_assets: int = 40) -> list[dict]:
    records = make_records(root_uri, num_assets)
    for number, record in enumerate(records):
        for key, offset in (("stem_uri", 0), ("residual_uri", 1_000)):
            if record[key]:
                storage.write(record[key], make_sound(number + offset))
    writer = ManifestWriter(storage, Layout(root_uri, "flac"), "r", rows_per_file=50)
    for record in records:
        writer.add([record])
    writer.flush()
    return records


def write_records(folder: Path, records: list[dict]) -> None:
    """A manifest of stems that are not there."""
    writer = ManifestWriter(Storage(), Layout(str(folder / "out"), "flac"), "r", 1_000)
    writer.add(records)
    writer.flush()


def make_config(folder: Path, *overrides: str) -> ExportConfig:
    given = [f"input.uri={folder / 'out'}", f"output.uri={folder / 'set'}", *overrides]
    return read_settings(ExportConfig, Path(__file__).parents[2] / "configs/export.yaml", given)


def hash_tree(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
