"""Test the memory of checkpoints' hashes: a damaged one is only work, never an error."""

from pathlib import Path

import pytest

from separator.model import registry
from separator.model.identity import find_sha256, remember_sha256, stamp_file


@pytest.fixture
def path(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"x")
    return path


def test_find_sha256_returns_what_was_remembered(path):
    assert find_sha256(path) is None
    remember_sha256(path, "ab", stamp_file(path))
    assert find_sha256(path) == "ab"
    path.write_bytes(b"longer")
    assert find_sha256(path) is None


@pytest.mark.parametrize(
    "entry",
    [
        "5",
        "null",
        "[]",
        "{}",
        '{"sha256": "ab", "stamp": STAMP}',  # as written before rate and hop entered a hash
        '{"sha256": 5, "stamp": STAMP, "rule": 2}',
        "[" * 100_000,
    ],
    ids=["number", "null", "list", "empty", "older", "no-text", "deep"],
)
def test_find_sha256_takes_a_damaged_memory_for_none(path, entry):
    content = f'{{"{path}": {entry.replace("STAMP", str(stamp_file(path)))}}}'
    registry.home().mkdir()
    (registry.home() / "identities.json").write_text(content)
    assert find_sha256(path) is None
    remember_sha256(path, "cd", stamp_file(path))
    assert find_sha256(path) == "cd"
