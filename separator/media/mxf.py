"""Check that ffmpeg can write an MXF again, and that it has written it to its end."""

from pathlib import Path

from separator.errors import EncoderFailed
from separator.media.limits import Limits, show_name
from separator.media.probe import Media, probe

# Codecs that ffmpeg can write into MXF.
MXF_PICTURES = ("mpeg2video", "h264", "prores", "dnxhd", "jpeg2000", "dvvideo")
MXF_SOUNDS, MXF_RATE_HZ = ("pcm_s16le", "pcm_s24le"), 48_000
MAX_CUT_S = 0.1
# Streams that a copy keeps; others do not keep an MXF from being written.
COPIED_KINDS = ("video", "picture", "audio", "subtitle", "attachment")


def holds_mxf(media: Media) -> bool:
    """Tell whether ffmpeg can write the streams of an MXF again: one picture, and PCM at 48 kHz."""
    kinds = [kind for kind in media.stream_kinds if kind in COPIED_KINDS]
    return (
        media.container == "mxf"
        and media.video is not None
        and media.video.codec in MXF_PICTURES
        and kinds == ["video"] + ["audio"] * len(media.tracks)
        and all(t.codec in MXF_SOUNDS and t.rate_hz == MXF_RATE_HZ for t in media.tracks)
    )


def check_whole(path: Path, media: Media, output_path: Path, limits: Limits) -> None:
    """Refuse a file that ends early: ffmpeg ends an MXF with its shortest stream."""
    stated_s, written_s = media.duration_s, probe(output_path, limits).duration_s
    if stated_s and (written_s or 0.0) < stated_s - MAX_CUT_S:
        output_path.unlink()
        raise EncoderFailed(
            f"{show_name(path)}: as MXF it would end after {written_s or 0.0:.3f} s of"
            f" {stated_s:.3f} s, where its shortest stream ends; make its streams of one length"
        )
