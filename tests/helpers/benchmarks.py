"""Make small data in the benchmarks' official layouts, small models, and models that know more."""

from pathlib import Path

import numpy as np
import soundfile
from torch import Tensor

from separator.evaluation.by_examples import measure_stems
from separator.evaluation.musdb_songs import MIXTURE, STEMS, STREAMS
from tests.helpers.golden_zs import (
    make_small_detector,
    make_small_unet,
    write_detector,
    write_official,
)
from tests.helpers.media_files import start

HZ = 44_100
LABELS = {"/m/cat": (81, "Cat"), "/m/clap": (63, "Clapping"), "/m/speech": (0, "Speech")}


def make_song(seed: int, seconds: float, rate_hz: int = HZ) -> dict[str, np.ndarray]:
    """Make four stems (2, T) of different pitch, and their sum."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    sounds = {}
    for number, stem in enumerate(STEMS, start=1):
        tone = np.sin(2 * np.pi * 200 * number**2 * (1 + 0.1 * rng.random()) * t)
        noise = 0.1 * rng.standard_normal((2, len(t)))
        sounds[stem] = (0.1 * (tone + noise) * [[1.0], [rng.random()]]).astype(np.float32)
    return {MIXTURE: sum(sounds.values()), **sounds}  # pyright: ignore


def write_song(folder: Path, sounds: dict[str, np.ndarray], rate_hz: int = HZ) -> Path:
    """Write a song as MUSDB18-HQ does."""
    folder.mkdir(parents=True)
    for part, sound_CT in sounds.items():
        soundfile.write(folder / f"{part}.wav", sound_CT.T, rate_hz, "PCM_16")
    return folder


def write_stem_file(path: Path, folder: Path, parts: tuple[str, ...] = STREAMS) -> Path:
    """Write a song's wav files as streams of one file, as MUSDB18 does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    inputs = [word for part in parts for word in ("-i", folder / f"{part}.wav")]
    maps = [word for i in range(len(parts)) for word in ("-map", f"{i}:a")]
    start(*inputs, *maps, "-c:a", "aac", "-b:a", "256k", path)
    return path


def decode_stream(path: Path, index: int) -> np.ndarray:
    """Decode one audio stream (2, T) by ffmpeg alone."""
    out = start("-i", path, "-map", f"0:a:{index}", "-f", "f32le", "-")
    return np.frombuffer(out, "<f4").reshape(-1, 2).T


def write_musdb(folder: Path, num_train: int, num_test: int, seconds: float = 4.5) -> Path:
    """Write a data set in the layout of MUSDB18-HQ."""
    for subset, count in (("train", num_train), ("test", num_test)):
        for number in range(count):
            song = make_song(10 * number + (subset == "test"), seconds)
            write_song(folder / subset / f"Band {number} - Song", song)
    return folder


def write_audioset(folder: Path, per_class: int = 2) -> Path:
    """Write sounds of three classes, AudioSet's list of them and of one that is gone, and its list
    of classes."""
    rng = np.random.default_rng(0)
    lines = ["# Segments csv created Sun Mar  5 10:54:31 2017", "# YTID, start_seconds, ..."]
    folder.mkdir(parents=True)
    for number in range(per_class * len(LABELS)):
        video = f"id_-{number:07}"
        label = list(LABELS)[number % len(LABELS)]
        name = f"Y{video}.wav" if number % 2 else f"{video}_30.000.flac"
        soundfile.write(folder / name, 0.1 * rng.standard_normal(9 * 32_000), 32_000)
        lines.append(f'{video}, 30.000, 40.000, "{label},/m/speech"')
    lines.append('gone1234567, 0.000, 10.000, "/m/cat"')
    (folder / "eval_segments.csv").write_text("\n".join(lines) + "\n")
    classes = [f'{index},{mid},"{name}"' for mid, (index, name) in LABELS.items()]
    table = "\n".join(["index,mid,display_name", *classes])
    (folder / "class_labels_indices.csv").write_text(table + "\n")
    return folder / "eval_segments.csv"


def write_models(folder: Path, seeds: tuple[int, ...] = (0,)) -> tuple[list[Path], Path]:
    """Write small separators with random weights, and the detector that goes with them."""
    detector = write_detector(folder / "detector.ckpt", make_small_detector())
    models = []
    for seed in seeds:
        state = make_small_unet(seed=seed).state_dict()
        models.append(write_official(folder / f"model{seed}.ckpt", state))
    return models, detector


class Scaled:
    """A model that returns what it hears, times a factor."""

    has_unit_length = False

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = np.float32(factor)

    def embed(self, pieces_BT: Tensor) -> np.ndarray:
        return np.zeros((len(pieces_BT), 1))

    def separate(
        self, waveform_CT: np.ndarray, rate_hz: int, conditions_QD: np.ndarray
    ) -> np.ndarray:
        return np.stack([self.factor * waveform_CT] * len(conditions_QD))

    def estimate_magnitudes(self, pieces_PT: np.ndarray, conditions_QD: np.ndarray) -> np.ndarray:
        return measure_stems(self, pieces_PT, conditions_QD)


class Knowing(Scaled):
    """A model that knows the stems of each mixture it will hear; conditions are ignored."""

    def __init__(self, known: list[tuple[np.ndarray, np.ndarray]], factor: float = 1.0) -> None:
        """`known`: pairs of a waveform (C, T) and its stems (Q, C, T)."""
        super().__init__(factor)
        self.known = {waveform_CT.tobytes(): stems_QCT for waveform_CT, stems_QCT in known}

    def separate(
        self, waveform_CT: np.ndarray, rate_hz: int, conditions_QD: np.ndarray
    ) -> np.ndarray:
        stems_QCT = self.known[waveform_CT.tobytes()]
        assert len(stems_QCT) == len(conditions_QD)
        return self.factor * stems_QCT
