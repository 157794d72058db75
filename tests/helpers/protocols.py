"""Make small data sets in the official layouts of the protocols."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs/eval"
HZ = 32_000
SHORT = 0.4  # seconds of a sound


def make_tone(seed: int, rate_hz: int = HZ, seconds: float = SHORT) -> np.ndarray:
    """Make a tone with noise (T,)."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    tone = np.sin(2 * np.pi * rng.uniform(200, 3_000) * t)
    return (0.1 * tone + 0.02 * rng.standard_normal(len(t))).astype(np.float32)


def write_sound(path: Path, sound_T: np.ndarray, rate_hz: int = HZ) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound_T, rate_hz, "PCM_16")


def write_csv(path: Path, rows: list[list[Any]], end: str = "\r\n", before: str = ",") -> Path:
    """Write a list with the ends of lines of the official ones; `before`: what parts the names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    out = io.StringIO(newline="")
    out.write(before.join(map(str, rows[0])) + end)
    csv.writer(out, lineterminator=end).writerows(rows[1:])
    path.write_bytes(out.getvalue().encode())
    return path


def write_pairs(folder: Path, count: int) -> None:
    """Write segment-{i}.wav and mixture-{i}.wav; the last mixes a sound with itself."""
    for i in range(count):
        target_T = make_tone(2 * i)
        other_T = target_T if i == count - 1 else make_tone(2 * i + 1)
        write_sound(folder / f"segment-{i}.wav", target_T)
        write_sound(folder / f"mixture-{i}.wav", target_T + other_T)


def write_audiocaps(folder: Path, lists: Path) -> None:
    write_pairs(folder, 3)
    rows = [
        ["idx", "caption", "labels", "src_wav", "noise_wav"],
        [0, "Rain falls, then a siren", 'Rain Siren "x"', "Ya.wav", "Yb.wav"],
        [1, "A dog barks ", "Dog", "Yc.wav", "Yd.wav"],
        [2, "A dog barks ", "Dog", "Ye.wav", "Ye.wav"],
    ]
    write_csv(lists / "audiocaps_eval.csv", rows)


def write_clotho(folder: Path, lists: Path) -> None:
    write_pairs(folder, 2)
    rows = [
        ["idx", "caption", "src_wav", "noise_wav1", "noise_wav1"],
        [0, "Water runs.", "a.wav", "b, c.wav", "d.wav"],
        [1, "Wind blows. ", "e.wav", "e.wav", "f.wav"],
    ]
    write_csv(lists / "clotho_eval.csv", rows)


def write_esc50(folder: Path, lists: Path) -> None:
    write_pairs(folder, 3)
    rows = [["idx", "caption", "src_wav", "noise_wav"],
            *([i, caption, f"{i}.wav", "n.wav"]
              for i, caption in enumerate(("dog", "chirping birds", "dog")))]  # fmt: skip
    write_csv(lists / "esc50_eval.csv", rows)


def write_music(folder: Path, lists: Path) -> None:
    write_pairs(folder, 3)
    rows = [
        ["idx", "caption", "src_wav", "noise_wav"],
        *([i, caption, f"{i}.wav", "n.wav"] for i, caption in enumerate(("tuba", "flute", "tuba"))),
    ]
    write_csv(lists / "music_eval.csv", rows)


def write_vggsound(folder: Path, lists: Path) -> None:
    rows: list[list[Any]] = [["file_id", "mix_wav", "s0_wav", "s0_text", "s1_wav", "s1_text"]]
    for i, text in enumerate(("playing tuba", "dog, barking")):
        name = f"-a{i}_000030+++b{i}_000001.wav"
        target_T = make_tone(i)
        write_sound(folder / f"data/s0_wav/{name}", target_T)
        write_sound(folder / f"data/mix_wav/{name}", target_T + make_tone(50 + i))
        rows.append([name[:-4], f"data/mix_wav/{name}", f"data/s0_wav/{name}", text,
                     f"data/s1_wav/{name}", text])  # fmt: skip
    write_csv(lists / "vggsound_eval.csv", rows, end="\n")


def write_audioset(folder: Path, lists: Path) -> None:
    """Write two classes, one of them with twelve mixtures, of which ten count."""
    for kind, count in ((0, 2), (1, 12)):
        for i in range(count):
            target_T = make_tone(100 * kind + i)
            name = f"class_id={kind}/class_id={kind},index={i:03}"
            write_sound(folder / f"{name},source.wav", target_T)
            write_sound(folder / f"{name},mixture.wav", target_T + make_tone(500 + 20 * kind + i))
    rows = [
        ["index", "mid", "display_name"],
        [0, "/m/a", "Speech"],
        [1, "/m/b", "Male speech, man speaking"],
    ]
    write_csv(lists / "class_labels_indices.csv", rows, end="\n")


def write_dcase(folder: Path, lists: Path) -> None:
    for i in range(3):
        write_sound(folder / f"{i}_12-hq.wav", 5 * make_tone(i, 16_000), 16_000)
    rows = [
        ["source", "noise", "snr", "caption"],
        ["0_12-hq", "1_12-hq", -15, "A bell, far away "],
        ["1_12-hq", "2_12-hq", 9, "Rain"],
        ["2_12-hq", "2_12-hq", 0, "Wind"],
    ]
    write_csv(lists / "lass_synthetic_validation.csv", rows, before=", ")


def write_voicebank(folder: Path, lists: Path) -> None:
    with np.load(ROOT / "tests/data/golden/speech_signals.npz") as data:
        clean_T, noisy_T = data["clean"], data["noisy"]
    for i, name in enumerate(("p232_001.wav", "p257_010.wav")):
        part = slice(16_000 * i, 16_000 * i + 32_000)
        for kind, sound_T in (("clean", clean_T), ("noisy", noisy_T)):
            tripled_T = np.repeat(sound_T[part], 3)
            write_sound(folder / f"{kind}_testset_wav/{name}", tripled_T, 48_000)


def write_clipsep(folder: Path, lists: Path, own: str, noises: str) -> None:
    """Write the two lists without names of columns; one sound is too short and one long."""
    for name, count, seed in ((own, 2, 0), (noises, 3, 50)):
        lines = []
        for i in range(count):
            audio = f"data/set/audio/{name[:4]}{seed + i}.wav"
            write_sound(folder / audio, make_tone(seed + i, 16_000, (1.5, 9.0, 4.0)[i]), 16_000)
            lines.append(f"{audio},data/set/frames/{i},{(2, 9, 5)[i]},acoustic_guitar\n")
        lists.mkdir(parents=True, exist_ok=True)
        (lists / name).write_text("".join(lines))


def write_clipsep_music(folder: Path, lists: Path) -> None:
    write_clipsep(folder, lists, "music-solo-test.csv", "vggsound-test-good-no-music.csv")


def write_clipsep_vggsound(folder: Path, lists: Path) -> None:
    write_clipsep(folder, lists, "vggsound-test-good.csv", "vggsound-test-no-music.csv")


WRITERS = {
    "audiocaps": write_audiocaps,
    "audioset": write_audioset,
    "clipsep-music": write_clipsep_music,
    "clipsep-vggsound": write_clipsep_vggsound,
    "clotho": write_clotho,
    "dcase2024-task9": write_dcase,
    "esc50": write_esc50,
    "music": write_music,
    "vggsound": write_vggsound,
    "voicebank-demand": write_voicebank,
}
