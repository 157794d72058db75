"""Disks without room, and an output that becomes read-only: the run ends in one line, what a reader
sees is whole, and the same command finishes the output once the disk is as it was."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.disks import Disk, mounted_disk
from tests.helpers.job import end_in_one_line, run_job, start_job, wait_for
from tests.helpers.many import EDITS, Tree, check_same, check_unfinished, empty, make_wanted

NUM_ASSETS = 6
LARGE = 256 << 20
KEPT = "what is finished is kept, and the same command goes on"


@dataclass(frozen=True)
class Case:
    """A job whose output is a disk of its own, and the tree that it leaves undisturbed."""

    out: Disk
    config: Path
    wanted: Tree

    def check_continued(self, **options) -> None:
        run_job(self.config, *EDITS, **options)
        check_same(self.out.path, self.wanted)


@pytest.fixture(scope="module")
def shared_case(tmp_path_factory) -> Iterator[Case]:
    folder = tmp_path_factory.mktemp("disks")
    with mounted_disk(folder / "out", LARGE) as out:
        config = folder / "a.yaml"
        yield Case(out, config, make_wanted(folder / "library", out.path, config, NUM_ASSETS))


@pytest.fixture
def case(shared_case) -> Case:
    shared_case.out.remount(f"rw,size={LARGE}")
    empty(shared_case.out.path)
    return shared_case


def count_bytes(folder: Path) -> int:
    return sum(512 * path.stat().st_blocks for path in folder.rglob("*"))


@pytest.mark.slow
def test_run_on_an_output_without_room_ends_in_one_line_and_is_continued(case):
    """At the first byte, among the stems, and shortly before the end."""
    out, config = case.out, case.config
    needed = sum(len(data) for data in case.wanted.values() if isinstance(data, bytes))
    out.remount("size=4096")
    line = end_in_one_line(start_job(config, *EDITS), 1, "python -m jobs.separate: ")
    assert "No space left on device" in line
    for share in (0.3, 0.9):
        out.remount(f"size={max(count_bytes(out.path), round(share * needed))}")
        line = end_in_one_line(start_job(config, *EDITS), 1, "disk_full: ")
        assert str(out.path) in line and line.endswith(KEPT)
        check_unfinished(out.path, case.wanted)
    out.remount(f"size={LARGE}")
    case.check_continued()


@pytest.mark.slow
def test_run_on_an_output_that_becomes_read_only_ends_in_one_line_and_is_continued(case):
    process = start_job(case.config, *EDITS)
    wait_for(process, case.out.path, "record.json")
    case.out.remount("ro")
    line = end_in_one_line(process, 1, "access_denied: ")
    assert str(case.out.path) in line and "Read-only file system" in line and line.endswith(KEPT)
    check_unfinished(case.out.path, case.wanted)
    case.out.remount("rw")
    case.check_continued()


@pytest.mark.slow
def test_run_whose_temporary_folder_fills_up_ends_in_one_line_and_is_continued(case, tmp_path):
    """From the first finished asset on. Where it is full from the start, Python takes another."""
    with mounted_disk(tmp_path / "temporary", LARGE) as disk:
        places = {"TMPDIR": str(disk.path), "RAY_TMPDIR": "/tmp"}
        process = start_job(case.config, *EDITS, environment=places)
        wait_for(process, case.out.path, "record.json")
        filler = disk.fill()
        line = end_in_one_line(process, 1, "disk_full: ")
        assert str(disk.path) in line and line.endswith(KEPT)
        check_unfinished(case.out.path, case.wanted)
        filler.unlink()
        case.check_continued(environment=places)
