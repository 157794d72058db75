"""Encode blocks of samples into an audio file: wav, flac, ogg (opus), mp3, m4a (aac).

Samples of integer formats (wav, flac) are rounded here and passed to the encoder as integers, so
every bit of them is known. Our own samples can be trusted, so they are encoded in this process,
unlike files that are decoded. Shapes: C channels, T samples.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from separator.audio.format import AudioFormat
from separator.errors import ClippedError, EncoderFailed
from separator.media.encode_settings import EncodeSettings, Tags
from separator.media.formats import FORMATS
from separator.media.limits import Limits, show_name
from separator.media.quantise import find_peak, full_scale, quantise
from separator.media.writer import Writer, explain

SPOOL_SAMPLES = 1 << 16


@dataclass(frozen=True)
class EncodeReport:
    num_samples: int
    num_clipped: int
    gain: float
    peak: float  # before the gain


def encode(
    blocks: Iterable[np.ndarray],
    path: Path,
    audio_format: AudioFormat,
    *,
    settings: EncodeSettings | None = None,
    tags: Tags | None = None,
    peak: float | None = None,
    limits: Limits | None = None,
) -> EncodeReport:
    """Write blocks (C, T) to `path`; the same input gives the same bytes.

    `clip=scale` needs the track's `peak`: unless it is given, the blocks are first spooled to an
    unnamed file beside `path`: 4 bytes a sample of disk, one block of memory. A failure leaves no
    file.
    """
    settings, limits = settings or EncodeSettings(), limits or Limits()
    writer = Writer(path, audio_format, settings, tags or Tags(), limits.max_file_bytes)
    meter = _Meter(settings, audio_format.num_channels)
    blocks = meter.watch(blocks)
    if settings.clip != "scale":
        return _write(blocks, path, writer, meter, 1.0)
    if peak is not None:
        gain = _choose_gain(settings, peak)
        return _write(blocks, path, writer, meter, gain)
    with explain(path):
        file = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115
    with file:
        for block_CT in blocks:
            _spool(file, path, block_CT)
        gain = _choose_gain(settings, meter.peak)
        spooled = _read_spool(file, audio_format.num_channels)
        return _write(spooled, path, writer, meter, gain)


def _write(
    blocks: Iterable[np.ndarray], path: Path, writer: Writer, meter: "_Meter", gain: float
) -> EncodeReport:
    """Encode the blocks, times `gain`."""
    settings = meter.settings
    try:
        with writer:
            for samples_TC, num_clipped in _render(blocks, settings, gain):
                meter.count_clipped(path, num_clipped)
                writer.add(samples_TC)
            if not meter.num_samples and not FORMATS[settings.format].bit_depths:
                raise EncoderFailed(f"{show_name(path)}: {settings.format} cannot hold 0 samples")
            writer.finish()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return EncodeReport(meter.num_samples, meter.num_clipped, gain, meter.peak)


def _render(
    blocks: Iterable[np.ndarray], settings: EncodeSettings, gain: float
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield (samples (T, C) for the encoder, number of samples clipped) for each block."""
    bits = settings.integer_bits
    if bits is not None:
        for samples_TC, num_clipped in quantise(blocks, bits, gain, settings.dither):
            yield samples_TC.astype("<i2") if bits == 16 else samples_TC << 8, num_clipped
        return
    for block_CT in blocks:
        samples_TC = block_CT.T.astype("<f4", order="C")
        num_clipped = 0
        if gain != 1.0:
            samples_TC = samples_TC * np.float32(gain)
        if not FORMATS[settings.format].bit_depths:  # a float wav holds any value
            num_clipped = int(np.count_nonzero(np.abs(samples_TC) > 1.0))
            samples_TC = np.clip(samples_TC, -1.0, 1.0)
        yield samples_TC, num_clipped


def _choose_gain(settings: EncodeSettings, peak: float) -> float:
    most = full_scale(settings.integer_bits, settings.dither)
    return most / peak if peak > most else 1.0


def _spool(file: IO[bytes], path: Path, block_CT: np.ndarray) -> None:
    with explain(path):
        file.write(block_CT.T.astype("<f4").tobytes())
        file.flush()


def _read_spool(file: IO[bytes], num_channels: int) -> Iterator[np.ndarray]:
    file.seek(0)
    while data := file.read(4 * num_channels * SPOOL_SAMPLES):
        yield np.frombuffer(data, "<f4").reshape(-1, num_channels).T


class _Meter:
    """Count the incoming and the clipped samples, and find the peak before any gain."""

    def __init__(self, settings: EncodeSettings, num_channels: int) -> None:
        self.settings = settings
        self.num_channels = num_channels
        self.num_samples = self.num_clipped = 0
        self.peak = 0.0

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block_CT in blocks:
            assert block_CT.ndim == 2 and len(block_CT) == self.num_channels, block_CT.shape
            self.num_samples += block_CT.shape[1]
            self.peak = max(self.peak, find_peak(block_CT))
            yield block_CT

    def count_clipped(self, path: Path, num_clipped: int) -> None:
        self.num_clipped += num_clipped
        if num_clipped and self.settings.clip == "error":
            raise ClippedError(
                f"{show_name(path)}: {num_clipped} samples over full scale within the first"
                f" {self.num_samples} (peak {self.peak:.4f}); set clip to scale or clip"
            )
