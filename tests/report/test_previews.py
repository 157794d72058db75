"""Previews: sounds of one length that ffmpeg reads, whatever is missing is said."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separator.media.decode import decode
from separator.media.probe import probe
from separator.report.previews import AssetWork, PreviewMaker, name_preview, subtract
from separator.storage import Storage
from tests.helpers.report_library import RATE_HZ, make_tone, read_script, write_asset


def make(root: Path, records: list[dict], **changes) -> tuple[dict, Path]:
    folder = root / "previews"
    work = AssetWork(records[0]["asset_uri"], records[0]["asset_etag"], records, "one")
    maker = PreviewMaker(Storage(), str(folder))
    return maker(work), folder


def read_sound(path: Path) -> np.ndarray:
    media = probe(path)
    return np.concatenate(list(decode(path, media, media.tracks[0])), axis=1)


@pytest.fixture(scope="module")
def long_asset(tmp_path_factory) -> tuple[list[dict], dict, Path]:
    """A track of 50 s whose sounds are in its middle."""
    root = tmp_path_factory.mktemp("previews")
    records = write_asset(root, "long.wav", 50.0, ["siren", "rain"])
    found, folder = make(root, records)
    return records, found, folder


def test_preview_maker_cuts_mixture_stem_and_residual_of_one_length(long_asset):
    records, found, folder = long_asset
    assert set(found.values()) == {""}
    preview = read_script(folder / "one" / f"{name_preview(records[0])}.js")
    assert preview["duration_s"] == 50 and preview["trouble"] == ""
    start_s, stop_s = preview["window"]
    assert start_s < 24 and stop_s > 26 and stop_s - start_s == pytest.approx(10)
    sounds = {lane["kind"]: read_sound(folder / lane["audio"]) for lane in preview["lanes"]}
    assert list(sounds) == ["mixture", "stem", "residual"]
    lengths = {sound.shape[1] for sound in sounds.values()}
    assert max(lengths) - min(lengths) <= 1 and abs(max(lengths) / RATE_HZ - 10) < 0.1
    middle = slice(round((24.5 - start_s) * RATE_HZ), round((25.5 - start_s) * RATE_HZ))
    tone_T = make_tone(50.0, 400.0, 24, 26)[round(24.5 * RATE_HZ) : round(25.5 * RATE_HZ)]
    # The stem is the tone of its query; aac keeps a sine to well below a tenth of it.
    assert np.abs(sounds["stem"][0, middle] - tone_T).max() < 0.03
    rest_T = sounds["mixture"][0, middle] - sounds["stem"][0, middle]
    assert np.abs(sounds["residual"][0, middle] - rest_T).max() < 0.06


def test_preview_maker_draws_lanes_and_the_whole_track(long_asset):
    records, _, folder = long_asset
    preview = read_script(folder / "one" / f"{name_preview(records[1])}.js")
    for lane in preview["lanes"]:
        assert (folder / lane["picture"]).read_bytes().startswith(b"\x89PNG")
        assert len(lane["peaks"]) == 600 and max(lane["peaks"]) > 20
    loud = [number for number, peak in enumerate(preview["track"]) if peak > 10]
    assert len(preview["track"]) <= 500 and loud
    share = np.mean(loud) / len(preview["track"])
    assert share == pytest.approx(0.5, abs=0.02)


def test_preview_maker_shares_the_mixture_of_stems_with_one_window(long_asset):
    records, _, folder = long_asset
    previews = [read_script(folder / "one" / f"{name_preview(row)}.js") for row in records]
    assert len({preview["lanes"][0]["audio"] for preview in previews}) == 1
    assert len(list((folder / "one").glob("*.m4a"))) == 5


def test_preview_maker_follows_the_presence(tmp_path):
    records = write_asset(tmp_path, "long.wav", 50.0, ["siren"])
    records[0]["presence"] = [{"start_s": 40.0, "stop_s": 41.0, "score": 0.9}]
    _, folder = make(tmp_path, records)
    start_s, stop_s = read_script(folder / "one" / f"{name_preview(records[0])}.js")["window"]
    assert start_s < 40 and stop_s > 41


def test_preview_maker_shows_the_stem_alone_where_the_asset_is_gone_or_changed(tmp_path):
    records = write_asset(tmp_path, "a.wav", 1.0, ["siren"])
    asset = Path(records[0]["asset_uri"])
    asset.write_bytes(asset.read_bytes() + b"x")
    found, folder = make(tmp_path, records)
    preview = read_script(folder / "one" / f"{name_preview(records[0])}.js")
    assert set(found.values()) == {""} and "has changed since" in preview["trouble"]
    assert [lane["kind"] for lane in preview["lanes"]] == ["stem"]
    asset.unlink()
    make(tmp_path, records)
    preview = read_script(folder / "one" / f"{name_preview(records[0])}.js")
    assert preview["trouble"].startswith("object_missing")


def test_preview_maker_says_why_a_stem_has_no_preview(tmp_path):
    records = write_asset(tmp_path, "a.wav", 1.0, ["siren", "rain"])
    Path(records[0]["stem_uri"]).unlink()
    found, folder = make(tmp_path, records)
    assert found[name_preview(records[0])].startswith("object_missing")
    assert found[name_preview(records[1])] == ""
    assert not (folder / "one" / f"{name_preview(records[0])}.js").exists()


def test_name_preview_changes_with_the_presence_only():
    row = {"fingerprint": "f", "presence": None, "loudness_lufs": -20.0}
    other = row | {"presence": [{"start_s": 1.0, "stop_s": 2.0, "score": 0.5}]}
    assert name_preview(row) == name_preview(row | {"loudness_lufs": -3.0})
    assert name_preview(row) != name_preview(other)


def test_subtract_takes_a_stem_of_one_channel_out_of_the_mean():
    from separator.report.previews import Excerpt

    mixture = Excerpt(np.array([[0.5, 0.5], [0.1, 0.3]], np.float32), 8_000)
    left = subtract(mixture, Excerpt(np.array([[0.1, 0.1]], np.float32), 8_000))
    np.testing.assert_allclose(left.samples, [[0.2, 0.3]], atol=1e-7)


def test_preview_maker_takes_the_gain_of_a_scaled_stem_back_for_the_residual(tmp_path):
    (record,) = write_asset(tmp_path, "a.wav", 3.0, ["siren"])
    whole_T, rate_hz = soundfile.read(record["stem_uri"])
    soundfile.write(record["stem_uri"], whole_T / 2, rate_hz)  # as with output.clip=scale
    _, folder = make(tmp_path, [record | {"gain_db": 20 * np.log10(0.5)}])
    preview = read_script(folder / "one" / f"{name_preview(record)}.js")
    peaks = {
        lane["kind"]: np.abs(read_sound(folder / lane["audio"])).max() for lane in preview["lanes"]
    }
    assert peaks["mixture"] == pytest.approx(0.3, abs=0.03)
    assert peaks["stem"] == pytest.approx(0.15, abs=0.02) and peaks["residual"] < 0.001


def test_scripts_hold_ascii_only_and_no_end_of_a_script(tmp_path):
    from separator.report.previews import pack_script

    data = pack_script("data", "x", {"name": "\u2028 </script> \U0001f438"})
    assert data.isascii() and json.loads(data[data.index(b"{") : -3])["name"][2:11] == "</script>"
