"""Write shards as tars in the layout of WebDataset: `KEY.flac`, `KEY.residual.flac`, `KEY.json`."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from separator.export.columns import to_json
from separator.export.select import Shard
from separator.export.sounds import Samples


def write_tar(folder: Path, shard: Shard, samples: Samples, _: Sequence[str]) -> None:
    path = folder / f"{shard.name}.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for row, paths in samples:
            for name, sound_path in paths.items():
                add_file(tar, name_member(row, name, sound_path), sound_path)
            text = json.dumps(to_json(row), ensure_ascii=False, sort_keys=True)
            add_text(tar, f"{row['fingerprint']}.json", text)


def name_member(row: dict[str, Any], name: str, sound_path: Path) -> str:
    """Name a sound by its key and type: WebDataset takes all after the first dot as the type."""
    return row["fingerprint"] + ("" if name == "audio" else f".{name}") + sound_path.suffix


def add_file(tar: tarfile.TarFile, name: str, path: Path) -> None:
    with path.open("rb") as file:
        tar.addfile(_make_member(name, path.stat().st_size), file)


def add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    tar.addfile(_make_member(name, len(data)), io.BytesIO(data))


def _make_member(name: str, size: int) -> tarfile.TarInfo:
    """Make a tar header without time and owner: the same rows must give the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member
