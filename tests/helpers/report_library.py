"""Write a finished output without a run: known stems, names of all sorts, rows to doubt."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import soundfile

from separator.report.make import ReportPlan, list_made, plan_report, write_report
from separator.report.previews import PreviewMaker
from separator.results.manifest import make_table, write_table
from separator.results.paths import Layout, make_asset_path
from separator.results.record import hash_content
from separator.results.schema import COLUMNS
from separator.storage import Storage

RATE_HZ = 16_000
PATIENCE_MS = 600_000  # of a browser: machines may be busy
RUN_ID = "20260101-000000-abcdef"
# Quotes, markup, an emoji, text from right to left, a line of 200 bytes, percent and hash signs.
NAMES = [
    "talk.wav",
    'it\'s "quoted" & <b>bold<\\b>.wav',
    "<script>alert(1)<\\script>.wav",
    "🐸 frog #1 100%?.wav",
    "שלום עולם.wav",
    "x" * 196 + ".wav",
]
HELL = "<img src=x onerror=alert(2)> \u202e\"'"


@dataclass(frozen=True)
class Made:
    """An output below `root`, and the records of its manifest."""

    root: Path
    records: list[dict]

    @property
    def output(self) -> Path:
        return self.root / "out"

    @property
    def layout(self) -> Layout:
        return Layout(str(self.output), "flac")


def make_tone(seconds: float, hz: float, start_s: float, stop_s: float) -> np.ndarray:
    """Make a tone that sounds in one stretch only."""
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.where((at >= start_s) & (at < stop_s), 0.3 * np.sin(2 * np.pi * hz * at), 0.0)


def make_record(asset: Path, root_uri: str, name: str, **values) -> dict:
    """Make a row of a stem that is ok; `values` replace its columns."""
    given = dict.fromkeys(COLUMNS) | {
        "run_id": RUN_ID,
        "asset_uri": str(asset),
        "asset_etag": "e",
        "asset_bytes": 1_000,
        "track_index": 0,
        "track_language": "",
        "kind": "stem",
        "query_name": name,
        "query_text": f"the sound of {name}",
        "status": "ok",
        "error_code": "",
        "error_stage": "",
        "error_detail": "",
        "stem_uri": "",
        "residual_uri": "",
        "remux_uri": "",
        "rate_hz": RATE_HZ,
        "num_channels": 1,
        "num_clipped": 0,
        "loudness_lufs": -23.0,
        "true_peak_dbtp": -3.0,
        "active_share": 0.5,
        "energy_share": 0.5,
        "warning": "",
        "decode_warnings": "",
        "model_name": "mini",
        "checkpoint_sha256": "abc",
        "query_kind": "text",
        "query_source": "",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
    }
    record = given | values
    key = [record["asset_uri"], name, record["track_index"]]
    return record | {"request": hash_content(key), "fingerprint": hash_content([*key, "f"])}


def write_asset(root: Path, name: str, seconds: float, queries: Sequence[str]) -> list[dict]:
    """Write a file of one tone a query, its stems, and their rows."""
    path, layout = root / "library" / name, Layout(str(root / "out"), "flac")
    path.parent.mkdir(parents=True, exist_ok=True)
    middle = seconds / 2
    tones = {
        query: make_tone(seconds, 400.0 * (number + 1), middle - 1, middle + 1)
        for number, query in enumerate(queries)
    }
    soundfile.write(path, np.sum(list(tones.values()), 0), RATE_HZ)
    etag = Storage().stat(str(path)).etag
    records = []
    for number, (query, tone_T) in enumerate(tones.items()):
        folder = make_asset_path(str(path), str(root / "library"))
        uri = layout.stem(folder, 0, "stem", f"q{number}")
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(uri, tone_T, RATE_HZ)
        values = {
            "asset_etag": etag,
            "stem_uri": uri,
            "num_samples": len(tone_T),
            "duration_s": seconds,
            "similarity": 0.1 * number,
            "energy_share": 0.4 - 0.1 * number,
        }
        records.append(make_record(path, str(root), query, **values))
    return records


def write_output(root: Path, names: Sequence[str] = NAMES, seconds: float = 3.0) -> Made:
    """Write assets of two stems each, one that failed, and a run file."""
    records = []
    for number, name in enumerate(names):
        queries = ["siren", HELL] if number == 1 else ["siren", "rain"]
        records += write_asset(root, name, seconds, queries)
    failed = {
        "status": "failed", "error_code": "media_unreadable", "error_stage": "extract",
        "error_detail": "'broken.mp4': moov atom not found", "duration_s": None,
        "loudness_lufs": None, "true_peak_dbtp": None, "active_share": None, "energy_share": None,
    }  # fmt: skip
    records.append(make_record(root / "library/broken.mp4", str(root), "siren", **failed))
    made = Made(root, records)
    write_rows(made.layout, records)
    write_run_file(made.layout, str(root / "library"))
    return made


def read_made(root: Path) -> Made:
    """Read an output that `write_output` wrote before."""
    made = Made(root, [])
    rows = [row for row, _, _ in plan_report(Storage(), made.layout, 100).rows]
    return Made(root, rows)


def write_rows(layout: Layout, records: Sequence[dict], storage: Storage | None = None) -> None:
    uri = layout.manifest_file(RUN_ID, 0)
    write_table(storage or Storage(), uri, make_table(records))


def write_run_file(layout: Layout, library_uri: str, storage: Storage | None = None) -> None:
    totals = {"assets": 1, "assets_failed": 0, "audio_s": 1.0, "seconds": 2.0}
    config = {"model": {"name": "mini", "precision": "fp32"}, "input": {"uri": library_uri}}
    content = {
        "run_id": RUN_ID, "state": "finished", "written_at": "2026-01-01T00:00:00+00:00",
        "config": config, "totals": totals, "versions": {"separator": "0"}, "precision": "fp32",
    }  # fmt: skip
    (storage or Storage()).write(layout.run(RUN_ID), json.dumps(content).encode())


def write_site(made: Made, most: int = 100, storage: Storage | None = None) -> ReportPlan:
    """Make the report as jobs/report.py does, without Ray."""
    return write_site_at(made.layout, str(made.root / "library"), most, storage or Storage())


def write_site_at(layout: Layout, library_uri: str, most: int, storage: Storage) -> ReportPlan:
    plan = plan_report(storage, layout, most)
    known = list_made(storage, plan.layout)
    maker, troubles = PreviewMaker(storage, plan.layout.previews()), {}
    for work in plan.list_work(known):
        troubles |= maker(work)
    run = json.loads(storage.read(layout.run(RUN_ID)))
    write_report(storage, plan, known, troubles, run)
    return plan


def read_script(path: Path) -> dict:
    """Read what a data script hands over to the page."""
    text = path.read_text()
    start, stop = text.index(",", text.index(",") + 1) + 1, text.rindex(")")
    return json.loads(text[start:stop])
