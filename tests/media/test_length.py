"""Test that a file shorter than it states is found, and that one with more behind it is whole."""

import struct
from pathlib import Path

import numpy as np
import pytest

from separator.errors import MediaTruncated
from separator.media.decode import decode
from separator.media.probe import probe
from tests.helpers import media_files as make

STATING = "wav rf64.wav flac m4a mp3 mkv avi pcm.avi mov caf w64 au wv"


@pytest.mark.parametrize("name", [f"x.{name}" for name in STATING.split()])
def test_decode_raises_truncated_with_both_lengths(name: str, tmp_path: Path) -> None:
    path = make.write_usual(tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.7)])
    media = probe(path)
    blocks = decode(path, media, media.tracks[0], block_samples=1000)
    with pytest.raises(MediaTruncated, match=r"ends at [12]\.\d+ s of [34]\.\d+ s") as caught:
        for block in blocks:
            assert block.shape[1] == 1000  # the unfinished block never comes
    assert caught.value.code == "media_truncated"


@pytest.mark.parametrize("name", ["x.mp4", "x.mov"])
def test_a_late_track_that_an_edit_list_shortens_is_whole(name: str, tmp_path: Path) -> None:
    """Editors trim tracks so: the file keeps all of their sound."""
    picture = make.write_picture(tmp_path / "picture.mp4", 3.0)
    signal_CT = make.make_noise(1, 3 * make.HZ, 16)
    sound = make.write(tmp_path / "x.wav", signal_CT, "-c:a", "pcm_s16le", layout="mono")
    path = tmp_path / name
    codec = "alac" if name == "x.mp4" else "pcm_s16le"
    inputs = ["-i", picture, "-itsoffset", 1, "-i", sound]
    make.start(*inputs, "-map", 0, "-map", 1, "-c:v", "copy", "-c:a", codec, path)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"elst") + 12  # two entries: a pause of 1 s, and the sound
    assert struct.unpack_from(">Ii", data, at) == (1000, -1)
    struct.pack_into(">I", data, at + 12, 1500)
    path.write_bytes(data)
    decoded_CT, _ = make.read(path)
    assert 0 <= decoded_CT.shape[1] - 2.5 * make.HZ < 4096  # the rest of the last packet
    assert not decoded_CT[:, : make.HZ].any()
    stop = round(1.5 * make.HZ)
    np.testing.assert_array_equal(decoded_CT[:, make.HZ : make.HZ + stop], signal_CT[:, :stop])


@pytest.mark.parametrize("tail", ["APETAGEX", "LYRICSBEGIN", "\0"])
@pytest.mark.parametrize("codec_options", [["-b:a", "128k"], ["-q:a", 2]])
def test_an_mp3_with_much_behind_its_sound_is_whole(tail, codec_options, tmp_path: Path) -> None:
    """libav takes its length from its size then; the Xing header tells that it ends earlier."""
    path = make.write(tmp_path / "x.mp3", make.make_tones(1, 4 * make.HZ), *codec_options)
    alone_CT, _ = make.read(path)
    data = path.read_bytes()
    path.write_bytes(data + tail.encode() + bytes(12_000))
    whole_CT, _ = make.read(path)
    num_samples = alone_CT.shape[1]
    assert num_samples <= whole_CT.shape[1] < num_samples + 0.05 * make.HZ
    np.testing.assert_allclose(whole_CT[:, : num_samples - 2000], alone_CT[:, :-2000], atol=1e-6)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaTruncated):
        make.read(path)
