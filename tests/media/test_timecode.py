"""Frame rate and time code of what editors hand in."""

from dataclasses import replace

import pytest

from separator.media.probe import probe
from separator.stages.extract import describe_track
from tests.helpers.media_files import start


@pytest.mark.parametrize(
    ("name", "rate", "code"),
    [
        ("a.mov", "30000/1001", "01:00:00;02"),
        ("a.mxf", "25/1", "10:00:00:00"),
        ("a.mp4", "25/1", "10:00:00:05"),
        ("a.mkv", "24000/1001", ""),
    ],
)
def test_probe_reads_frame_rate_and_time_code(tmp_path, name, rate, code):
    path = tmp_path / name
    picture = f"testsrc=size=128x96:rate={rate}:duration=1"
    inputs = (
        "-f",
        "lavfi",
        "-i",
        picture,
        "-f",
        "lavfi",
        "-i",
        "sine=duration=1:sample_rate=48000",
    )
    options = ["-c:v", "mpeg2video", "-c:a", "pcm_s16le" if name.endswith("mxf") else "aac"]
    start(*inputs, *options, *(("-timecode", code) if code else ()), path)
    media = probe(path)
    assert media.video is not None and media.video.frame_rate == rate
    assert media.timecode == code
    unknown = replace(media, video=replace(media.video, frame_rate=""))
    assert describe_track(media.tracks[0], unknown).picture.split(" ") == [
        "",
        *filter(None, [code]),
    ]
