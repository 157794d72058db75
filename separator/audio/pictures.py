"""Draw sound: spectrograms as PNG, and the peaks of a waveform. Pure functions on arrays.

Every picture of a sound in this project comes from here. Shapes: C channels, T samples, F bins,
W columns, H rows of the picture.
"""

import struct
import zlib

import numpy as np

LOWEST_HZ, HIGHEST_HZ = 40.0, 16_000.0  # of the picture
FRAME_S = 0.05
RANGE_DB = 80.0  # from the darkest to the brightest color
# From silence to the loudest point; colors between them are mixed.
COLORS = ((10, 14, 34), (34, 44, 110), (20, 128, 142), (238, 174, 66), (255, 246, 218))
NUM_COLORS = 64
MIN_POWER = 1e-20


def draw_spectrogram(
    waveform_CT: np.ndarray,
    rate_hz: int,
    width: int = 640,
    height: int = 96,
    loudest_db: float | None = None,
) -> bytes:
    """Draw the mean of all channels as a PNG: time to the right, mel up, 80 dB of range.

    `loudest_db`: the level of the brightest color; by default the loudest point of this sound.
    Sounds that are compared need the same one, see `measure_loudest`.
    """
    levels_HW = measure_levels(waveform_CT, rate_hz, width, height)
    top_db = float(levels_HW.max()) if loudest_db is None else loudest_db
    shares_HW = np.clip((levels_HW - top_db) / RANGE_DB + 1.0, 0.0, 1.0)
    return pack_png(np.round(shares_HW * (NUM_COLORS - 1)).astype(np.uint8), make_palette())


def measure_loudest(waveform_CT: np.ndarray, rate_hz: int) -> float:
    """Measure the level of the loudest point of a sound's spectrogram, in dB."""
    return float(measure_levels(waveform_CT, rate_hz, 640, 96).max())


def measure_levels(waveform_CT: np.ndarray, rate_hz: int, width: int, height: int) -> np.ndarray:
    """Measure the level in dB of each point of the picture (H, W), the lowest pitch last."""
    mono_T = waveform_CT.mean(0, dtype=np.float32)
    size = 1 << max(6, round(np.log2(rate_hz * FRAME_S)))
    padded_T = np.pad(mono_T, size)
    starts_W = ((np.arange(width) + 0.5) * len(mono_T) / width).astype(np.int64) + size // 2
    frames_WT = np.lib.stride_tricks.sliding_window_view(padded_T, size)[starts_W]
    window_T = np.hanning(size).astype(np.float32)
    power_WF = np.abs(np.fft.rfft(frames_WT * window_T, axis=1)) ** 2 / window_T.sum() ** 2
    bands_HW = make_bands(rate_hz, size, height) @ power_WF.T
    return 10 * np.log10(np.maximum(bands_HW[::-1], MIN_POWER))


def make_bands(rate_hz: int, size: int, height: int) -> np.ndarray:
    """Make triangles on the mel scale (H, F), the lowest first; each is two bins wide at least."""
    highest_hz = min(HIGHEST_HZ, rate_hz / 2)
    mels = np.linspace(_to_mel(min(LOWEST_HZ, highest_hz / 2)), _to_mel(highest_hz), height + 2)
    centres = _to_hz(mels) * size / rate_hz  # in bins
    middle = centres[1:-1, None]
    below = np.maximum(middle - centres[:-2, None], 1.0)
    above = np.maximum(centres[2:, None] - middle, 1.0)
    bins_F = np.arange(size // 2 + 1)
    rising, falling = (bins_F - middle) / below + 1, (middle - bins_F) / above + 1
    return np.clip(np.minimum(rising, falling), 0.0, None)


def _to_mel(hz: float | np.ndarray) -> np.ndarray:
    return 2595 * np.log10(1 + np.asarray(hz) / 700)


def _to_hz(mels: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mels / 2595) - 1)


def make_palette() -> np.ndarray:
    """Make the colors (NUM_COLORS, 3) from silence to the loudest point."""
    at = np.linspace(0, len(COLORS) - 1, NUM_COLORS)
    known = np.array(COLORS, float)
    mixed = [np.interp(at, np.arange(len(COLORS)), known[:, each]) for each in range(3)]
    return np.round(np.stack(mixed, 1)).astype(np.uint8)


def pack_png(pixels_HW: np.ndarray, palette: np.ndarray) -> bytes:
    """Write numbers of colors (H, W) as a PNG with a palette; equal pixels give equal bytes."""
    height, width = pixels_HW.shape
    rows = np.pad(pixels_HW.astype(np.uint8), ((0, 0), (1, 0)))  # a row begins with filter 0: none
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    body = zlib.compress(rows.tobytes(), 9)
    chunks = [(b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_pack_chunk(*chunk) for chunk in chunks)


def _pack_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def measure_peaks(waveform_CT: np.ndarray, num_columns: int) -> np.ndarray:
    """Measure the largest sample (any sign and channel) in each of `num_columns` stretches."""
    peaks_T = np.abs(waveform_CT).max(0) if waveform_CT.size else np.zeros(0, np.float32)
    if not len(peaks_T):
        return np.zeros(num_columns, np.float32)
    starts = (np.arange(num_columns) * len(peaks_T)) // num_columns
    return np.maximum.reduceat(peaks_T, starts)
