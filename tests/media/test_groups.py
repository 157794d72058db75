"""Mono streams that belong together: what joins them, what keeps them apart, and their layout."""

from dataclasses import replace
from pathlib import Path

import pytest

from separator.errors import TrackMissing
from separator.media.choose import choose_tracks
from separator.media.groups import find_track, group_streams, leave_out
from separator.media.probe import Media, Track

MONO = Track(0, 1, "pcm_s24le", 48_000, 1, None, 24, None, None, False, 0.0, 2.0, 1 / 48_000)


def make_streams(*about: dict) -> list[Track]:
    """Make one mono stream of each dict of what differs from an unnamed one."""
    return [
        replace(MONO, index=i, stream_index=i + 1, **each)  # pyright: ignore[reportArgumentType]
        for i, each in enumerate(about)
    ]


def name(*channels: str) -> list[Track]:
    """Make streams with names of channels, as libav reads them."""
    layouts = ["mono" if channel == "FC" else f"1 channels ({channel})" for channel in channels]
    return make_streams(*({"layout": layout} for layout in layouts))


def describe(tracks: list[Track]) -> list[tuple]:
    """List (index, layout, indexes of its streams) of each track."""
    return [(t.index, t.layout, [stream.index for stream in t.streams]) for t in tracks]


@pytest.mark.parametrize(
    ("count", "layout"), [(2, "stereo"), (3, None), (6, "5.1"), (8, "7.1"), (16, None)]
)
def test_group_streams_chooses_the_layout_of_unnamed_streams_by_their_number(count, layout):
    assert describe(group_streams(make_streams(*[{}] * count))) == [(0, layout, [*range(count)])]
    assert group_streams(make_streams(*[{}] * count))[0].num_channels == count


def test_group_streams_leaves_one_stream_and_more_than_sixteen_alone():
    for count in (1, 17):
        tracks = make_streams(*[{}] * count)
        assert group_streams(tracks) == tracks


@pytest.mark.parametrize(
    "other",
    [
        {"codec": "pcm_s16le"}, {"rate_hz": 44_100}, {"bit_depth": 16}, {"language": "fr"},
        {"title": "commentary"}, {"start_s": 0.5}, {"start_s": None}, {"num_channels": 2},
        {"layout": "mono"},
    ],
)  # fmt: skip
def test_group_streams_keeps_streams_apart_that_differ(other):
    tracks = make_streams({}, {}, other, {}, {})
    assert describe(group_streams(tracks)) == [
        (0, "stereo", [0, 1]),
        (2, tracks[2].layout, []),
        (3, "stereo", [3, 4]),
    ]


def test_group_streams_joins_streams_whose_starts_are_a_packet_apart():
    tracks = make_streams({"start_s": 1.40}, {"start_s": 1.43})
    assert describe(group_streams(tracks)) == [(0, "stereo", [0, 1])]


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (["FL", "FR"], [("stereo", [0, 1])]),
        (["FC", "FC"], [("stereo", [0, 1])]),  # two streams that just say mono
        (["FL", "FR", "FC", "LFE", "SL", "SR"], [("5.1(side)", [0, 1, 2, 3, 4, 5])]),
        (["FL", "FC", "FR", "BL", "BR", "LFE"], [("5.1", [0, 2, 1, 5, 3, 4])]),
        (["FR", "FL"], [("stereo", [1, 0])]),
        (["FL", "FR", "FL", "FR"], [("stereo", [0, 1]), ("stereo", [2, 3])]),
        (["LFE", "FL"], [("FL+LFE", [1, 0])]),
        (["FL"], [("1 channels (FL)", [])]),
    ],
)
def test_group_streams_reads_names_of_channels(channels, expected):
    assert [each[1:] for each in describe(group_streams(name(*channels)))] == expected


def test_group_streams_reads_names_of_channels_in_titles():
    tracks = make_streams(*({"title": title} for title in ("L", "R", "C", "LFE", "Ls", "Rs")))
    (track,) = group_streams(tracks)
    assert describe([track]) == [(0, "5.1(side)", [*range(6)])] and track.title is None


def test_group_streams_keeps_other_titles_and_what_the_streams_share():
    tracks = make_streams({"title": "M&E", "language": "de"}, {"title": "M&E", "language": "de"})
    (track,) = group_streams([tracks[0], replace(tracks[1], is_default=True, duration_s=3.0)])
    assert (track.title, track.language, track.is_default) == ("M&E", "de", True)
    assert (track.duration_s, track.rate_hz, track.bit_depth) == (3.0, 48_000, 24)


@pytest.mark.parametrize(
    ("tracks", "silent", "expected"),
    [
        (make_streams(*[{}] * 8), [6, 7], (0, "5.1", [*range(6)])),
        (make_streams(*[{}] * 8), [0, 1, 4, 5, 6, 7], (0, "stereo", [2, 3])),
        (make_streams(*[{}] * 2), [0], (0, None, [1])),
        (make_streams(*[{}] * 2), [0, 1], (0, "stereo", [0, 1])),  # nothing would be left
        (make_streams(*[{}] * 2), [], (0, "stereo", [0, 1])),
        (name("FL", "FR", "FC", "LFE", "SL", "SR"), [3], (0, "5.0(side)", [0, 1, 2, 4, 5])),
        (name("FL", "FR"), [0], (0, "1 channels (FR)", [1])),
    ],
)
def test_leave_out_keeps_the_index_and_finds_the_layout_of_the_rest(tracks, silent, expected):
    (group,) = group_streams(tracks)
    left = leave_out(group, [tracks[index] for index in silent])
    assert describe([left]) == [expected]
    assert left.num_channels == len(expected[2])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("all", [(0, "5.1", [*range(6)]), (6, "stereo", [6, 7])]),
        ("first", [(0, "5.1", [*range(6)])]),
        ("default", [(6, "stereo", [6, 7])]),
        ({"language": "fr"}, [(6, "stereo", [6, 7])]),
        ({"language": "it", "fallback": [0, 1]}, [(0, "stereo", [0, 1])]),
        ([2, 3], [(2, "stereo", [2, 3])]),
        ([0, 7], [(0, None, []), (7, None, [])]),
    ],
)
def test_choose_tracks_chooses_groups_and_of_positions_those_among_them(how, expected):
    tracks = make_streams(*[{}] * 6, {"language": "fr", "is_default": True}, {"language": "fr"})
    assert describe(choose_tracks(tracks, how, "auto")) == expected
    assert not any(track.streams for track in choose_tracks(tracks, how))


def test_find_track_joins_the_streams_of_a_record_again():
    tracks = name("FR", "FL", "FC")
    media = Media(tuple(tracks), None, "mov", 0.0, 0.0, 2.0, ("audio",) * 3)
    path = Path("a.mov")
    (group,) = group_streams(tracks)
    assert find_track(path, media, 0, [1, 0, 2]) == group
    assert find_track(path, media, 2) == tracks[2]
    with pytest.raises(TrackMissing, match=r"'a\.mov': has no track 3; it has 3"):
        find_track(path, media, 0, [1, 3])
