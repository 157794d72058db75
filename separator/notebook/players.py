"""Show sounds in a notebook: self-contained HTML with a player and a spectrogram for each.

Sound and picture are `data:` addresses, so that the output of a cell can be kept, mailed or
printed. Its size is bounded: a long sound is cut to 10 to 30 s around its loudest part, and only
the first MAX_PLAYERS sounds are shown. Colors follow the notebook's theme, light or dark.
Shapes: C channels, T samples.
"""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from separator.audio.pictures import draw_spectrogram, measure_loudest
from separator.audio.window import EnvelopeMeter, Times, choose_window
from separator.media.preview import encode_preview
from separator.storage.temporary import temporary_folder

MAX_PLAYERS = 8
BLOCK_SAMPLES = 1 << 18
PAGE = '<div style="color-scheme: light dark; max-width: 42em">{}</div>'
FIGURE = """\
<figure role="group" aria-label="{label}" style="margin: 0 0 1em">
<figcaption style="margin-bottom: 0.2em"><b dir="auto">{name}</b> {stretch}</figcaption>
<img alt="Spectrogram of {label}" src="data:image/png;base64,{picture}" \
style="display: block; width: 100%; height: 6em">
<audio controls preload="metadata" aria-label="{label}" src="data:audio/mp4;base64,{audio}" \
style="display: block; width: 100%"></audio>
</figure>
"""
NOTE = "<p>{}</p>\n"


@dataclass(frozen=True)
class Preview:
    """A stretch of a sound, and its position in the sound."""

    name: str
    samples: np.ndarray  # (C, T)
    rate_hz: int
    window: Times
    duration_s: float  # of the whole sound


def find_loudest(samples_CT: np.ndarray, rate_hz: int) -> Times:
    """Choose the stretch of a sound in memory that its player plays."""
    meter = EnvelopeMeter(rate_hz)
    for start in range(0, samples_CT.shape[1], BLOCK_SAMPLES):
        meter.add(samples_CT[:, start : start + BLOCK_SAMPLES])
    return choose_window(meter.finish()[0], samples_CT.shape[1] / rate_hz, None)


def make_preview(name: str, samples_CT: np.ndarray, rate_hz: int) -> Preview:
    """Cut the loudest part out of a sound in memory."""
    window = find_loudest(samples_CT, rate_hz)
    start, stop = (round(each * rate_hz) for each in window)
    duration_s = samples_CT.shape[1] / rate_hz
    return Preview(name, samples_CT[:, start:stop], rate_hz, window, duration_s)


def make_page(previews: Sequence[Preview], num_all: int) -> str:
    """Make the HTML of some of `num_all` sounds; all pictures share one color scale."""
    heard = [each for each in previews if each.samples.size]
    loudest_db = max((measure_loudest(each.samples, each.rate_hz) for each in heard), default=0.0)
    parts = [make_player(each, loudest_db) for each in heard]
    parts += [
        NOTE.format(f'<b dir="auto">{html.escape(each.name)}</b> has no samples')
        for each in previews
        if not each.samples.size
    ]
    if num_all > len(previews):
        parts.append(NOTE.format(f"{num_all - len(previews)} more are not shown"))
    return PAGE.format("".join(parts))


def make_player(preview: Preview, loudest_db: float) -> str:
    """Make the HTML of one sound."""
    with temporary_folder() as folder:
        path = folder / "preview.m4a"
        encode_preview(preview.samples, preview.rate_hz, path)
        audio = path.read_bytes()
    picture = draw_spectrogram(preview.samples, preview.rate_hz, loudest_db=loudest_db)
    stretch = describe(preview)
    return FIGURE.format(
        name=html.escape(preview.name),
        label=html.escape(f"{preview.name}, {stretch}"),
        stretch=stretch,
        picture=base64.b64encode(picture).decode(),
        audio=base64.b64encode(audio).decode(),
    )


def describe(preview: Preview) -> str:
    """Say which part of its sound a preview plays."""
    start_s, stop_s = preview.window
    if stop_s - start_s >= preview.duration_s - 0.01:
        return show_time(preview.duration_s)
    return f"{show_time(start_s)} to {show_time(stop_s)} of {show_time(preview.duration_s)}"


def show_time(seconds: float) -> str:
    """Write seconds as 0:07.5 or 2:00:07.5."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest / 10:04.1f}"
    return f"{hours}:{minutes:02}:{tail}" if hours else f"{minutes}:{tail}"
