"""Masters of mono streams: one track with its layout, and the mix back in the right streams."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from separator.audio.renditions import Edits, Rendition
from separator.media.encode_settings import EncodeSettings
from separator.media.mux import MuxSettings
from separator.media.probe import probe
from separator.report.previews import AssetCutter
from separator.results.paths import Layout
from separator.stages.publish import Publisher
from separator.stages.remux import Remuxer
from separator.storage import Storage
from tests.helpers import media_files as make
from tests.helpers.films import hash_packets
from tests.helpers.job import check_whole, run_job, write_config
from tests.helpers.masters import TIMECODE, make_master, make_sounds
from tests.helpers.stages import make_stage, run_stages

CHECKED = (pytest.mark.slow, pytest.mark.check)
MIX = Rendition("mix", {"a": 0.25}, rest=0.5)


@pytest.fixture(scope="module")
def stage():
    return make_stage()


def run(stage, path: Path, how: str = "replace", group: str = "auto") -> list[dict]:
    """Run the stages with a residual and a mix, in two spans; records by name."""
    layout = Layout(str(path.parent / "out"), "flac")
    publisher = Publisher(Storage(), layout, EncodeSettings(), "r", (MIX,))
    remuxer = Remuxer(Storage(), layout, how, MuxSettings())
    edits = Edits("per_query", 24, (MIX,))
    records = run_stages(path, stage, publisher, edits, 1.3, remuxer, group)
    assert {record["status"] for record in records} == {"ok"}, records
    return records


def read_file(uri: str) -> np.ndarray:
    """Read a stem with libsndfile, the referee: integers of 24 bits (C, T)."""
    samples_TC, rate_hz = soundfile.read(uri, dtype="int32", always_2d=True)
    assert rate_hz == make.HZ
    return samples_TC.T >> 8


def read_stream(path: Path, number: int) -> np.ndarray:
    """Decode an audio stream with the program ffmpeg, the referee: integers of 24 bits (T,)."""
    data = make.start("-i", path, "-map", f"0:a:{number}", "-f", "s32le", "-")
    return np.frombuffer(data, "<i4") >> 8


def measure_spectrum(samples_T: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.rfft(samples_T[make.HZ // 2 : make.HZ] * np.hanning(make.HZ // 2)))


def check_stems(records: list[dict], wanted_CT: np.ndarray) -> None:
    """Check that stem + residual is the joined track, channel by channel."""
    for record in records[:2]:
        sum_CT = read_file(record["stem_uri"]) + read_file(record["residual_uri"])
        np.testing.assert_array_equal(sum_CT, wanted_CT)
        assert record["num_channels"] == len(wanted_CT)


def check_streams(before: Path, after: Path, mix_CT: np.ndarray, streams: list[int]) -> None:
    """Check that the mix lies in the streams it was made of, and that all else is as it was."""
    one, other = probe(before), probe(after)
    assert other.stream_kinds == one.stream_kinds
    assert one.timecode == other.timecode == TIMECODE
    assert hash_packets(after, "v:0") == hash_packets(before, "v:0")
    for number, (old, new) in enumerate(zip(one.tracks, other.tracks, strict=True)):
        assert (new.codec, new.num_channels, new.layout) == (old.codec, 1, old.layout)
        assert (new.language, new.title) == (old.language, old.title)
        if number in streams:
            wanted_T = mix_CT[streams.index(number)]
            np.testing.assert_array_equal(read_stream(after, number), wanted_T)
            assert (wanted_T != read_stream(before, number)).mean() > 0.9
        else:
            assert hash_packets(after, f"a:{number}") == hash_packets(before, f"a:{number}")


def test_eight_mono_mxf_gives_six_channels_and_takes_the_mix_back(stage, tmp_path):
    signal_CT = make_sounds(8, silent=[4, 7])
    path = make_master(tmp_path / "film.mxf", signal_CT)
    records = run(stage, path)
    assert [record["query_name"] for record in records] == ["a", "b", "mix"]
    streams = [0, 1, 2, 3, 5, 6]
    for record in records:
        assert (record["track_index"], record["track_streams"]) == (0, streams)
        assert record["decode_warnings"] == "silent streams left out: 4, 7"
        assert record["timecode"] == TIMECODE
    check_stems(records, np.rint(signal_CT[streams] * 2.0**23).astype(np.int32))
    layout = make.ask(Path(records[0]["stem_uri"]))["streams"][0]["channel_layout"]
    assert layout == "5.1"
    film = Path(records[-1]["remux_uri"])
    assert film.suffix == ".mxf"
    check_streams(path, film, read_file(records[-1]["stem_uri"]), streams)


@pytest.mark.parametrize("codec", [pytest.param("pcm_s24le", marks=CHECKED), "pcm_s24be"])
def test_tagged_mov_gives_its_layout_and_takes_the_mix_back(stage, codec, tmp_path):
    """Its channels lie in another order than in a stem, and the mix goes back in that of the file.
    Codec and names of channels stay as they were."""
    signal_CT = make_sounds(4)
    names = ["LFE", "FC", "FR", "FL"]
    path = make_master(tmp_path / "film.mov", signal_CT, names=names, codec=codec)
    records = run(stage, path)
    assert [record["track_streams"] for record in records] == [[3, 2, 1, 0]] * 3
    check_stems(records, np.rint(signal_CT[::-1] * 2.0**23).astype(np.int32))
    film = Path(records[-1]["remux_uri"])
    assert film.suffix == ".mov"
    check_streams(path, film, read_file(records[-1]["stem_uri"]), [3, 2, 1, 0])


@pytest.mark.slow
@pytest.mark.check
def test_dual_mono_ts_gives_stereo_and_takes_the_mix_back(stage, tmp_path):
    """Lossy: the spectrum of each stream is close to that of its channel, far from the other's."""
    path = make_master(tmp_path / "film.ts", make.make_tones(2, 2 * make.HZ), codec="mp2")
    records = run(stage, path)
    assert [record["num_channels"] for record in records] == [2, 2, 2]
    film = Path(records[-1]["remux_uri"])
    after = probe(film)
    assert [(t.codec, t.num_channels) for t in after.tracks] == [("aac", 1), ("aac", 1)]
    mix_CT = read_file(records[-1]["stem_uri"])
    for channel in (0, 1):
        found_CT, _ = make.read(film, channel)
        found_F = measure_spectrum(found_CT[0] * 2.0**23)
        near, far = (
            np.abs(found_F - measure_spectrum(mix_CT[at])).mean() for at in (channel, 1 - channel)
        )
        assert near < 0.1 * far


@pytest.mark.slow
@pytest.mark.check
def test_streams_stay_tracks_of_their_own_without_grouping(stage, tmp_path):
    path = make_master(tmp_path / "film.mxf", make_sounds(2, silent=[1]))
    records = run(stage, path, group="off")
    assert [r["track_index"] for r in records] == [0, 0, 0, 1, 1, 1]
    assert {r["track_streams"] for r in records} == {None}
    mixes_CT = np.concatenate([read_file(r["stem_uri"]) for r in records if r["remux_uri"]])
    check_streams(path, Path(records[-1]["remux_uri"]), mixes_CT[:1], [0])


@pytest.mark.slow
@pytest.mark.check
def test_a_mix_is_added_as_one_track(stage, tmp_path):
    path = make_master(tmp_path / "film.mxf", make_sounds(2))
    records = run(stage, path, "add")
    film = Path(records[-1]["remux_uri"])
    assert [track.num_channels for track in probe(film).tracks] == [1, 1, 2]
    added = np.frombuffer(make.start("-i", film, "-map", "0:a:2", "-f", "s32le", "-"), "<i4") >> 8
    np.testing.assert_array_equal(added.reshape(-1, 2).T, read_file(records[-1]["stem_uri"]))


@pytest.mark.parametrize(
    ("kind", "suffix"), [("mov", ".mov"), pytest.param("aiff", ".mka", marks=CHECKED)]
)
def test_mxf_that_ffmpeg_cannot_write_becomes_mov_or_matroska(stage, kind, suffix, tmp_path):
    """Files of another kind stand for such an MXF: ffmpeg makes none that it cannot write again."""
    if kind == "mov":
        made = make_master(tmp_path / "a.mov", make_sounds(2), codec="pcm_s24be")
    else:
        made = make.write(tmp_path / "a.aiff", make_sounds(1), "-c:a", "pcm_s24be")
    path = made.rename(tmp_path / "film.mxf")
    records = run(stage, path)
    film = Path(records[-1]["remux_uri"])
    assert film.suffix == suffix
    mix_CT = read_file(records[-1]["stem_uri"])
    for channel, wanted_T in enumerate(mix_CT):
        np.testing.assert_array_equal(read_stream(film, channel), wanted_T)
    assert probe(film).timecode == probe(path).timecode


@pytest.mark.slow
def test_run_joins_the_streams_of_a_master(tmp_path):
    """As a user runs it, with the bundled model; and again, when there is nothing to do."""
    (tmp_path / "in").mkdir()
    path = make_master(tmp_path / "in/film.mxf", make_sounds(3, silent=[2]))
    out = tmp_path / "out"
    config = write_config(tmp_path / "c.yaml", str(tmp_path / "in"), str(out))
    mix = "output.renditions=[{name: mix, gains_db: {siren: -6}, rest_db: -6}]"
    settings = ("input.group=auto", mix, "output.remux=replace")
    run_job(config, *settings)
    manifest = check_whole(out)
    assert [list(streams) for streams in manifest.track_streams] == [[0, 1]] * 3
    assert set(manifest.decode_warnings) == {"silent streams left out: 2"}
    (row,) = manifest[manifest.kind == "rendition"].to_dict("records")
    check_streams(path, Path(row["remux_uri"]), read_file(row["stem_uri"]), [0, 1])
    assert "nothing to do" in run_job(config, *settings)


def test_previews_hear_the_joined_track_of_a_record(tmp_path):
    signal_CT = make_sounds(3, silent=[0])
    path = make_master(tmp_path / "film.mxf", signal_CT)
    source = AssetCutter(path, probe(path))
    sound = source.cut(0, [1, 2], (0.5, 1.0))
    assert sound is not None
    np.testing.assert_array_equal(sound.samples, signal_CT[1:, make.HZ // 2 : make.HZ])
    alone = source.cut(0, (), (0.5, 1.0))
    assert alone is not None and alone.samples.shape[0] == 1 and not alone.samples.any()
