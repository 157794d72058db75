"""Make masters as archives hold them: a picture, its time code, and mono streams."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.helpers import media_files as make

TIMECODE = "10:00:00:05"


def make_master(
    path: Path,
    signal_CT: np.ndarray,
    *options: object,
    names: Sequence[str] = (),
    codec: str = "pcm_s24le",
) -> Path:
    """Write each channel as a mono stream under a picture of the same length; `names` of their
    channels, else mono."""
    count = len(signal_CT)
    names = names or ["mono"] * count
    pads = "".join(f"[in{number}]" for number in range(count))
    picks = [f"[in{i}]pan={name}|c0=c{i}[out{i}]" for i, name in enumerate(names)]
    seconds = signal_CT.shape[1] / make.HZ
    before = ["-f", "lavfi", "-i", f"testsrc=size=128x96:rate=25:duration={seconds}"]
    graph = f"[1:a]asplit={count}{pads};" + ";".join(picks)
    maps = [word for number in range(count) for word in ("-map", f"[out{number}]")]
    code = ["-timecode", TIMECODE] if path.suffix in (".mov", ".mxf") else []
    codecs = ["-c:v", "mpeg2video", "-c:a", codec, *code]
    inputs = ("-filter_complex", graph, "-map", "0:v", *maps)
    return make.write(path, signal_CT, *inputs, *codecs, *options, before=tuple(before))


def make_sounds(num_streams: int, silent: Sequence[int] = (), seconds: float = 2.0) -> np.ndarray:
    """Make other noise in each stream (C, T), and zeros in the silent ones."""
    signal_CT = make.make_noise(num_streams, round(seconds * make.HZ), seed=3) / 4
    signal_CT[list(silent)] = 0.0
    return np.round(signal_CT * 2.0**23).astype(np.float32) / np.float32(2.0**23)
