"""Disks without room at each stage of an asset: typed failures, and no file that is not whole."""

import tempfile
from pathlib import Path

import pytest

from separator.audio.renditions import Edits, Rendition
from separator.errors import DiskFull
from separator.media.encode_settings import EncodeSettings
from separator.media.mux import MuxSettings
from separator.results.paths import Layout
from separator.stages.publish import Publisher
from separator.stages.remux import Remuxer
from separator.storage import Storage
from tests.helpers.disks import mounted_disk
from tests.helpers.films import make_film
from tests.helpers.many import empty
from tests.helpers.stages import make_stage, run_stages

LEAST, LARGE = 1 << 12, 1 << 26
LOUD = (Rendition("loud", {"a": 4.0}, loudness_lufs=-20.0),)


def make_records(film: Path, out: Path) -> list[dict]:
    """Of two tracks and two spans, with residuals, a rendition and its remux."""
    storage, layout = Storage(), Layout(str(out), "flac")
    publisher = Publisher(storage, layout, EncodeSettings(), "r", LOUD)
    remuxer = Remuxer(storage, layout, "replace", MuxSettings())
    edits = Edits("per_query", 24, LOUD)
    return run_stages(film, make_stage(), publisher, edits, span_s=1.0, remuxer=remuxer)


def read_visible(out: Path) -> dict[str, bytes]:
    names = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in names.items() if "/." not in name}


@pytest.mark.slow  # mounts a disk, which not every machine allows
@pytest.mark.parametrize("place", ["output", "temporary"])
def test_asset_without_room_fails_typed_and_leaves_no_half_of_a_file(tmp_path, monkeypatch, place):
    """On disks of twice the size each time, until all of it fits."""
    film, out, failed = make_film(tmp_path / "x.mkv"), tmp_path / "out", 0
    make_records(film, out)
    wanted = read_visible(out)
    assert len(wanted) == 2 * 5 + 1
    empty(out)
    with mounted_disk(out if place == "output" else tmp_path / "temporary", LARGE) as disk:
        if place == "temporary":
            monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
        size = LEAST
        while size < LARGE:
            disk.remount(f"size={size}")
            records = make_records(film, out)
            codes = {record["error_code"] for record in records}
            found = read_visible(out)
            assert codes <= {"", DiskFull.code} and found.items() <= wanted.items()
            if codes == {""}:
                break
            failed += 1
            empty(out)
            size *= 2
        assert found == wanted and failed > 2
