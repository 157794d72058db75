"""Make the arguments of ffmpeg that bring tags and chapters of a file into its copy."""

from collections.abc import Iterable, Sequence

import ffmpeg

from separator.media.covers import OLD
from separator.media.limits import clean_tag
from separator.media.seen import Seen

# Containers that keep tags in their only stream, and those that keep chapters in tags.
TAGGED_STREAMS, TAGGED_CHAPTERS = ("ogg",), ("ogg", "flac")
# Cameras and phones write their tags under such names. ffmpeg writes these into mp4 and mov only
# together with all others, as keys of QuickTime; the last ones describe the old file itself.
KEY_PREFIX, KEYED = "com.", ("mp4", "mov")
KEYS = ("-movflags", "+use_metadata_tags")
BRANDS = ("major_brand", "minor_version", "compatible_brands")
# Tags of a stem in ogg belong to its stream, which would bring them into a film: the asset's URI.
STEM_TAGS = ("comment", "copyright")
# A program takes arguments of up to 128 KiB each; the numbers of chapters have three digits.
MAX_LETTERS, MAX_CHAPTERS = 1000, 1000


def make_tag(key: str, text: str) -> str:
    """Make a tag as an argument; a text that is too long for one is cut."""
    return f"{key}={clean_tag(text[:MAX_LETTERS])}"


def keep_tags(command: list[str], old: ffmpeg.Stream, muxer: str, seen: Seen) -> list[str]:
    """Return the arguments that copy tags and chapters from the old file. If no stream of that file
    is copied, add it to `command` as one more input."""
    inputs = [command[at + 1] for at, word in enumerate(command) if word == "-i"]
    if OLD not in inputs:
        words = old["0"].output("-", format="null").get_args()
        at = command.index("-map")
        command[at:at] = words[: words.index("-map")]
        inputs.append(OLD)
    place = str(inputs.index(OLD))
    words = ["-map_metadata", place]
    words += ["-map_metadata:s:0", f"{place}:s:0"] if muxer in TAGGED_STREAMS else []
    if muxer in KEYED and any(name.startswith(KEY_PREFIX) for name in seen.tags):
        words += [*KEYS, *(word for name in BRANDS for word in ("-metadata", f"{name}="))]
    if muxer not in TAGGED_CHAPTERS:
        return [*words, "-map_chapters", place]
    # ffmpeg 5 writes none into flac, and into ogg those of a second half of a second 1 s late.
    option = "-metadata:s:0" if muxer in TAGGED_STREAMS else "-metadata"
    # Removed here, as its removal at the end would move the last tag before that of its chapter.
    cleared = [] if muxer in TAGGED_STREAMS else [option, "encoder="]
    tags = [word for tag in list_chapter_tags(seen.chapters) for word in (option, tag)]
    return [*words, "-map_chapters", "-1", *cleared, *tags]


def list_chapter_tags(chapters: Sequence[tuple[float, str]]) -> Iterable[str]:
    """Yield the comments of Vorbis that state chapters."""
    for number, (start_s, title) in enumerate(chapters[:MAX_CHAPTERS]):
        minutes, ms = divmod(round(1000 * max(0.0, start_s)), 60_000)
        clock = f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}.{ms % 1000:03}"
        yield make_tag(f"CHAPTER{number:03}", clock)
        if title:
            yield make_tag(f"CHAPTER{number:03}NAME", title)


def drop_stem_tags(places: Iterable[int], muxer: str) -> list[str]:
    """Return the arguments that keep tags of the stems out of the new streams at `places`."""
    if muxer in TAGGED_STREAMS:  # which take their tags from the old stream
        return []
    return [
        word
        for place in places
        for tag in STEM_TAGS
        for word in (f"-metadata:s:{place}", make_tag(tag, ""))
    ]
