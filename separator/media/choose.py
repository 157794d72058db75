"""Choose the tracks of a file to work on, by position, flag or language. Pure."""

from collections.abc import Sequence
from typing import Any

from separator.errors import RequestError, TrackMissing
from separator.media.groups import group_streams
from separator.media.languages import same_language
from separator.media.probe import Track

FORMS = "all, default, first, a list of positions such as [0, 2], or {language: [en, de]}"


def choose_tracks(tracks: Sequence[Track], how: Any = "all", group: str = "off") -> list[Track]:
    """Return the chosen tracks in the file's order; TrackMissing if there are none.

    `default` is the first track with that flag, or the first of all. Positions count audio streams;
    positions that a file does not have are ignored. `{language: [...], fallback: ...}` takes the
    fallback, any of the other forms, if no track has one of the languages. With `group=auto`, mono
    streams that belong together become one track; with positions, only the listed streams do.
    """
    grouped = group_streams(tracks) if group == "auto" else tracks
    if isinstance(how, str):
        chosen = _choose_named(grouped, how)
    elif isinstance(how, dict):
        chosen = _choose_languages(tracks, how, group)
    elif isinstance(how, Sequence) and how and all(_is_position(item) for item in how):
        chosen = [track for track in tracks if track.index in how]
        chosen = group_streams(chosen) if group == "auto" else chosen
    else:
        raise RequestError(f"tracks={how!r:.80}: must be {FORMS}")
    if not chosen:
        there = ", ".join(f"{track.index} ({track.language or 'no language'})" for track in tracks)
        raise TrackMissing(f"tracks={how!r:.80}: matches no track; the file has: {there or 'none'}")
    return chosen


def check_tracks(how: Any) -> None:
    """Raise RequestError unless `how` has one of the forms."""
    try:
        choose_tracks([], how)
    except TrackMissing:  # without tracks only the form is checked
        return
    except RecursionError:
        raise RequestError("tracks: a fallback is nested too deeply") from None


def _choose_named(tracks: Sequence[Track], how: str) -> list[Track]:
    if how == "all":
        return list(tracks)
    if how == "first":
        return list(tracks[:1])
    if how == "default":
        return [track for track in tracks if track.is_default][:1] or list(tracks[:1])
    raise RequestError(f"tracks={how!r:.80}: must be {FORMS}")


def _choose_languages(tracks: Sequence[Track], how: dict[str, Any], group: str) -> list[Track]:
    wanted = how.get("language")
    wanted = [wanted] if isinstance(wanted, str) else wanted
    unknown = set(how) - {"language", "fallback"}
    if unknown or not isinstance(wanted, Sequence) or not wanted:
        raise RequestError(f"tracks={how!r:.80}: must be {{language: [...], fallback: ...}}")
    if not all(isinstance(code, str) and code and code.isprintable() for code in wanted):
        raise RequestError(f"tracks={how!r:.80}: languages are codes such as en, eng or pt-BR")
    chosen = [
        track
        for track in (group_streams(tracks) if group == "auto" else tracks)
        if track.language and any(same_language(track.language, code) for code in wanted)
    ]
    fallback = how.get("fallback")
    if chosen or fallback in (None, "none"):
        return chosen
    return choose_tracks(tracks, fallback, group)


def _is_position(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and item >= 0
