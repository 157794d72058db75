"""Tracks of many channels: what no stem can hold is refused before it is separated."""

from pathlib import Path

from separator.audio.renditions import Edits
from separator.media.encode_settings import EncodeSettings
from separator.results.paths import Layout
from separator.stages.publish import Publisher
from separator.storage import Storage
from tests.helpers import media_files as make
from tests.helpers.stages import make_stage, run_stages


def make_records(path: Path, form: str) -> list[dict]:
    layout = Layout(str(path.parent / "out"), form)
    publisher = Publisher(Storage(), layout, EncodeSettings(form, 16), "r")
    return run_stages(path, make_stage(), publisher, Edits())


def test_sixteen_channels_into_flac_fail_before_they_are_separated(tmp_path: Path) -> None:
    path = make.write(tmp_path / "x.wav", make.make_tones(16, 9000))
    records = make_records(path, "flac")
    found = {(r["status"], r["error_code"], r["error_stage"]) for r in records}
    assert found == {("failed", "layout_unsupported", "extract")}
    assert "16 channels" in records[0]["error_detail"] and "wav" in records[0]["error_detail"]


def test_opus_of_sixty_four_channels_becomes_stems_of_as_many(tmp_path: Path) -> None:
    many = ("-c:a", "libopus", "-mapping_family", 255)
    path = make.write(tmp_path / "x.opus", make.make_tones(64, 9600), *many)
    records = make_records(path, "wav")
    assert {(r["status"], r["num_channels"], r["num_samples"]) for r in records} == {
        ("ok", 64, 9600)
    }
