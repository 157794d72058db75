"""A mix back under its picture: everything else untouched, in sync, whatever the container."""

from pathlib import Path

import numpy as np
import pytest

from separator.audio.renditions import Edits, Rendition
from separator.media.decode import decode
from separator.media.encode_settings import EncodeSettings
from separator.media.mux import MuxSettings
from separator.media.probe import probe
from separator.results.paths import Layout
from separator.stages.publish import Publisher
from separator.stages.remux import Remuxer
from separator.storage import Storage
from tests.helpers import media_files as make
from tests.helpers.films import check_sync, hash_packets, make_film, picture_times
from tests.helpers.job import check_whole, run_job, write_config
from tests.helpers.stages import make_stage, run_stages

# Slow, but run by `make check`.
SLOW = pytest.mark.slow
SAME = Rendition("same", {"a": 1.0, "b": 1.0})  # the track itself, so that it can be told
LOUD = Rendition("loud", {"a": 4.0})
DISC = ["-mpegts_m2ts_mode", 1, "-ac", 2]


@pytest.fixture(scope="module")
def stage():
    return make_stage()


def remux(stage, path: Path, out: Path, how: str, *renditions, **settings) -> list[dict]:
    layout = Layout(str(out), "flac")
    renditions = renditions or (SAME,)
    publisher = Publisher(Storage(), layout, EncodeSettings(), "r", renditions)
    remuxer = Remuxer(Storage(), layout, how, MuxSettings(**settings))
    return run_stages(path, stage, publisher, Edits(renditions=renditions), remuxer=remuxer)


def read(path: Path, index: int = 0) -> np.ndarray:
    media = probe(path)
    return np.concatenate(list(decode(path, media, media.tracks[index])), axis=1)


@pytest.mark.parametrize(
    "suffix",
    [".mp4", ".mkv"]
    + [pytest.param(s, marks=(pytest.mark.slow, pytest.mark.check)) for s in (".mov", ".ts")],
)
def test_remux_keeps_the_picture_and_stays_in_sync(stage, suffix, tmp_path):
    film = make_film(tmp_path / f"film{suffix}")
    records = remux(stage, film, tmp_path / "out", "replace", SAME, LOUD)
    assert {r["status"] for r in records} == {"ok"}
    films = {r["query_name"]: r["remux_uri"] for r in records if r["kind"] == "rendition"}
    assert films == {n: f"{tmp_path}/out/stems/film{suffix}/remux/{n}{suffix}" for n in films}
    assert set(films) == {"same", "loud"} and not any(r["remux_uri"] for r in records[:2])
    before, after = probe(film), probe(Path(films["same"]))
    assert after.stream_kinds == before.stream_kinds
    about = [[(t.language, t.title, t.is_default) for t in m.tracks] for m in (before, after)]
    assert about[0] == about[1]
    streams = ["v:0", *(["s:0"] if "subtitle" in before.stream_kinds else [])]
    for stream in streams:
        assert hash_packets(Path(films["same"]), stream) == hash_packets(film, stream)
    chapters = [make.ask(p, "-show_chapters")["chapters"] for p in (film, Path(films["same"]))]
    titles = [[chapter["tags"]["title"] for chapter in found] for found in chapters]
    assert titles[0] == titles[1] and (suffix == ".ts" or len(titles[0]) == 2)
    check_sync(film, Path(films["same"]), 48 if suffix == ".mkv" else 1, first_sign=1)
    # Of the two mixes each film has its own.
    loud_CT, same_CT = (read(Path(films[name])) for name in ("loud", "same"))
    assert np.square(loud_CT).sum() > 1.5 * np.square(same_CT).sum()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("film.mp4", "as.ts"),
        ("film.mp4", "as.3gp"),
        ("film.mkv", "as.mp4"),
        ("film.mkv", "as.webm"),
    ],
)
def test_remux_goes_by_what_a_file_is(stage, name, kept, tmp_path):
    """Not by its ending: subtitles, titles and chapters would be lost, or ffmpeg would refuse."""
    film = make_film(tmp_path / name)
    wrong = film.rename(tmp_path / kept)
    *_, record = remux(stage, wrong, tmp_path / "out", "replace")
    assert record["status"] == "ok", record["error_detail"]
    remuxed = Path(record["remux_uri"])
    assert remuxed.suffix == film.suffix
    assert probe(remuxed).stream_kinds == probe(wrong).stream_kinds
    assert len(make.ask(remuxed, "-show_chapters")["chapters"]) == 2


def test_remux_of_an_avi_with_b_frames_shows_them_when_players_do(stage, tmp_path):
    picture = make.write_picture(tmp_path / "picture.mp4")
    sound = make.write(tmp_path / "sound.wav", make.make_tones(1, 2 * make.HZ), layout="mono")
    film = tmp_path / "film.avi"
    codecs = ["-c:v", "mpeg4", "-bf", 2, "-c:a", "mp2"]
    make.start("-i", picture, "-i", sound, *codecs, film)
    *_, record = remux(stage, film, tmp_path / "out", "replace")
    assert record["status"] == "ok", record["error_detail"]
    remuxed = Path(record["remux_uri"])
    assert remuxed.suffix == ".mkv"
    assert hash_packets(remuxed, "v:0") == hash_packets(film, "v:0")
    before, after = picture_times(film), picture_times(remuxed)
    np.testing.assert_allclose(after, before, atol=0.002)


@pytest.mark.parametrize("suffix", [pytest.param(".vob", marks=SLOW), ".mpg"])
def test_remux_of_a_program_stream_is_in_sync(stage, suffix, tmp_path):
    """Its B-frames have no times of their own; they are counted."""
    film = make_film(tmp_path / f"film{suffix}")
    records = remux(stage, film, tmp_path / "out", "replace")
    assert {r["status"] for r in records} == {"ok"}
    path = Path(records[-1]["remux_uri"])
    assert path == tmp_path / f"out/stems/film{suffix}/remux/same.mkv"
    assert np.ptp(np.diff(picture_times(path))) < 0.0011  # every 40 ms
    assert hash_packets(path, "v:0") == hash_packets(film, "v:0")
    check_sync(film, path, 48, first_sign=1)


@pytest.mark.slow
def test_run_remuxes_films(tmp_path):
    """As a user runs it, with the bundled model; and again, when there is nothing to do."""
    out, films = tmp_path / "out", []
    (tmp_path / "in").mkdir()
    for suffix in (".mp4", ".mkv", ".mov", ".ts"):
        film = make_film(tmp_path / f"film{suffix}")
        films.append(film.rename(tmp_path / "in" / film.name))
    config = write_config(tmp_path / "c.yaml", str(tmp_path / "in"), str(out))
    mix = "output.renditions=[{name: same, gains_db: {siren: 0}}]"
    run_job(config, mix, "output.remux=replace")
    check_whole(out)
    for film in films:
        found = out / f"stems/{film.name}/remux/same{film.suffix}"
        assert hash_packets(found, "v:0") == hash_packets(film, "v:0")
        check_sync(film, found, 48 if film.suffix == ".mkv" else 1, first_sign=1)
    assert "nothing to do" in run_job(config, mix, "output.remux=replace")


def test_remux_adds_a_track(stage, tmp_path):
    film = make_film(tmp_path / "film.mkv")
    records = remux(stage, film, tmp_path / "out", "add")
    path = Path(records[-1]["remux_uri"])
    tracks = probe(path).tracks
    assert [t.title for t in tracks][-2:] == ["same", "same"] and len(tracks) == 4
    assert [t.language for t in tracks] == ["ger", "eng", "ger", "eng"]
    for index in (0, 1):
        assert hash_packets(path, f"a:{index}") == hash_packets(film, f"a:{index}")
        np.testing.assert_allclose(read(path, index + 2), read(film, index), atol=1e-4)


@pytest.mark.parametrize(
    ("how", "titles"),
    [("add", ["Ton", "same"]), pytest.param("replace", ["Ton"], marks=SLOW)],
)
def test_remux_names_a_track_of_an_mp4(stage, how, titles, tmp_path):
    """Players show the handler's name: an mp4 has no titles of tracks."""
    named = ["-metadata:s:a:0", "handler_name=Ton"]
    film = make.write(tmp_path / "film.mp4", make.make_tones(1, 9000), *named, layout="mono")
    records = remux(stage, film, tmp_path / "out", how)
    streams = make.ask(Path(records[-1]["remux_uri"]))["streams"]
    assert [stream["tags"]["handler_name"] for stream in streams] == titles


def test_remux_keeps_the_cover_of_an_mkv(stage, tmp_path):
    covers = []
    for name in ("cover.jpg", "cover.png"):
        make.start("-f", "lavfi", "-i", "testsrc=size=64x48", "-frames:v", 1, tmp_path / name)
        covers += ["-attach", tmp_path / name]
    covers += ["-metadata:s:1", "mimetype=image/jpeg", "-metadata:s:2", "mimetype=image/png"]
    path = make.write(tmp_path / "x.mkv", make.make_tones(1, 9000), *covers, layout="mono")
    records = remux(stage, path, tmp_path / "out", "add")
    streams = make.ask(Path(records[-1]["remux_uri"]))["streams"]
    kinds = [(s["codec_name"], s["disposition"]["attached_pic"]) for s in streams]
    assert kinds == [("vorbis", 0), ("flac", 0), ("mjpeg", 1), ("png", 1)]
    assert [s["tags"]["filename"] for s in streams[2:]] == ["cover.jpg", "cover.png"]
    assert list((tmp_path / "out/stems/x.mkv/remux").iterdir()) == [Path(records[-1]["remux_uri"])]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("x.wav", "x.wav"), ("x.flac", "x.flac"), ("x.m4a", "x.m4a"), ("x.mp3", "x.mp3"),
     ("x.mka", "x.mka"), ("x.aiff", "x.mka"), ("x.opus", "x.opus"), ("x.m4b", "x.m4b")],
)  # fmt: skip
def test_remux_of_audio_alone_keeps_the_container_that_fits(stage, name, wanted, tmp_path):
    """The same container where there is one track and it can be written."""
    options = ["-f", "ipod"] if name == "x.m4b" else []
    path = make.write(tmp_path / name, make.make_tones(2, 30_000), *options)
    (record,) = [r for r in remux(stage, path, tmp_path / "out", "replace") if r["remux_uri"]]
    found = Path(record["remux_uri"])
    assert found == tmp_path / f"out/stems/{name}/remux/same{Path(wanted).suffix}"
    old_CT, new_CT = read(path), read(found)
    assert new_CT.shape == old_CT.shape
    error = np.square(new_CT - old_CT).sum() / np.square(old_CT).sum()
    assert error < (1e-2 if path.suffix in (".m4a", ".m4b", ".mp3", ".opus") else 1e-6)


@pytest.mark.parametrize("suffix", [".mp3", ".m4a", ".ogg"])
def test_remux_of_a_wav_with_another_ending_is_a_wav(stage, suffix, tmp_path):
    """Its ending would make it lossy."""
    path = make.write(tmp_path / f"x{suffix}", make.make_tones(2, 30_000), "-f", "wav")
    (record,) = [r for r in remux(stage, path, tmp_path / "out", "replace") if r["remux_uri"]]
    assert Path(record["remux_uri"]).suffix == ".wav"
    np.testing.assert_array_equal(read(Path(record["remux_uri"])), read(path))


@pytest.mark.parametrize("suffix", [".wav", ".mov"])
def test_remux_of_a_file_with_a_long_name_keeps_its_container(stage, suffix, tmp_path):
    """The path of its folder ends in a hash, not in the ending of the file."""
    path = make.write(tmp_path / f"{'n' * 210}{suffix}", make.make_tones(2, 30_000))
    (record,) = [r for r in remux(stage, path, tmp_path / "out", "replace") if r["remux_uri"]]
    found = Path(record["remux_uri"])
    assert found.suffix == suffix and found.parents[1].suffix == ""
    assert probe(found).container == probe(path).container


def test_remux_that_fails_fails_the_rendition_alone(stage, tmp_path):
    """Its stems are all right, and its mixes stay, readable and named by their records."""
    film = make_film(tmp_path / "film.mp4")
    records = remux(stage, film, tmp_path / "out", "replace", codec="pcm_s16le")
    by_kind = {kind: [r for r in records if r["kind"] == kind] for kind in ("stem", "rendition")}
    assert {r["status"] for r in by_kind["stem"]} == {"ok"} and len(by_kind["stem"]) == 4
    for record in by_kind["rendition"]:
        assert (record["status"], record["error_stage"]) == ("failed", "remux")
        assert record["error_code"] == "encoder_failed" and record["remux_uri"] == ""
        assert "\n" not in record["error_detail"]
        assert read(Path(record["stem_uri"])).shape[1] == record["num_samples"] > 0
        assert record["loudness_lufs"] is not None
    files = {str(p) for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert files == {record["stem_uri"] for record in records}


@pytest.mark.parametrize(
    ("name", "codecs", "how", "kept"),
    [
        ("xavc.mp4", ["-c:v", "copy", "-c:a", "pcm_s16be", "-f", "mov"], "add", ".mov"),
        ("old.3gp", ["-c:v", "h263", "-s", "176x144", "-c:a", "aac"], "replace", ".mov"),
        ("prores.mp4", ["-c:v", "prores", "-c:a", "aac", "-f", "mov"], "replace", ".mov"),
        ("disc.ts", [*DISC, "-c:v", "mpeg2video", "-c:a", "pcm_bluray"], "add", ".mkv"),
        ("film.webm", ["-c:v", "libvpx", "-c:a", "libopus"], "replace", ".webm"),
        ("subs.webm", ["-c:v", "libvpx", "-c:a", "libopus", "-f", "matroska"], "replace", ".mkv"),
        ("three.m4a", ["-vn", "-c:a", "aac", "-ac", 3], "replace", ".mka"),
        ("plain.m4a", ["-vn", "-c:a", "aac"], "replace", ".m4a"),
    ],
)
def test_remux_takes_a_container_that_holds_all_streams(stage, name, codecs, how, kept, tmp_path):
    (tmp_path / "x.srt").write_text("1\n00:00:00,100 --> 00:00:01,000\nhello\n")
    picture = make.write_picture(tmp_path / "picture.mp4")
    sound = make.write(tmp_path / "sound.wav", make.make_tones(1, 2 * make.HZ), layout="mono")
    subtitles = ["-i", tmp_path / "x.srt"] if name == "subs.webm" else []
    film = tmp_path / name
    make.start("-i", picture, "-i", sound, *subtitles, *codecs, film)
    *_, record = remux(stage, film, tmp_path / "out", how)
    assert record["status"] == "ok", record["error_detail"]
    assert Path(record["remux_uri"]).suffix == kept
    assert len(probe(Path(record["remux_uri"])).tracks) == (2 if how == "add" else 1)


def test_remux_of_an_m4a_with_another_codec_is_matroska(stage, tmp_path):
    sound = make.make_tones(1, 2 * make.HZ)
    film = make.write(tmp_path / "a.m4a", sound, "-c:a", "alac", layout="mono")
    *_, record = remux(stage, film, tmp_path / "out", "replace", codec="alac")
    assert record["status"] == "ok", record["error_detail"]
    (track,) = probe(Path(record["remux_uri"])).tracks
    assert record["remux_uri"].endswith(".mka") and track.codec == "alac"
