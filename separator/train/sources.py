"""Lists of captioned sounds, in whatever form they come, and stretches of their audio.

Shapes: T samples.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from separator.audio.resample import resample
from separator.errors import AudioError, RequestError

AUDIO_KEYS = ("wav", "audio", "stem_uri", "uri")
CAPTION_KEYS = ("captions", "caption", "query_text", "text")


@dataclass(frozen=True)
class Source:
    """One sound. Those of one `group` are never mixed; `kind` balances how often each is drawn.

    `paraphrases` are for evaluation only.
    """

    path: str
    captions: tuple[str, ...]
    kind: str = ""
    group: str = ""
    paraphrases: tuple[str, ...] = ()


def read_lists(paths: list[str]) -> list[Source]:
    """All usable rows; those that a job recorded as failed are left out."""
    sources = [source for path in paths for source in read_list(Path(path))]
    if not sources:
        raise RequestError(f"data.lists={paths}: no sound in them")
    return sources


def read_list(path: Path) -> list[Source]:
    try:
        rows = _read_rows(path)
    except (OSError, ValueError) as error:
        raise RequestError(f"{path}: {error}") from None
    return [_make_source(path, i, row) for i, row in enumerate(rows) if _is_usable(row)]


def _read_rows(path: Path) -> list[dict]:
    if path.is_dir() or path.suffix == ".parquet":
        import pyarrow.dataset  # imported here: it costs 0.2 s

        return pyarrow.dataset.dataset(path, format="parquet").to_table().to_pylist()
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        if isinstance(content, dict) and isinstance(content.get("data"), list):
            return content["data"]
        raise ValueError('must hold {"data": [{"wav": ..., "caption": ...}, ...]}')
    raise ValueError("must end in .json, .jsonl, .csv or .parquet, or be a folder of .parquet")


def _is_usable(row: dict) -> bool:
    return row.get("status", "ok") == "ok"


def _make_source(path: Path, number: int, row: dict) -> Source:
    audio = next((row[key] for key in AUDIO_KEYS if row.get(key)), None)
    captions = next((row[key] for key in CAPTION_KEYS if row.get(key)), None)
    if audio is None or captions is None:
        raise RequestError(
            f"{path}: row {number} holds {sorted(row)}: needed are one of {AUDIO_KEYS} "
            f"and one of {CAPTION_KEYS}"
        )
    audio = str(audio).removeprefix("file://")
    if "://" in audio:
        raise RequestError(f"{path}: row {number}: {audio}: only local files are read")
    captions = (captions,) if isinstance(captions, str) else tuple(captions)
    kind = str(row.get("kind") or captions[0])
    group, paraphrases = str(row.get("group") or kind), tuple(row.get("paraphrases") or ())
    return Source(str(path.parent / audio), captions, kind, group, paraphrases)


def read_stretch(path: str, num_samples: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A random stretch of a file (T,), mono float32; a shorter file lies at a random place."""
    import soundfile  # imported here: only workers read

    try:
        with soundfile.SoundFile(path) as file:
            wanted = -(-num_samples * file.samplerate // rate_hz)
            file.seek(int(rng.integers(max(1, file.frames - wanted + 1))))
            data, from_hz = file.read(wanted, dtype="float32", always_2d=True), file.samplerate
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path}: {error}") from None
    mono_T = _bring_to(data, from_hz, rate_hz, path)[:num_samples]
    before = int(rng.integers(num_samples - len(mono_T) + 1))
    return np.pad(mono_T, (before, num_samples - len(mono_T) - before))


def read_whole(path: str, rate_hz: int) -> np.ndarray:
    """All of a file (T,), mono float32."""
    import soundfile

    try:
        data, from_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path}: {error}") from None
    return _bring_to(data, from_hz, rate_hz, path)


def _bring_to(data: np.ndarray, from_hz: int, rate_hz: int, path: str) -> np.ndarray:
    if not len(data) or not np.isfinite(data).all():
        raise AudioError(f"{path}: {'no samples' if not len(data) else 'NaN or infinity'} in it")
    mono_T = data.mean(1)
    if from_hz == rate_hz:
        return mono_T
    return resample(torch.from_numpy(mono_T)[None], from_hz, rate_hz)[0].numpy()
