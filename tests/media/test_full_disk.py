"""A disk without room: every file is whole or an error. ffmpeg 5 itself ends with status 0."""

from pathlib import Path

import pytest

from separator.audio.format import AudioFormat
from separator.errors import DiskFull
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings
from separator.media.formats import FORMATS
from separator.media.mux import NewTrack, put_tracks
from separator.media.probe import probe
from tests.helpers import media_files as make

pytestmark = [pytest.mark.slow, pytest.mark.check]

FULL = Path("/dev/full")  # every write to it fails for lack of room


@pytest.mark.parametrize("seconds", [0.1, 5.0])
@pytest.mark.parametrize("form", FORMATS)
def test_encode_raises_disk_full_and_leaves_nothing(form: str, seconds: float, tmp_path: Path):
    signal_CT = make.make_tones(1, round(seconds * make.HZ))
    path = tmp_path / f"stem.{form}"
    path.symlink_to(FULL)
    with pytest.raises(DiskFull, match=r"stem\.\w+: no space left .* TMPDIR"):
        encode([signal_CT], path, AudioFormat(make.HZ, 1), settings=EncodeSettings(form))
    assert not path.is_symlink()


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_put_tracks_raises_disk_full_and_leaves_nothing(suffix: str, tmp_path: Path):
    mix = make.write(tmp_path / "mix.wav", make.make_tones(1, 10_000), layout="mono")
    old = make.write(tmp_path / f"old{suffix}", make.make_tones(1, 10_000), layout="mono")
    output = tmp_path / f"new{suffix}"
    output.symlink_to(FULL)
    media = probe(old)
    with pytest.raises(DiskFull, match="no space left"):
        put_tracks(old, media, [NewTrack(mix, replaces=media.tracks[0])], output)
    assert not output.is_symlink()
