"""An asset that changes while it is read: it fails as a whole, in a way that may pass."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from separator.audio.renditions import Edits
from separator.errors import ObjectChanged, list_passing_codes
from separator.results.paths import Layout
from separator.rows import NO_TRACK, Failed, SpanRow
from separator.stages.extract import Extractor, SpanPlan
from separator.storage import Storage
from tests.helpers import media_files as make
from tests.helpers.decoders import list_decoders
from tests.helpers.listing import list_assets, make_config
from tests.helpers.stages import make_asset

SECONDS = 20


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(path.read_bytes())


def vanish(path: Path) -> None:
    path.unlink()


def replace_by_another(path: Path) -> None:
    make.write(path.with_suffix(".new.wav"), make.make_noise(1, SECONDS * make.HZ, seed=1))
    path.with_suffix(".new.wav").rename(path)


CHANGES = [shrink, grow, vanish, replace_by_another]


@pytest.mark.slow
@pytest.mark.check
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("num_before", [0, 2], ids=["listed", "decoding"])
def test_extractor_fails_an_asset_that_changes(tmp_path, change: Callable, num_before: int):
    """After it was listed, or after its first spans were handed out."""
    path = make.write(tmp_path / "x.wav", make.make_noise(1, SECONDS * make.HZ))
    asset = make_asset(path, Edits(), Storage().stat(str(path)).etag)
    plan = SpanPlan(2.0, Fraction(1, 10), Fraction(1, 100))
    rows = Extractor(Storage(), Layout(str(tmp_path / "out"), "flac"), plan)(asset)
    before = [next(rows) for _ in range(num_before)]
    change(path)
    *others, last = [*before, *rows]
    assert isinstance(last, Failed) and last.track == NO_TRACK
    assert last.code == ObjectChanged.code and last.code in list_passing_codes()
    assert "the next run" in last.detail and "\n" not in last.detail
    assert not any(isinstance(row, SpanRow) and row.is_last for row in others)


@pytest.mark.parametrize(
    ("rate_hz", "note"), [(44_056, "resampled from 44056 to 44100 Hz"), (44_100, "")]
)
def test_extractor_notes_that_a_track_was_resampled(tmp_path, rate_hz: int, note: str):
    path = make.write(tmp_path / "x.wav", make.make_noise(1, rate_hz), rate_hz=rate_hz)
    asset = make_asset(path, Edits(), Storage().stat(str(path)).etag)
    plan = SpanPlan(0.5, Fraction(1, 10), Fraction(1, 100))
    *_, last = Extractor(Storage(), Layout(str(tmp_path / "out"), "flac"), plan)(asset)
    assert isinstance(last, SpanRow) and last.is_last and last.repairs == note


def test_extraction_leaves_no_file_open_of_which_nothing_was_decoded(tmp_path):
    """On the disk the room of a deleted copy is free only then."""
    (tmp_path / "in").mkdir()
    make.write_picture(tmp_path / "in/film.mp4", 0.2)
    tone = make.make_tones(1, 48_000)
    make.write(tmp_path / "in/tone.wav", tone, layout="mono")
    extractor = Extractor(
        Storage(), Layout(str(tmp_path / "out"), "flac"), SpanPlan(8, Fraction(0), Fraction(1))
    )
    codes = []
    for asset in list_assets(make_config(tmp_path, "tracks=[3]")):
        codes += [row.code for row in extractor(asset) if isinstance(row, Failed)]
        held = [file.path for each in list_decoders() for file in each.open_files()]
        assert not [path for path in held if path.startswith(str(tmp_path))]
    assert codes == ["no_audio", "track_missing"]
