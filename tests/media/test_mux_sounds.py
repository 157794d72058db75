"""Test that copies of files are of the same kind: tags, covers, sample formats, order of boxes."""

from pathlib import Path

import numpy as np
import pytest

from separator.media.mux import NewTrack, put_tracks
from separator.media.muxer_options import has_index_first
from separator.media.probe import probe
from tests.helpers import media_files as make

TAGS = ["-metadata", "title=Episode 1", "-metadata", "artist=Ä"]
CHAPTERS = """;FFMETADATA1
[CHAPTER]
TIMEBASE=1/1000
START=0
END=200
title=One
"""


def replace_sound(source: Path, mix: Path) -> Path:
    media, output = probe(source), source.parent / f"out{source.suffix}"
    put_tracks(source, media, [NewTrack(mix, replaces=media.tracks[0])], output)
    return output


def write_mix(folder: Path, sound_CT: np.ndarray) -> Path:
    return make.write(folder / "mix.flac", sound_CT, "-sample_fmt", "s32")


def write_noise(folder: Path, num_channels: int = 2) -> tuple[Path, np.ndarray]:
    """Write 24-bit noise; return the file, and its samples in steps of 24 bits."""
    rng = np.random.default_rng(7)
    steps_CT = rng.integers(-(2**22), 2**22, (num_channels, make.HZ // 10)).astype(np.int32)
    return write_mix(folder, steps_CT / np.float32(2**23)), steps_CT


@pytest.mark.parametrize(
    ("suffix", "has_chapters", "has_cover"),
    [
        ("m4a", True, True),
        ("m4b", True, True),
        ("mp3", True, True),
        ("flac", False, True),
        ("ogg", False, False),
        ("opus", True, False),
    ],
)
def test_put_tracks_keeps_tags_cover_and_chapters_of_sound_alone(
    suffix: str, has_chapters: bool, has_cover: bool, tmp_path: Path
) -> None:
    (tmp_path / "chapters.txt").write_text(CHAPTERS)
    make.start("-f", "lavfi", "-i", "testsrc=size=64x48", "-frames:v", 1, tmp_path / "cover.jpg")
    sound = make.write(tmp_path / "sound.wav", make.make_tones(2, 30_000))
    cover = ["-map", 2, "-c:v", "copy", "-disposition:v", "attached_pic"] if has_cover else []
    forms = {"m4b": ["-f", "ipod"]}.get(suffix, [])
    source = tmp_path / f"x.{suffix}"
    inputs = ["-i", sound, "-i", tmp_path / "chapters.txt", "-i", tmp_path / "cover.jpg"]
    make.start(*inputs, "-map", 0, *cover, "-map_chapters", 1, *TAGS, *forms, source)
    output = replace_sound(source, write_mix(tmp_path, make.make_tones(2, 30_000)))
    found = make.ask(output, "-show_chapters", "-show_format", "-show_streams")
    of_format = found["format"].get("tags", {})
    tags = {k.lower(): v for k, v in (of_format | found["streams"][0].get("tags", {})).items()}
    assert (tags["title"], tags["artist"]) == ("Episode 1", "Ä")
    assert [c["tags"]["title"] for c in found["chapters"]] == ["One"] * has_chapters
    covers = [s for s in found["streams"] if s["disposition"]["attached_pic"]]
    assert [each["codec_name"] for each in covers] == ["mjpeg"] * has_cover
    assert make.read(output)[0].shape == (2, 30_000)


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.mov"])
def test_put_tracks_rounds_to_16_bits(name: str, tmp_path: Path) -> None:
    """ffmpeg's own conversion cuts bits off, which moves the whole track by half a step."""
    codec = "flac" if name == "x.flac" else "pcm_s16le"
    format_options = ["-c:a", codec, "-sample_fmt", "s16"]
    source = make.write(tmp_path / name, make.make_tones(2, 4800), *format_options)
    assert probe(source).tracks[0].bit_depth == 16
    mix, steps_CT = write_noise(tmp_path)
    output = replace_sound(source, mix)
    assert probe(output).tracks[0].bit_depth == 16
    written_CT = make.read(output)[0] * 2**15
    np.testing.assert_array_equal(written_CT, np.rint(steps_CT / 2**8))


def make_id3(picture: bytes, kind: str) -> bytes:
    """Make a tag of an mp3 that holds a cover."""
    body = b"\0image/" + kind.encode() + b"\0\3\0" + picture
    frame = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    sizes = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + sizes + frame


@pytest.mark.parametrize(
    ("cover", "kind"),
    [(b"\xff\xd8\xff\xe0" + bytes(500), "jpeg"), (b"RIFF\0\1\0\0WEBPVP8 " + bytes(500), "webp")],
)
def test_put_tracks_leaves_out_a_cover_that_cannot_be_written(
    cover: bytes, kind: str, tmp_path: Path
) -> None:
    sound_CT = make.make_tones(2, 4800)
    plain = make.write(tmp_path / "plain.mp3", sound_CT, "-id3v2_version", "0")
    source = tmp_path / "x.mp3"
    source.write_bytes(make_id3(cover, kind) + plain.read_bytes())
    assert "picture" in probe(source).stream_kinds
    output = replace_sound(source, write_mix(tmp_path, sound_CT))
    assert probe(output).stream_kinds == ("audio",)
    assert make.read(output)[0].shape == sound_CT.shape


@pytest.mark.parametrize("kind", ["gif", "bmp", "webp"])
def test_put_tracks_makes_any_cover_an_attachment_of_matroska(kind: str, tmp_path: Path) -> None:
    """Copied as a stream, it would be a picture track; ffmpeg 5 does not see webp in mp3."""
    cover, sound_CT = tmp_path / f"cover.{kind}", make.make_tones(2, 4800)
    make.start("-f", "lavfi", "-i", "testsrc=size=64x48", "-frames:v", 1, cover)
    plain = make.write(tmp_path / "plain.mp3", sound_CT, "-id3v2_version", "0")
    source, output = tmp_path / "x.mp3", tmp_path / "out.mka"
    source.write_bytes(make_id3(cover.read_bytes(), kind) + plain.read_bytes())
    assert "picture" in probe(source).stream_kinds
    put_tracks(source, probe(source), [NewTrack(write_mix(tmp_path, sound_CT))], output)
    kinds = probe(output).stream_kinds
    assert kinds.count("audio") == 2 and "video" not in kinds
    assert kind == "webp" or cover.read_bytes() in output.read_bytes()


@pytest.mark.parametrize("suffix", ["opus", "flac", "mp3"])
def test_put_tracks_keeps_the_times_of_chapters(suffix: str, tmp_path: Path) -> None:
    """ffmpeg 5 moves those of ogg by a second, and writes none into flac."""
    sound_CT = make.make_tones(2, 2 * make.HZ)
    sound = make.write(tmp_path / "sound.wav", sound_CT)
    starts_ms = [700, 1600]
    heads = [
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={at}\nEND={at + 100}\ntitle=C{at}\n" for at in starts_ms
    ]
    (tmp_path / "x.txt").write_text(";FFMETADATA1\n" + "".join(heads))
    option = "-metadata:s:a" if suffix == "opus" else "-metadata"
    tags = [
        tag
        for i, at in enumerate(starts_ms)
        for tag in (f"CHAPTER00{i}=00:00:0{at / 1000:.3f}", f"CHAPTER00{i}NAME=C{at}")
    ]
    chapters = [word for tag in tags for word in (option, tag)]
    given = ["-map_chapters", 1] if suffix == "mp3" else ["-map_chapters", -1, *chapters]
    source = tmp_path / f"x.{suffix}"
    make.start("-i", sound, "-i", tmp_path / "x.txt", *given, *TAGS, source)
    output = replace_sound(source, write_mix(tmp_path, sound_CT))
    for path in (source, output):
        found = make.ask(path, "-show_chapters")["chapters"]
        assert [round(1000 * float(each["start_time"])) for each in found] == starts_ms
        assert [each["tags"]["title"] for each in found] == ["C700", "C1600"]


@pytest.mark.parametrize("depth", [16, 24])
@pytest.mark.parametrize("suffix", ["ogg", "oga"])
def test_put_tracks_keeps_flac_in_ogg(suffix: str, depth: int, tmp_path: Path) -> None:
    sample_format = "s16" if depth == 16 else "s32"
    options = ["-c:a", "flac", "-sample_fmt", sample_format, "-f", "ogg"]
    source = make.write(tmp_path / f"x.{suffix}", make.make_tones(2, 4800), *options)
    mix, steps_CT = write_noise(tmp_path)
    output = replace_sound(source, mix)
    (track,) = probe(output).tracks
    assert (track.codec, track.bit_depth) == ("flac", depth)
    wanted_CT = np.rint(steps_CT / 2 ** (24 - depth))
    np.testing.assert_array_equal(make.read(output)[0] * 2 ** (depth - 1), wanted_CT)


@pytest.mark.parametrize("num_channels", [3, 4, 8])
def test_put_tracks_gives_channels_without_names_no_names(
    num_channels: int, tmp_path: Path
) -> None:
    """A wav of ambisonics has no layout; with one, programs would mix its channels."""
    sound_CT = make.make_tones(num_channels, 4800)
    unnamed = "-guess_layout_max", 0
    source = make.write(tmp_path / "x.wav", sound_CT, "-c:a", "pcm_s24le", before=unnamed)
    assert probe(source).tracks[0].layout is None
    mix, steps_CT = write_noise(tmp_path, num_channels)
    assert probe(mix).tracks[0].layout is not None
    output = replace_sound(source, mix)
    assert probe(output).tracks[0].layout is None
    np.testing.assert_array_equal(make.read(output)[0] * 2**23, steps_CT)


def test_put_tracks_writes_24_bits_and_16_channels_of_wav_unchanged(tmp_path: Path) -> None:
    sound_CT = make.make_tones(16, 4800)
    codec = ["-c:a", "pcm_s24le"]
    source = make.write(tmp_path / "x.wav", sound_CT, *codec)
    mix = make.write(tmp_path / "mix.wav", sound_CT[::-1], *codec)
    output = replace_sound(source, mix)
    assert probe(output).tracks[0].codec == "pcm_s24le"
    np.testing.assert_array_equal(make.read(output)[0], make.read(mix)[0])


@pytest.mark.parametrize("time_reference", ["96000000", None])
def test_put_tracks_keeps_the_time_reference_of_a_broadcast_wav(
    time_reference: str | None, tmp_path: Path
) -> None:
    mix, _ = write_noise(tmp_path)
    options = ["-write_bext", 1, "-metadata", f"time_reference={time_reference}"]
    given = options if time_reference else []
    source = make.write(tmp_path / "x.wav", make.make_tones(2, 4800), *given)
    output = replace_sound(source, mix)
    tags = make.ask(output, "-show_format")["format"].get("tags", {})
    assert tags.get("time_reference") == time_reference
    assert (b"bext" in output.read_bytes()) == (time_reference is not None)


@pytest.mark.parametrize("is_first", [True, False])
def test_put_tracks_keeps_an_index_at_the_beginning(is_first: bool, tmp_path: Path) -> None:
    """Players on the web start an mp4 at once only if its index comes first."""
    picture = make.write_picture(tmp_path / "picture.mp4", 0.2)
    mix, _ = write_noise(tmp_path)
    flags = ["-movflags", "+faststart"] if is_first else []
    source = tmp_path / "x.mp4"
    make.start("-i", picture, "-i", mix, "-c:v", "copy", "-c:a", "aac", *flags, source)
    data = replace_sound(source, mix).read_bytes()
    assert (data.index(b"moov") < data.index(b"mdat")) == is_first


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\1free",
        b"\0\0\0\1free" + b"\xff" * 8,
        b"\0\0\0\0free" * 9,
        b"\0\0\0\x08free" * 9999,
    ],
)
def test_has_index_first_ends_on_boxes_that_lead_nowhere(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(data)
    assert not has_index_first(tmp_path / "x.mp4")
