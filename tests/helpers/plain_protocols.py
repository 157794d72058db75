"""Compute the figures of every protocol in plain numpy, from the files that its writer wrote."""

import csv
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fast_bss_eval
import librosa
import numpy as np
import soundfile
from pesq import pesq

from separator.api import Separator
from separator.audio.speech_metrics import score_speech

Heard = tuple[np.ndarray, np.ndarray, int, str, str]  # mixture, target, rate, query, class
PROMPTS = ("a photo of {}.", "a photo of the small {}.", "a photo of the small {}.",
           "a low resolution photo of a {}.", "a photo of many {}.")  # fmt: skip


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]


def list_lines(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def hear_numbered(name: str, query: int, kind: int | None, data: Path, lists: Path):
    for row in list_lines(lists / f"{name}_eval.csv")[1:]:
        sounds = (read(data / f"{part}-{row[0]}.wav") for part in ("mixture", "segment"))
        yield *sounds, 32_000, row[query], row[kind] if kind else ""


def hear_vggsound(data: Path, lists: Path) -> Iterator[Heard]:
    for row in list_lines(lists / "vggsound_eval.csv")[1:]:
        yield read(data / row[1]), read(data / row[2]), 32_000, row[3], row[3]


def hear_audioset(data: Path, lists: Path) -> Iterator[Heard]:
    names = {row[0]: row[2] for row in list_lines(lists / "class_labels_indices.csv")[1:]}
    for folder in sorted(data.iterdir()):
        kind = folder.name.removeprefix("class_id=")
        for path in sorted(folder.glob("*mixture.wav"))[:10]:
            target = read(path.with_name(path.name.replace("mixture", "source")))
            yield read(path), target, 32_000, names[kind], kind


def hear_dcase(data: Path, lists: Path) -> Iterator[Heard]:
    for source, noise, snr, caption in list_lines(lists / "lass_synthetic_validation.csv")[1:]:
        target, noise_T = (read(data / f"{name}.wav") for name in (source, noise))
        gain = np.sqrt(np.mean(target**2) / 10 ** (int(snr) / 10) / np.mean(noise_T**2))
        mixture = target + gain * noise_T
        peak = np.abs(mixture).max()
        factor = 0.9 / peak if peak > 1 else 1.0
        yield (mixture * factor).astype("f4"), (target * factor).astype("f4"), 16_000, caption, ""


def hear_clipsep(own: str, noises: str, data: Path, lists: Path) -> Iterator[Heard]:
    def take(row: list[str]) -> np.ndarray:
        sound = read(data / row[0])
        if len(sound) < 65_535:
            sound = np.tile(sound, int(65_535 / len(sound)) + 1)
        center = int((int(row[2]) // 2 - 0.5) * 16_000)
        out = np.zeros(65_535, np.float32)
        for i in range(65_534):
            if 0 <= center - 32_767 + i < len(sound):
                out[i] = sound[center - 32_767 + i]
        return out / 2

    drawn = list_lines(lists / noises)
    for i, row in enumerate(list_lines(lists / own)):
        random.seed(i)
        target = take(row)
        noise = take(drawn[random.randint(0, len(drawn) - 1)])
        yield target + noise, target, 16_000, row[3], row[3]


def hear_voicebank(data: Path, lists: Path) -> Iterator[Heard]:
    for path in sorted((data / "clean_testset_wav").iterdir()):
        pair = (read(data / "noisy_testset_wav" / path.name), read(path))
        mixture, target = (librosa.resample(x, orig_sr=48_000, target_sr=32_000) for x in pair)
        yield mixture, target, 32_000, "Speech", ""


HEARD = {
    "audiocaps": lambda d, n: hear_numbered("audiocaps", 1, None, d, n),
    "clotho": lambda d, n: hear_numbered("clotho", 1, None, d, n),
    "esc50": lambda d, n: hear_numbered("esc50", 1, 1, d, n),
    "music": lambda d, n: hear_numbered("music", 1, 1, d, n),
    "vggsound": hear_vggsound,
    "audioset": hear_audioset,
    "dcase2024-task9": hear_dcase,
    "clipsep-music": lambda d, n: hear_clipsep(
        "music-solo-test.csv", "vggsound-test-good-no-music.csv", d, n
    ),
    "clipsep-vggsound": lambda d, n: hear_clipsep(
        "vggsound-test-good.csv", "vggsound-test-no-music.csv", d, n
    ),
    "voicebank-demand": hear_voicebank,
}


def ratio_db(above: np.ndarray, below: np.ndarray) -> float:
    square = [max(float(np.mean(x.astype(np.float64) ** 2)), 1e-10) for x in (above, below)]
    return 10 * float(np.log10(square[0] / square[1]))


def compute_si_sdr(stem: np.ndarray, target: np.ndarray) -> float:
    """Of sums, with float32's epsilon in three places, as AudioSep's script has it."""
    target64, stem64, eps = target.astype(np.float64), stem.astype(np.float64), 2.0**-23
    scaled = target64 * (eps + target64 @ stem64) / (eps + target64 @ target64)
    rest = stem64 - scaled
    return 10 * float(np.log10((eps + scaled @ scaled) / (eps + rest @ rest)))


def compute_plain(stem: np.ndarray, target: np.ndarray, mixture: np.ndarray) -> dict[str, float]:
    sdr, si_sdr = ratio_db(target, target - stem), compute_si_sdr(stem, target)
    return {"SDR": sdr, "SDRi": sdr - ratio_db(target, target - mixture), "SI-SDR": si_sdr,
            "SI-SDRi": si_sdr - compute_si_sdr(mixture, target)}  # fmt: skip


def compute_bss(stem: np.ndarray, target: np.ndarray, mixture: np.ndarray) -> dict[str, float]:
    references = np.stack([target, mixture - target]).astype(np.float64)
    estimates = np.stack([stem, mixture - stem]).astype(np.float64)
    _, sir, sar = fast_bss_eval.bss_eval_sources(references, estimates, compute_permutation=False)
    return {"SIR": float(sir[0]), "SAR": float(sar[0])}


def compute_speech(stem: np.ndarray, target: np.ndarray, rate_hz: int) -> dict[str, float]:
    stem, target = (librosa.resample(x, orig_sr=rate_hz, target_sr=16_000) for x in (stem, target))
    mos = pesq(16_000, target, stem, "wb")
    scores = score_speech(stem, target, 16_000, mos)
    return {"PESQ": mos, "CSIG": scores.csig, "CBAK": scores.cbak, "COVL": scores.covl,
            "SSNR": scores.ssnr_db, "SI-SDR": compute_si_sdr(stem, target)}  # fmt: skip


def average(name: str, per_kind: dict[str, list[float]]) -> float:
    if name == "audioset":
        return float(np.mean([np.median(values) for values in per_kind.values()]))
    if name == "music":
        return float(np.mean([np.mean(values) for values in per_kind.values()]))
    return float(np.mean([value for values in per_kind.values() for value in values]))


def find_condition(name: str, model: Separator, query: str) -> np.ndarray:
    """Encode a text as the protocol says: CLIPSep takes the mean of five prompts."""
    encode = model.load_encoder().encode_texts
    if not name.startswith("clipsep"):
        return encode([query])[0]
    condition = np.mean([encode([prompt.format(query)])[0] for prompt in PROMPTS], axis=0)
    return condition / np.linalg.norm(condition)


def compute_expected(
    name: str, model: Separator, data: Path, lists: Path, sound: Path | None = None
) -> dict[str, float]:
    """Return the table's figures by name; `sound` is asked for instead of the texts."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for mixture, target, rate_hz, query, kind in HEARD[name](data, lists):
        asked: Any = {"name": "sound", "audio": str(sound)}
        condition = model.encode([asked])[0] if sound else find_condition(name, model, query)
        stem = model.separate(mixture[None], rate_hz, conditions=condition[None])[0, 0]
        figures = compute_plain(stem, target, mixture)
        if name.startswith("clipsep"):
            figures |= compute_bss(stem, target, mixture)
        if name == "voicebank-demand":
            figures |= compute_speech(stem, target, rate_hz)
        for figure, value in figures.items():
            found[figure][kind].append(value)
    return {figure: average(name, per_kind) for figure, per_kind in found.items()}
