"""List the formats of stems, with their names in ffmpeg and the audio that each can hold, and the
usual names of media files. Pure."""

from dataclasses import dataclass, field

from separator.errors import LayoutUnsupported

# The usual endings of media files.
VIDEO = "3gp avi flv m2ts m4v mkv mov mp4 mpeg mpg mts mxf ogv ts vob webm wmv"
AUDIO = "aac ac3 aif aiff amr caf dts eac3 flac m4a m4b mka mp2 mp3 oga ogg opus w64 wav wma"


@dataclass(frozen=True)
class Format:
    muxer: str
    codecs: dict[int, str]  # by bit depth; 0 for lossy codecs
    bit_depths: tuple[int, ...] = ()  # empty: lossy
    most_channels: int = 64
    layouts: tuple[str, ...] = ()  # empty: any
    rates_hz: tuple[int, ...] = ()  # empty: any
    options: dict[str, object] = field(default_factory=dict)


FORMATS = {
    "wav": Format(
        "wav",
        {16: "pcm_s16le", 24: "pcm_s24le", 32: "pcm_f32le"},
        (16, 24, 32),
        options={"rf64": "auto"},  # RF64 once 4 GB are reached
    ),
    "flac": Format("flac", {16: "flac", 24: "flac"}, (16, 24), most_channels=8),
    "ogg": Format(
        "ogg",
        {0: "libopus"},
        most_channels=8,
        # Not 5.0 and 6.1, whose channels libav's opus encoder puts into another order.
        layouts=("mono", "stereo", "3.0", "quad", "5.1", "7.1"),
        rates_hz=(48000,),
    ),
    "mp3": Format(
        "mp3",
        {0: "libmp3lame"},
        most_channels=2,
        layouts=("mono", "stereo"),
        rates_hz=(8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    ),
    "m4a": Format(
        "ipod",
        {0: "aac"},
        most_channels=8,
        layouts=("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1(wide)", "7.1"),
        rates_hz=(8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200,
                  96000),
    ),
}  # fmt: skip
USUAL_LAYOUTS = {1: "mono", 2: "stereo"}
GUESSED_LAYOUTS = {2: "stereo", 6: "5.1", 8: "7.1"}  # by ffmpeg, of tracks without a layout
# Lossy encoders know these layouts under another name; the order of channels is the same.
KNOWN_AS = {
    "downmix": "stereo",
    "5.0(side)": "5.0",
    "5.1(side)": "5.1",
    "quad(side)": "quad",
}


def choose_layout(form: Format, num_channels: int, layout: str | None) -> str | None:
    """Return the layout to write; None: unspecified. LayoutUnsupported if the format has none."""
    layout = layout or USUAL_LAYOUTS.get(num_channels)
    if form.layouts and layout:
        # A single channel of another name (FL, say) is mono.
        layout = "mono" if num_channels == 1 else KNOWN_AS.get(layout, layout)
    fits = num_channels <= form.most_channels
    if not fits or (form.layouts and layout not in form.layouts):
        advice = "" if form.muxer == "wav" else "; choose wav"
        name = next((name for name, each in FORMATS.items() if each is form), form.muxer)
        raise LayoutUnsupported(
            f"{num_channels} channels ({layout or 'no layout'}) do not fit {name}"
            f" ({', '.join(form.layouts) or f'up to {form.most_channels} channels'}){advice}"
        )
    return layout


def fit_layout(codec: str, num_channels: int, layout: str | None) -> str:
    """Return ffmpeg's filter that names channels as an encoder knows them; empty if none is needed.

    Without it, ffmpeg would mix: a mono track called FL would become the left of two channels.
    """
    if num_channels == 1:
        is_named = layout not in (None, "mono") and not codec.startswith(("pcm_", "flac"))
        return "pan=mono|c0=c0" if is_named else ""
    layout = layout or GUESSED_LAYOUTS.get(num_channels, "no layout")
    known = KNOWN_AS.get(layout, layout)
    if codec == "libopus" and known not in (layouts := FORMATS["ogg"].layouts):
        raise LayoutUnsupported(
            f"{num_channels} channels ({layout}) do not fit opus ({', '.join(layouts)}); set"
            " output.remux_codec to libvorbis, say"
        )
    is_other = codec in ("aac", "libopus") and known != layout
    return f"aformat=channel_layouts={known}" if is_other else ""


def choose_rate(form: Format, rate_hz: int) -> int:
    """Return the rate itself if the format has it, else the next higher, else its highest."""
    if not form.rates_hz or rate_hz in form.rates_hz:
        return rate_hz
    return next((rate for rate in form.rates_hz if rate > rate_hz), form.rates_hz[-1])


def list_media_patterns() -> list[str]:
    return [f"*.{name}" for name in f"{VIDEO} {AUDIO}".split()]
