"""Check stored sounds; cut and add them, sample by sample and without loss."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from separator.errors import OutputDamaged, RequestError

LOSSLESS = ("FLAC", "WAV", "WAVEX", "RF64", "W64")
COUNT_AHEAD = ("FLAC", "MP3")  # headers count samples even if the file was cut off
FLOATS: dict[str, Any] = {"FLOAT": "float32", "DOUBLE": "float64"}  # lossless NumPy types
BLOCK_SAMPLES = 1 << 18
INT32 = np.iinfo(np.int32)

# Rows with local copies of their sounds; the next row overwrites the copies.
Samples = Iterator[tuple[dict[str, Any], dict[str, Path]]]


def check_sound(path: Path, row: dict[str, Any]) -> None:
    """Raise OutputDamaged if a sound is empty, or ends before its row says.

    A format that soundfile cannot read (m4a) is only checked for being empty.
    """
    damaged = f"{row['stem_uri']}: is empty, or ends early"
    if not path.stat().st_size:
        raise OutputDamaged(damaged)
    if path.suffix[1:].upper() not in soundfile.available_formats():
        return
    stop_s = row["duration_s"] if row["cut_stop_s"] is None else row["cut_stop_s"]
    try:
        with soundfile.SoundFile(path) as file:
            last = math.floor(stop_s * file.samplerate) - 1
            is_there = last < file.frames
            if is_there and last >= 0 and file.format in COUNT_AHEAD:
                file.seek(last)
                is_there = len(file.read(1)) == 1
    except soundfile.SoundFileError as error:
        raise OutputDamaged(f"{row['stem_uri']}: {error}") from None
    if not is_there:
        raise OutputDamaged(damaged)


def cut_sound(path: Path, row: dict[str, Any]) -> None:
    """Cut a sound to the stretch that its row names; samples keep their stored type."""
    if row["cut_start_s"] is None:
        return
    start = round(row["cut_start_s"] * row["rate_hz"])
    try:
        with soundfile.SoundFile(path) as file:
            check_lossless(file, row, "cut", "input.cut")
            about = {"samplerate": file.samplerate, "format": file.format, "subtype": file.subtype}
            file.seek(min(start, file.frames))
            samples = file.read(row["num_samples"], FLOATS.get(file.subtype, "int32"))
    except soundfile.SoundFileError as error:
        raise OutputDamaged(f"{row['stem_uri']}: {error}") from None
    soundfile.write(path, samples, **about)


def add_sounds(stem_path: Path, residual_path: Path, path: Path, row: dict[str, Any]) -> bool:
    """Write the mixture, which is a stem plus its residual; samples keep their stored type.

    Only a few blocks are in memory, however long the sounds are. Return False if the mixture is
    over full scale, which integers cannot hold.
    """
    try:
        with soundfile.SoundFile(stem_path) as stem, soundfile.SoundFile(residual_path) as residual:
            check_lossless(stem, row, "added to its residual", "output.residual")
            check_lossless(residual, row, "added to its stem", "output.residual")
            shapes = [(each.samplerate, each.channels, each.frames) for each in (stem, residual)]
            if shapes[0] != shapes[1]:
                raise OutputDamaged(f"{row['residual_uri']}: is not as long as its stem")
            about = {"format": stem.format, "subtype": stem.subtype, "channels": stem.channels}
            kind = FLOATS.get(stem.subtype, "int32")
            with soundfile.SoundFile(path, "w", samplerate=stem.samplerate, **about) as mixture:
                while len(stem_TC := stem.read(BLOCK_SAMPLES, kind, always_2d=True)):
                    residual_TC = residual.read(BLOCK_SAMPLES, kind, always_2d=True)
                    if (total_TC := add(stem_TC, residual_TC)) is None:
                        return False
                    mixture.write(total_TC)
    except soundfile.SoundFileError as error:
        raise OutputDamaged(f"{row['stem_uri']}: {error}") from None
    return True


def add(stem_TC: np.ndarray, residual_TC: np.ndarray) -> np.ndarray | None:
    """Add samples; return None if integers overflow."""
    if stem_TC.dtype != np.int32:
        return stem_TC + residual_TC
    total_TC = stem_TC.astype(np.int64) + residual_TC
    fits = total_TC.min(initial=0) >= INT32.min and total_TC.max(initial=0) <= INT32.max
    return total_TC.astype(np.int32) if fits else None


def check_lossless(file: soundfile.SoundFile, row: dict[str, Any], action: str, key: str) -> None:
    if file.format not in LOSSLESS:
        raise RequestError(
            f"{row['stem_uri']}: {file.format} cannot be {action} without loss; {key} is for flac"
            " and wav"
        )
