"""Test that damaged media of all containers has typed outcomes; tools/fuzz.py runs more of it."""

from pathlib import Path

import pytest

from tools.fuzz import FILMS, SOUND, damage, fuzz, write_whole

MANY_BYTES = 64 << 20


@pytest.mark.slow
@pytest.mark.check
def test_extract_of_damaged_files_has_typed_outcomes(tmp_path: Path) -> None:
    *_, tally = fuzz(tmp_path, range(2 * len({**SOUND, **FILMS})), seed=1)
    assert tally.faults == []
    assert len(tally.counts) >= 4  # damage of many kinds
    assert tally.grown_bytes < MANY_BYTES


@pytest.mark.slow
def test_damage_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    paths = write_whole(tmp_path)
    assert damage(paths, 1, 7) == damage(paths, 1, 7) != damage(paths, 2, 7)
