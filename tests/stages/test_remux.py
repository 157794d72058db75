"""Test that the container of a copy holds the subtitles of its asset."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from separator.media.mux import NewTrack, put_tracks
from separator.media.probe import probe
from separator.stages.remux import choose_suffix
from tests.helpers import media_files as make

CAPTIONS = "Scenarist_SCC V1.0\n\n00:00:00:10\t94ae 94ae 9420 9420 9470 9470 c8e5 ecec ef80 942f\n"


def make_film(path: Path, *more: object) -> Path:
    picture = make.write_picture(path.with_name("picture.mp4"), 1.0)
    sound = make.write(path.with_name("sound.wav"), make.make_tones(1, make.HZ), layout="mono")
    make.start("-i", picture, "-i", sound, *more, "-c:v", "copy", "-c:a", "aac", path)
    return path


def make_teletext(film: Path, path: Path) -> Path:
    """Copy a film into a transport stream, with teletext."""
    with av.open(str(film)) as source, av.open(str(path), "w", format="mpegts") as target:
        output: Any = target
        streams = {each.index: output.add_stream_from_template(each) for each in source.streams}
        text = output.add_mux_stream("dvb_teletext")
        text.time_base = Fraction(1, 90_000)
        output.start_encoding()
        for packet in source.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "video":
                page = av.Packet(b"\x10" + (b"\x02\x2c" + b"\xe4" * 44) * 3)
                page.pts = page.dts = packet.dts
                page.time_base, page.stream = packet.time_base, text
                output.mux(page)
            packet.stream = streams[packet.stream.index]
            output.mux(packet)
    return path


def check_copy(path: Path, suffix: str, codec: str) -> None:
    media = probe(path)
    output = path.with_name(f"out{choose_suffix(path.suffix, media, [0])}")
    assert output.suffix == suffix
    mix = make.write(path.with_name("mix.flac"), make.make_tones(1, make.HZ), layout="mono")
    put_tracks(path, media, [NewTrack(mix, replaces=media.tracks[0])], output)
    assert codec in [stream["codec_name"] for stream in make.ask(output)["streams"]]


@pytest.mark.parametrize("suffix", [".mpg", ".m2ts"])
def test_choose_suffix_keeps_teletext_in_a_transport_stream(suffix: str, tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.ts")
    path = make_teletext(film, tmp_path / "x.ts").rename(tmp_path / f"x{suffix}")
    check_copy(path, ".ts", "dvb_teletext")
    assert choose_suffix(suffix, probe(film), [0]) == ".mkv"


def test_choose_suffix_keeps_captions_in_mov(tmp_path: Path) -> None:
    (tmp_path / "x.scc").write_text(CAPTIONS)
    maps = ["-map", 0, "-map", 1, "-map", 2, "-c:s", "copy", "-f", "mov"]
    film = make_film(tmp_path / "x.mp4", "-i", tmp_path / "x.scc", *maps)
    check_copy(film, ".mov", "eia_608")
