"""Make media for the tests with ffmpeg, decode them, and ask ffprobe as the referee."""

import json
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from separator.media.decode import DecodedTrack, decode
from separator.media.limits import Limits
from separator.media.probe import probe

HZ = 48_000
LENIENT = Limits(max_error_share=0.5)


def start(*arguments: object, stdin: bytes | None = None) -> bytes:
    command = ["ffmpeg", "-v", "error", "-y", *map(str, arguments)]
    feed = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    done = subprocess.run(command, capture_output=True, timeout=300, **feed)
    assert done.returncode == 0, (command, done.stderr.decode())
    return done.stdout


def ask(path: Path, *entries: str) -> dict:
    """Return ffprobe's answer about a file."""
    command = ["ffprobe", "-v", "error", "-of", "json", *(entries or ("-show_streams",)), str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def make_noise(num_channels: int, num_samples: int, bits: int = 24, seed: int = 0) -> np.ndarray:
    """Make noise (C, T) in float32 that holds integers of `bits` exactly."""
    rng = np.random.default_rng(seed)
    whole = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (num_channels, num_samples))
    return (whole / 2.0 ** (bits - 1)).astype(np.float32)


def make_tones(num_channels: int, num_samples: int, rate_hz: int = HZ) -> np.ndarray:
    """Make a different tone in each channel."""
    times_s = np.arange(num_samples) / rate_hz
    hz = 150 * (1 + np.arange(num_channels))[:, None]
    return (0.3 * np.sin(2 * np.pi * hz * times_s)).astype(np.float32)


def make_clicks(at: list[int], num_samples: int) -> np.ndarray:
    """Make mono silence with a smooth click centred on each of the samples `at`."""
    signal = np.zeros((1, num_samples), np.float32)
    shape = 0.8 * np.hanning(97).astype(np.float32) * np.cos(np.arange(-48, 49) * 0.4)
    for place in at:
        signal[0, place - 48 : place + 49] += shape
    return signal


def find_click(signal_CT: np.ndarray, near: int, reach: int = 4000) -> int:
    """Find the sample of a click by correlation with its shape."""
    start_at = max(0, near - reach)
    part = signal_CT[0, start_at : near + reach].astype(np.float64)
    shape = make_clicks([48], 97)[0].astype(np.float64)
    return start_at + int(np.argmax(np.correlate(part, shape, "valid"))) + 48


def write(
    path: Path,
    signal_CT: np.ndarray,
    *options: object,
    rate_hz: int = HZ,
    layout: str | None = None,
    before: tuple[object, ...] = (),
) -> Path:
    """Write a file of one track with ffmpeg, from 64-bit floats."""
    layout = layout or f"{len(signal_CT)}C"
    data = signal_CT.T.astype("<f8").tobytes()
    raw = ("-f", "f64le", "-ar", rate_hz, "-channel_layout", layout, "-i", "pipe:0")
    start(*before, *raw, *options, path, stdin=data)
    return path


def write_usual(path: Path, seconds: float = 4.0) -> Path:
    """Write mono noise with the options that files of this name usually have."""
    faststart = ["-movflags", "faststart"]
    extra = {
        "x.m4a": faststart,
        "x.mov": faststart,
        "x.pcm.avi": ["-c:a", "pcm_s16le"],
        "x.rf64.wav": ["-rf64", "always"],
    }
    signal_CT = make_noise(1, int(seconds * HZ), 16) * np.float32(0.3)
    return write(path, signal_CT, *extra.get(path.name, []), layout="mono")


def write_picture(path: Path, seconds: float = 2.0) -> Path:
    """Write a small silent film with B-frames, in mp4."""
    path.write_bytes(encode_picture(seconds))
    return path


@cache
def encode_picture(seconds: float) -> bytes:
    """Encode a film of each length once for all tests of a process."""
    picture = f"testsrc=size=64x48:rate=25:duration={seconds}"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        codec = ("-c:v", "libx264", "-bf", 2, "-pix_fmt", "yuv420p")
        start("-f", "lavfi", "-i", picture, *codec, path)
        return path.read_bytes()


def read(path: Path, index: int = 0, **options: object) -> tuple[np.ndarray, DecodedTrack]:
    """Decode a whole track (C, T); also return the decoding, for its repairs."""
    media = probe(path)
    track = media.tracks[index]
    decoding = decode(path, media, track, **options)  # type: ignore[arg-type]
    empty = np.zeros((track.num_channels, 0), np.float32)
    return np.concatenate([empty, *decoding], axis=1), decoding
