"""Check that a track can be separated, and that the format of its stems can hold it."""

from separator.audio.spans import check_rate
from separator.errors import LayoutUnsupported, RateError
from separator.media.decode import output_rate
from separator.media.formats import FORMATS, choose_layout
from separator.media.probe import Track


def check_track(track: Track, channels: str, extension: str) -> int:
    """Return the rate of a track's stems; raise an error that names the track if it is unusable."""
    if not track.rate_hz:
        raise LayoutUnsupported(f"track {track.index} ({track.codec}) has no sample rate")
    rate_hz = output_rate(track)
    try:
        check_rate(rate_hz)
        if channels != "mono":
            choose_layout(FORMATS[extension], track.num_channels, track.layout)
    except (RateError, LayoutUnsupported) as error:
        raise type(error)(f"track {track.index}: {error}") from None
    return rate_hz
