"""A small list of sounds in files, as training meets them."""

import json
from pathlib import Path

import pytest
import soundfile

from tests.helpers.training import KINDS, RATE_HZ, make_kind


@pytest.fixture(scope="session")
def sounds_list(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    rows = []
    for kind, captions in KINDS.items():
        for seed in range(4):
            name = f"{kind}-{seed}.wav"
            soundfile.write(folder / name, make_kind(kind, seed, 2 * RATE_HZ), RATE_HZ)
            rows.append({"audio": name, "captions": captions, "kind": kind})
    path = folder / "sounds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
