"""Markers for editing programs, read back by other readers."""

import csv
import io
from fractions import Fraction
from urllib.parse import unquote, urlsplit

import opentimelineio as otio
import pytest

from separator.errors import RequestError
from separator.results.found import Found
from separator.results.markers import Frames, read_timecode, write_markers

NTSC = Fraction(30_000, 1_001)
MARKERS = [
    Found("/in/a.mp4", 1, "rain | heavy\nü", 100.0, 100.01, 0.5),
    Found("/in/a.mp4", 0, "siren", 1.5, 4.25, 0.934),
]


def test_audacity_labels_are_start_stop_and_text():
    found = write_markers("audacity", "a.mp4", MARKERS[1:], Frames())
    assert found == "1.500000\t4.250000\tsiren 0.93 track 0\n"


def test_csv_has_seconds_and_time_codes_in_order():
    frames = read_timecode("10:00:00:00", Fraction(25))
    text = write_markers("csv", "a.mp4", MARKERS, frames)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["query"] for row in rows] == ["siren", "rain | heavy\nü"]
    assert (rows[0]["start_s"], rows[0]["start_code"]) == ("1.500", "10:00:01:13")
    assert rows[0]["stop_code"] == "10:00:04:06"


@pytest.mark.parametrize(("code", "rate"), [("01:02:03:04", Fraction(25)), ("10:00:00;00", NTSC)])
def test_otio_reads_its_time_line_with_markers_at_their_times(tmp_path, code, rate):
    path = tmp_path / "a.otio"
    frames = read_timecode(code, rate)
    path.write_text(write_markers("otio", "a.mp4", MARKERS, frames))
    timeline = otio.adapters.read_from_file(str(path))
    (clip,) = timeline.find_clips()
    assert clip.media_reference.target_url == "/in/a.mp4"
    start = clip.available_range().start_time
    assert start.to_timecode(rate=float(rate)) == code
    for found, wanted in zip(clip.markers, sorted(MARKERS, key=lambda m: m.start_s), strict=True):
        begins = (found.marked_range.start_time - start).to_seconds()
        assert begins == pytest.approx(wanted.start_s, abs=0.51 / float(rate))
        assert found.metadata["separator"]["query"] == wanted.query
        assert found.marked_range.duration.value >= 1


@pytest.mark.parametrize("name", ["plain ü.wav", "50%20.wav", "a#1.wav", "why?.wav", "x;y.wav"])
def test_otio_finds_the_file_of_every_name(tmp_path, name):
    path = tmp_path / "a.otio"
    marker = Found(str(tmp_path / name), 0, "siren", 0.0, 1.0, 0.5)
    path.write_text(write_markers("otio", name, [marker], Frames()))
    (clip,) = otio.adapters.read_from_file(str(path)).find_clips()
    url = urlsplit(clip.media_reference.target_url)
    assert unquote(url.path) == str(tmp_path / name) and not (url.query or url.fragment)
    if "%" not in name:  # OpenTimelineIO 0.18 decodes twice
        read = otio.url_utils.filepath_from_url(clip.media_reference.target_url)
        assert read == str(tmp_path / name)


@pytest.mark.parametrize(("duration_s", "length"), [(8.0, 200), (0.0, 106), (4.0, 106)])
def test_otio_clip_is_as_long_as_the_asset(tmp_path, duration_s, length):
    """Where the length is not known, or a stretch goes beyond it, it holds all stretches."""
    path = tmp_path / "a.otio"
    frames = read_timecode("01:00:00:00", Fraction(25))
    text = write_markers("otio", "a.mp4", MARKERS[1:], frames, duration_s=duration_s)
    path.write_text(text)
    (clip,) = otio.adapters.read_from_file(str(path)).find_clips()
    assert clip.available_range() == clip.source_range
    assert clip.source_range.start_time.value == 90_000
    assert clip.source_range.duration.value == length


@pytest.mark.parametrize("title", ["two\nwords ü.wav", "n\udcff.wav"])
def test_titles_are_one_line_of_what_each_format_can_hold(tmp_path, title):
    edl = write_markers("edl", title, MARKERS, Frames()).splitlines()
    assert edl[0].startswith("TITLE: ") and edl[1].startswith("FCM: ") and edl[0].isascii()
    path = tmp_path / "a.otio"
    path.write_text(write_markers("otio", title, MARKERS, Frames()))
    timeline = otio.adapters.read_from_file(str(path))
    (clip,) = timeline.find_clips()
    assert timeline.name == clip.name and clip.name in ("two words ü.wav", "n\ufffd.wav")


def test_edl_is_read_by_another_reader(tmp_path):
    path = tmp_path / "a.edl"
    path.write_text(write_markers("edl", "Straße", MARKERS, Frames(Fraction(25))))
    assert path.read_text().isascii()
    lengths = [line.rpartition("|D:")[2] for line in path.read_text().splitlines() if "|D:" in line]
    assert lengths == ["68", "1"], "at least a frame"
    timeline = otio.adapters.read_from_file(str(path), rate=25)
    clips = list(timeline.find_clips())
    assert len(clips) == 2
    for clip, wanted in zip(clips, sorted(MARKERS, key=lambda m: m.start_s), strict=True):
        (marker,) = clip.markers
        assert clip.source_range.start_time.to_seconds() == pytest.approx(wanted.start_s, abs=0.021)
        assert marker.name.startswith(wanted.query.split()[0])


@pytest.mark.parametrize("rate", [NTSC, Fraction(60_000, 1_001)])
def test_drop_frame_codes_are_those_of_opentimelineio(rate):
    frames = Frames(rate, 0, is_drop=True)
    for number in (0, 1, 1_799, 1_800, 3_597, 17_981, 17_982, 17_983, 107_892, 2_589_407):
        found = frames.show(number)
        wanted = otio.opentime.RationalTime(number, float(rate)).to_timecode(float(rate), True)
        assert found == wanted
        assert read_timecode(found, rate).first == number


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(24_000, 1_001), Fraction(50)])
def test_the_sign_of_drop_frame_drops_none_at_rates_that_have_no_drop_frame(rate):
    frames = read_timecode("10:00:00;00", rate)
    hour = 3_600 * frames.count_hz
    assert (frames.first, frames.show(hour)) == (10 * hour, "11:00:00:00")


def test_what_is_no_time_code_is_refused():
    with pytest.raises(RequestError, match="HH:MM:SS:FF"):
        read_timecode("1 hour", Fraction(25))


def test_a_picture_that_stands_for_seconds_has_time_codes():
    frames = read_timecode("00:00:00:00", Fraction(1, 10))
    rows = list(csv.DictReader(io.StringIO(write_markers("csv", "a.mp4", MARKERS, frames))))
    assert [row["start_s"] for row in rows] == ["1.500", "100.000"]
    assert write_markers("edl", "a.mp4", MARKERS, frames)
