"""List a small library with the settings of configs/local.yaml."""

import json
from pathlib import Path

import numpy as np

from separator.config import JobConfig, read_config
from separator.results.manifest import hash_requests
from separator.stages.listing import Known, list_assets
from separator.stages.work import make_asked
from separator.storage import Storage

ROOT = Path(__file__).parents[2]


def make_config(tmp_path, *overrides: str) -> JobConfig:
    given = [f"input.uri={tmp_path / 'in'}", f"output.uri={tmp_path / 'out'}"]
    return read_config(ROOT / "configs/local.yaml", [*given, *overrides])


def list_rows(config: JobConfig, sha256: str = "s") -> list:
    return list(list_assets(Storage(), config, make_asked(config, sha256, {})))


def make_library(folder: Path) -> Path:
    for name in ("a.mp4", "b/c.WAV", "b/d.txt", "e.flac"):
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in" / name).write_bytes(name.encode())
    return folder


def get_requests(rows) -> list[str]:
    return [query["request"] for row in rows for query in json.loads(row["queries"])]


def leave_out(rows, done, wanted=None) -> list:
    known = Known(np.sort(hash_requests(done)), wanted)
    return [row for row in map(known.leave_out, rows) if row is not None]
