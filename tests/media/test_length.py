"""Test that a file shorter than it states is found, and that one with more behind it is whole."""

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
