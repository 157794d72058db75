"""Join mono streams that belong together into one track, by their tags or their number. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from separator.audio.loudness import LAYOUTS
from separator.errors import TrackMissing
from separator.media.limits import show_name
from separator.media.messages import ORDER
from separator.media.probe import Media, Track

GROUPS = ("off", "auto")
MAX_JOINED = 16  # each stream of a group has a decoder of its own
MAX_APART_S = 0.1  # between the starts of streams that belong together: a few packets
LAYOUTS_BY_NUMBER = {2: "stereo", 6: "5.1", 8: "7.1"}
# Titles of streams that are names of channels, beside libav's own names.
TITLES = {
    "l": "FL", "left": "FL", "r": "FR", "right": "FR", "c": "FC", "center": "FC", "centre": "FC",
    "ls": "SL", "rs": "SR", "lss": "SL", "rss": "SR", "lsr": "BL", "rsr": "BR",
}  # fmt: skip
TITLES |= {name.lower(): name for name in ORDER}
NAMED_LAYOUT = re.compile(r"1 channels \((\w+)\)")  # a mono stream of another channel than FC
BY_CHANNELS = {names: layout for layout, names in LAYOUTS.items()}


def group_streams(tracks: Sequence[Track]) -> list[Track]:
    """Replace mono streams that belong together by one track; all other tracks stay.

    Neighbouring streams belong together if they have the same codec, rate, bit depth, language and
    title, and start together. If they have channel names, a name that occurs again begins a group;
    without names, all of them form one group.
    """
    found = []
    for run in _list_runs(tracks):
        names = [_read_channel(track) for track in run]
        has_names = any(name not in (None, "FC") for name in names)
        for streams in _split_by_name(run) if has_names else [run]:
            if 2 <= len(streams) <= MAX_JOINED:
                found.append(join_streams(streams))
            else:
                found += streams
    return found


def join_streams(streams: Sequence[Track], index: int | None = None) -> Track:
    """Make one track of mono streams: its channels are in libav's order if all names are known,
    else in the order of the file. `index`: the track's; None: that of its first stream."""
    first = min(streams, key=lambda stream: stream.index)
    names = [_read_channel(stream) for stream in streams]
    if _are_channels(names):
        streams = sorted(streams, key=lambda stream: ORDER.index(_read_channel(stream) or ""))
        joined = "+".join(sorted(map(str, names), key=ORDER.index))
        layout = BY_CHANNELS.get(joined, joined)
    else:
        layout = LAYOUTS_BY_NUMBER.get(len(streams))
    return replace(
        first,
        index=first.index if index is None else index,
        num_channels=len(streams),
        layout=first.layout if len(streams) == 1 else layout,
        title=_read_title(first),
        is_default=any(stream.is_default for stream in streams),
        duration_s=max((s.duration_s for s in streams if s.duration_s is not None), default=None),
        streams=tuple(streams),
    )


def leave_out(track: Track, silent: Iterable[Track]) -> Track:
    """Leave silent streams out of a group; a group that is silent as a whole stays whole."""
    gone = {stream.index for stream in silent}
    left = [stream for stream in track.streams if stream.index not in gone]
    return join_streams(left, track.index) if gone and left else track


def find_track(path: Path, media: Media, index: int, streams: Sequence[int] = ()) -> Track:
    """Find a track of a file by the numbers in its record; TrackMissing if it is not there."""
    by_index = {track.index: track for track in media.tracks}
    if missing := [number for number in (*streams, index) if number not in by_index]:
        raise TrackMissing(f"{show_name(path)}: has no track {missing[0]}; it has {len(by_index)}")
    if not streams:
        return by_index[index]
    return join_streams([by_index[number] for number in streams], index)


def _list_runs(tracks: Sequence[Track]) -> Iterator[list[Track]]:
    """Split the tracks into runs of streams that may belong together."""
    run: list[Track] = []
    for track in tracks:
        if run and not _may_join(run[0], run[-1], track):
            yield run
            run = []
        run.append(track)
    if run:
        yield run


def _may_join(first: Track, last: Track, track: Track) -> bool:
    is_mono = first.num_channels == track.num_channels == 1
    is_next = track.index == last.index + 1
    return is_mono and is_next and _describe(first) == _describe(track) and _is_near(first, track)


def _describe(track: Track) -> tuple[object, ...]:
    """List what the streams of a group have in common."""
    about = (track.codec, track.rate_hz, track.bit_depth, track.language, _read_title(track))
    # A stream without a channel name does not join streams that have one.
    return (*about, _read_channel(track) is None)


def _is_near(first: Track, track: Track) -> bool:
    if first.start_s is None or track.start_s is None:
        return first.start_s == track.start_s
    return abs(first.start_s - track.start_s) <= MAX_APART_S


def _split_by_name(run: Sequence[Track]) -> Iterator[list[Track]]:
    """Start a group at each name that occurs again: FL FR FL FR are two pairs."""
    group: list[Track] = []
    for track in run:
        if _read_channel(track) in map(_read_channel, group):
            yield group
            group = []
        group.append(track)
    yield group


def _are_channels(names: Sequence[str | None]) -> bool:
    """Tell whether these names can be the channels of one track: all known, and all different."""
    return None not in names and len(set(names)) == len(names) > 1


def _read_channel(track: Track) -> str | None:
    """Return libav's name of the channel that a mono stream holds; `mono` counts as FC."""
    if found := NAMED_LAYOUT.fullmatch(track.layout or ""):
        return found[1] if found[1] in ORDER else None
    titled = TITLES.get((track.title or "").strip().lower())
    return titled or ("FC" if track.layout == "mono" else None)


def _read_title(track: Track) -> str | None:
    """Read a title that does not just name a channel."""
    return None if (track.title or "").strip().lower() in TITLES else track.title
