"""Test that no file or name makes ffmpeg open another file."""

import os
import shutil
from pathlib import Path

import pytest

from separator.audio.format import AudioFormat
from separator.errors import MediaError, MediaUnreadable
from separator.media.decode import decode
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings
from separator.media.probe import Media, Track, probe
from tests.helpers import media_files as make

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{target}\n#EXT-X-ENDLIST\n"
DASH = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S"
 profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="audio/mp4">
<Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL></Representation>
</AdaptationSet></Period></MPD>
"""
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
PLAYLISTS = {
    "m3u8": HLS,
    "m3u8 over http": HLS.replace("{target}", "http://127.0.0.1:9/x.ts"),
    "ffconcat": "ffconcat version 1.0\nfile {target}\n",
    "dash": DASH,
    "sdp": SDP,
    "asx": '<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
    "m3u": "#EXTM3U\n#EXTINF:3,\n{target}\n",
    "pls": "[playlist]\nFile1={target}\n",
}


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secret") / "secret.ts"
    return make.write(path, make.make_tones(1, 48_000), "-c:a", "mp2", layout="mono")


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize(
    "name",
    ["film.mp4", pytest.param("film.m3u8", marks=(pytest.mark.slow, pytest.mark.check))],
)
def test_probe_refuses_disguised_playlists(
    kind: str, name: str, secret: Path, tmp_path: Path
) -> None:
    shutil.copy(secret, tmp_path / "secret.ts")
    (tmp_path / name).write_text(PLAYLISTS[kind].replace("{target}", "secret.ts"))
    with pytest.raises(MediaError) as caught:
        probe(tmp_path / name)
    assert caught.value.code == "media_unreadable"


def test_plain_ffprobe_follows_the_playlist(secret: Path, tmp_path: Path) -> None:
    """Without our options ffprobe reads the other file, so the test above can fail."""
    shutil.copy(secret, tmp_path / "secret.ts")
    (tmp_path / "film.mp4").write_text(PLAYLISTS["ffconcat"].replace("{target}", "secret.ts"))
    assert make.ask(tmp_path / "film.mp4")["streams"][0]["codec_name"] == "mp2"


def test_decode_refuses_playlist_swapped_in_after_probe(secret: Path, tmp_path: Path) -> None:
    """A file may be replaced after it was probed."""
    path = tmp_path / "film.mp4"
    shutil.copy(secret, path)
    media = probe(path)
    shutil.copy(secret, tmp_path / "secret.ts")
    path.write_text(PLAYLISTS["ffconcat"].replace("{target}", "secret.ts"))
    with pytest.raises(MediaUnreadable, match="is concat, which is not opened"):
        list(decode(path, media, media.tracks[0]))


def test_decode_does_not_follow_external_mov_reference(tmp_path: Path) -> None:
    """A data reference of a mov may name another file, which must not be read."""
    signal_CT = make.make_tones(1, 48_000)
    path = make.write(tmp_path / "x.mov", signal_CT, "-c:a", "pcm_s16le", layout="mono")
    data = path.read_bytes()
    at = data.find(b"url \x00\x00\x00\x01")
    assert at > 0
    # Without this flag ("in this file") the reference is to another file.
    path.write_bytes(data[: at + 7] + b"\x00" + data[at + 8 :])
    try:
        decoded_CT, _ = make.read(path)
    except MediaError:
        return
    assert decoded_CT.shape[1] == 48_000  # its own bytes at most


STRANGE = [
    "a b.wav", "ü 日本.wav", "new\nline.wav", "q'uo\"te.wav", "-i.wav", "-y", "%03d.wav",
    "concat:a.wav", "concat:a|b", "pipe:0", "pipe:", "file:x", "http:", "a|b.wav",
    "back\\slash.wav", "*?.wav", "-", os.fsdecode(b"\xff\xfe.wav"), "data:,x", "$(touch x)",
    "x#t=1.wav?y", "subfile,,start,0,end,0,,:x", "path:input", "pipe:side",
]  # fmt: skip


def test_strange_names_open_only_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make.write(tmp_path / "plain.wav", make.make_noise(1, 500, 16), layout="mono")
    folder = tmp_path / "names"
    folder.mkdir()
    monkeypatch.chdir(folder)
    decoded_CT = make.make_noise(1, 500, 16)
    for number, name in enumerate(STRANGE):
        shutil.copy(plain, folder / name)
        assert probe(Path(name)).tracks[0].duration_s == pytest.approx(500 / 48_000, abs=1e-5), name
        if number % 4 == 0:  # decoding and probing share the way a name becomes an address
            assert make.read(Path(name))[0].shape == (1, 500), name
    outputs = [Path(f"{name}.flac") for name in STRANGE[4:9:2]]
    for output in outputs:
        settings = EncodeSettings("flac", 16)
        encode([decoded_CT], output, AudioFormat(48_000, 1), settings=settings)
        assert output.is_file(), output
    assert len(list(folder.iterdir())) == len(STRANGE) + len(outputs)


def test_error_shows_strange_name_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "two\nlines.mp4"
    path.write_bytes(b"x" * 1000)
    with pytest.raises(MediaUnreadable) as caught:
        probe(path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_ffmpeg_gets_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = tmp_path / "report.log"
    monkeypatch.setenv("FFREPORT", f"file={report}:level=48")
    path = make.write(tmp_path / "x.wav", make.make_noise(1, 500, 16), layout="mono")
    assert report.exists()
    report.unlink()
    make.read(path)
    assert not report.exists()


def test_decode_of_absent_stream_is_unreadable(tmp_path: Path) -> None:
    path = make.write(tmp_path / "x.wav", make.make_noise(1, 500, 16), layout="mono")
    media = probe(path)
    assert isinstance(media, Media) and isinstance(media.tracks[0], Track)
    with pytest.raises(MediaUnreadable):
        other = Track(**{**vars(media.tracks[0]), "stream_index": 7})
        list(decode(path, media, other))
