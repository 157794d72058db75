"""List a small library with the settings of configs/local.yaml."""

from pathlib import Path

import numpy as np

from separator.config import JobConfig, read_config
from separator.results.done import DoneItems
from separator.results.latest import hash_ids
from separator.rows import Asset
from separator.stages.listing import Listing
from separator.stages.work import Work, make_work
from separator.storage import Storage

ROOT = Path(__file__).parents[2]


def make_config(tmp_path, *overrides: str) -> JobConfig:
    given = [f"input.uri={tmp_path / 'in'}", f"output.uri={tmp_path / 'out'}"]
    return read_config(ROOT / "configs/local.yaml", [*given, *overrides])


def make_work_of(config: JobConfig, sha256: str = "s", precision: str = "fp32") -> Work:
    return make_work(config, sha256, precision, {})


def list_assets(config: JobConfig, sha256: str = "s", precision: str = "fp32") -> list[Asset]:
    return list(Listing(Storage(), config, make_work_of(config, sha256, precision)))


def make_library(folder: Path) -> Path:
    for name in ("a.mp4", "b/c.WAV", "b/d.txt", "e.flac"):
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in" / name).write_bytes(name.encode())
    return folder


def list_ids(assets: list[Asset]) -> list[str]:
    return [item.id for asset in assets for item in asset.items]


def select_pending(assets: list[Asset], done: list[str], wanted=None) -> list[Asset]:
    items = DoneItems(np.sort(hash_ids(done)), wanted=wanted)
    return [asset for asset in map(items.select_pending, assets) if asset is not None]
