"""Test that memory does not grow over ten hours, in this process and in the decoder."""

from pathlib import Path

import psutil
import pytest

from separator.audio.format import AudioFormat
from separator.media.decode import decode
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings
from separator.media.probe import probe
from tests.helpers import media_files as make
from tests.helpers.decoders import list_decoders

HOURS = 10
MB = 1 << 20


def watch(blocks, sizes: list[tuple[int, int]]):
    """Pass blocks on; every 20 minutes note the resident bytes of this process and its decoder."""
    own = psutil.Process()
    for number, block in enumerate(blocks):
        if number % (20 * 60 * make.HZ // block.shape[1]) == 0:
            sizes.append((own.memory_info().rss, sum(p.memory_info().rss for p in list_decoders())))
        yield block


@pytest.mark.slow
def test_memory_is_flat_over_ten_hours(tmp_path: Path) -> None:
    minute = make.write(
        tmp_path / "minute.m4a", make.make_noise(2, 60 * make.HZ, 16), layout="stereo"
    )
    path = tmp_path / "x.m4a"
    make.start("-stream_loop", HOURS * 60 - 1, "-i", minute, "-c", "copy", path)
    media = probe(path)
    assert media.duration_s == pytest.approx(HOURS * 3600, rel=1e-3)
    sizes: list[tuple[int, int]] = []
    blocks = watch(decode(path, media, media.tracks[0]), sizes)
    report = encode(
        blocks, tmp_path / "x.flac", AudioFormat(make.HZ, 2), settings=EncodeSettings("flac", 16)
    )
    assert report.num_samples == pytest.approx(HOURS * 3600 * make.HZ, rel=1e-3)
    own, children = zip(*sizes[1:], strict=True)  # the first: before the index is read
    assert len(own) > 25
    print(  # noqa: T201  for docs/media.md
        f"here {min(own) / MB:.0f} to {max(own) / MB:.0f} MB, "
        f"decoder {min(children) / MB:.0f} to {max(children) / MB:.0f} MB"
    )
    assert max(own) - min(own) < 32 * MB
    assert max(children) - min(children) < 64 * MB
