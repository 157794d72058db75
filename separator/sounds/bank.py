"""Build and read a bank: a folder of rendered speech and music from which takes are cut.

`build_bank` needs espeak-ng and fluidsynth; a take starts no program. The folder holds `bank.json`
and one file of 16-bit samples for each voice or instrument.

Shapes: T samples.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cache
from math import ceil
from pathlib import Path
from zlib import crc32

import numpy as np
from scipy.signal import resample_poly

from separator.errors import RequestError
from separator.sounds.captions import write_text
from separator.sounds.primitives import band, wander
from separator.sounds.programs import PERCUSSION_BANK, list_presets, list_soundfonts, play, speak
from separator.sounds.scores import Note, Range, compose, compose_drums, write_midi
from separator.sounds.take import Take

FOLDER_VARIABLE = "SEPARATOR_SOUND_BANK"
INDEX = "bank.json"
RATE_HZ = 32_000
RMS = 0.08
SPEED_CHANGE = 0.06
GAIN_DB = 3.0
# Share of the file's RMS: a quieter stretch is a pause, and another one is drawn.
AUDIBLE = 0.2

# espeak-ng voices, language+variant; training and held-out voices share no language or variant.
# en-gb and fr-fr are left out: espeak-ng ignores the variant after these names.
TRAIN_MEN = """en-us+m1 en-us+m3 en-us+Michael en-us+adam en+m4 en+john en-gb-scotland+m2
    en-gb-x-rp+m7 de+m3 de+robert fr+m1 es+m4 es-419+Henrique it+m6 pt+m2 pt-br+m5 nl+m7 pl+m6
    sv+quincy ru+m5"""
TRAIN_WOMEN = """en-us+f1 en-us+f3 en-us+steph en-us+Annie en+f4 en+linda en-gb-scotland+f2
    en-gb-x-rp+f5 de+f1 de+anika fr+f3 es+f4 es-419+linda it+f2 pt+f5 pt-br+f1 nl+f3 pl+f4
    sv+steph ru+f2"""
HELD_OUT_MEN = "fi+m8 tr+Mike cs+travis el+Diogo hu+Storm"
HELD_OUT_WOMEN = "fi+Andrea tr+belinda cs+Alicia el+grandma hu+shelby"

SOLO = ("melody",)
ANY = ("melody", "chords", "arpeggio", "both")
SLOW = ("melody", "lines")
# Class -> General MIDI programs for training, held-out programs, and the register of the notes.
INSTRUMENTS: dict[str, tuple[tuple[int, ...], tuple[int, ...], Range]] = {
    "piano": ((0, 2, 3, 4), (1, 5), Range(33, 96, ANY)),
    "guitar": ((24, 25, 27), (26, 28), Range(40, 81, ANY)),
    "strings": ((40, 42, 48, 49), (41, 44), Range(45, 88, SLOW)),
    "flute": ((72, 73, 74, 79), (75,), Range(62, 94, SOLO)),
    "trumpet": ((56, 57, 59), (61,), Range(53, 82, SOLO)),
    "organ": ((16, 18, 19), (17, 20), Range(36, 88, (*ANY, "lines"))),
}
TRAIN_KITS, HELD_OUT_KITS = (0, 8, 24, 25, 32), (16, 40)


@dataclass(frozen=True)
class BankFile:
    """A file of a bank: one voice, or one program of a soundfont."""

    class_name: str
    voice: str
    held_out: bool

    @property
    def file(self) -> str:
        return f"{self.class_name}-{self.voice.replace('/', '-')}.npy"


@dataclass(frozen=True)
class Bank:
    """The parts of a folder and their samples, mapped into memory: only cut stretches are read."""

    samples: dict[BankFile, np.ndarray]

    def find_parts(self, class_names: Sequence[str], held_out: bool) -> list[BankFile]:
        return [
            part
            for part in self.samples
            if part.class_name in class_names and part.held_out == held_out
        ]

    def cut(self, take: Take, *class_names: str, num_voices: int = 1) -> np.ndarray:
        """Sum stretches of random voices (T,), a little faster or slower, with a moving gain."""
        parts = self.find_parts(class_names, take.held_out)
        if not parts:
            side = "held-out" if take.held_out else "training"
            names = " or ".join(class_names)
            raise RequestError(
                f"the bank has no {side} part of {names}: render it with `separator sounds --bank`"
            )
        speed = take.uniform(1 - SPEED_CHANGE, 1 + SPEED_CHANGE)
        # A coarse fraction keeps the resampling filter short; the speed is random anyway.
        ratio = Fraction(speed * RATE_HZ / take.rate_hz).limit_denominator(160)
        length = ceil(take.num_samples * ratio) + 1
        stretch_T = np.zeros(length, np.float32)
        for _ in range(num_voices):
            part = parts[int(take.rng.integers(len(parts)))]
            level = 10 ** (take.uniform(-10, 0) / 20) if num_voices > 1 else 1.0
            stretch_T += np.float32(level / 32_768) * _draw(take, self.samples[part], length)
        out_T = resample_poly(stretch_T, ratio.denominator, ratio.numerator)[: take.num_samples]
        gain_db = wander(take.rng, take.num_samples, take.rate_hz, 0.3, -GAIN_DB, GAIN_DB)
        return out_T * 10 ** (gain_db / 20)


def load_bank(folder: Path) -> Bank:
    """Map the files of a folder that `build_bank` wrote."""
    index = folder / INDEX
    if not index.is_file():
        raise RequestError(f"{folder} holds no {INDEX}: render it with `separator sounds --bank`")
    parts = [BankFile(**entry) for entry in json.loads(index.read_text())["parts"]]
    return Bank({part: np.load(folder / part.file, mmap_mode="r") for part in parts})


_load_once = cache(load_bank)
_chosen: list[Bank] = []


def use_bank(bank: Bank | None) -> None:
    """Set the bank of this process; None goes back to the folder in SEPARATOR_SOUND_BANK."""
    _chosen[:] = [] if bank is None else [bank]


def find_bank() -> Bank | None:
    """Return the bank set by `use_bank`, else that in SEPARATOR_SOUND_BANK, else None."""
    if _chosen:
        return _chosen[0]
    folder = os.environ.get(FOLDER_VARIABLE)
    return _load_once(Path(folder)) if folder else None


def list_parts(held_out: bool) -> list[BankFile]:
    """List the parts for training, or the held-out ones, that the installed programs can render."""
    men, women = (HELD_OUT_MEN, HELD_OUT_WOMEN) if held_out else (TRAIN_MEN, TRAIN_WOMEN)
    parts = [BankFile("man", voice, held_out) for voice in men.split()]
    parts += [BankFile("woman", voice, held_out) for voice in women.split()]
    for soundfont in list_soundfonts():
        # fluidsynth replaces a program that the font lacks, perhaps by one of the other list.
        presets = list_presets(soundfont)
        for name, (train, kept, _) in INSTRUMENTS.items():
            programs = [p for p in (kept if held_out else train) if (0, p) in presets]
            parts += [BankFile(name, f"{soundfont.stem}-{p}", held_out) for p in programs]
        kits = HELD_OUT_KITS if held_out else TRAIN_KITS
        kits = [kit for kit in kits if (PERCUSSION_BANK, kit) in presets]
        parts += [BankFile("drums", f"{soundfont.stem}-{kit}", held_out) for kit in kits]
    return parts


def build_bank(folder: Path, seed: int, minutes_per_voice: float, held_out: bool) -> None:
    """Render all parts, held-out ones or those for training; existing files are kept.

    To use a process pool, map `build_part` over `list_parts` and end with `write_index`.
    """
    for part in list_parts(held_out):
        build_part(folder, part, seed, minutes_per_voice)
    write_index(folder)


def build_part(folder: Path, part: BankFile, seed: int, minutes: float) -> None:
    """Render one file unless it exists. The file gets its name once it is complete."""
    if (folder / part.file).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, crc32(part.file.encode())])
    is_speech = part.class_name in ("man", "woman")
    x_T = _read_aloud(rng, part, 60 * minutes) if is_speech else _perform(rng, part, 60 * minutes)
    x_T = x_T[: int(60 * minutes * RATE_HZ)]
    x_T = x_T * (RMS / (np.sqrt(np.mean(x_T**2)) + 1e-12))
    # Drums peak far above their RMS: peaks that would clip are bent.
    samples = np.round(32_767 * np.where(np.abs(x_T) < 0.7, x_T, _bend(x_T))).astype(np.int16)
    unfinished = folder / f".{os.getpid()}-{part.file}"
    np.save(unfinished, samples)
    unfinished.replace(folder / part.file)


def write_index(folder: Path) -> None:
    """Write bank.json: the parts whose files exist."""
    parts = [part for held_out in (False, True) for part in list_parts(held_out)]
    entries = [asdict(part) for part in parts if (folder / part.file).exists()]
    unfinished = folder / f".{os.getpid()}-{INDEX}"
    unfinished.write_text(json.dumps({"rate_hz": RATE_HZ, "parts": entries}, indent=1))
    unfinished.replace(folder / INDEX)


def _draw(take: Take, samples: np.ndarray, length: int) -> np.ndarray:
    """Draw a random stretch that is not a pause; repeat a file that is too short."""
    best, best_level = np.zeros(length, np.float32), -1.0
    for _ in range(8):
        start = int(take.rng.integers(max(1, len(samples) - length)))
        stretch = np.asarray(samples[start : start + length], np.float32)
        level = float(np.sqrt(np.mean(stretch**2))) / (32_768 * RMS)
        if level > best_level:
            best, best_level = stretch, level
        if level > AUDIBLE:
            break
    return np.resize(best, length) if len(best) < length else best


def _bend(x_T: np.ndarray) -> np.ndarray:
    return np.sign(x_T) * (0.7 + 0.29 * np.tanh((np.abs(x_T) - 0.7) / 0.29))


def _read_aloud(rng: np.random.Generator, part: BankFile, duration_s: float) -> np.ndarray:
    """Speak paragraphs at various pitches and speeds, with pauses between them."""
    language = part.voice.split("+")[0].split("-")[0]
    pieces, now = [], 0
    while now < duration_s * RATE_HZ:
        text = write_text(rng, language, int(rng.integers(2, 7)))
        pitch, speed, gap = rng.integers((32, 120, 0), (69, 215, 6))
        said, rate_hz = speak(text, part.voice, int(pitch), int(speed), int(gap))
        step = Fraction(RATE_HZ, rate_hz)
        said = resample_poly(said, step.numerator, step.denominator)
        pause = np.zeros(int(rng.uniform(0.1, 0.7) * RATE_HZ), np.float32)
        pieces += [_add_highs(rng, said, rate_hz), pause]
        now += len(pieces[-2]) + len(pause)
    return np.concatenate(pieces)


def _add_highs(rng: np.random.Generator, said_T: np.ndarray, rate_hz: int) -> np.ndarray:
    """Add the hiss above espeak-ng's rate: without it a network learns that speech has no highs."""
    edge_hz = 0.46 * rate_hz
    hiss = band(said_T, 0.6 * edge_hz, edge_hz, RATE_HZ)
    loudness = np.maximum(band(np.abs(hiss), None, 40, RATE_HZ, order=1), 0)
    highs = band(rng.standard_normal(len(said_T)), edge_hz, None, RATE_HZ, order=4)
    return said_T + rng.uniform(0.3, 1.2) * loudness * highs


def _perform(rng: np.random.Generator, part: BankFile, duration_s: float) -> np.ndarray:
    """Play pieces one after the other, each with its own tempo, key and way of playing."""
    stem, program = part.voice.rsplit("-", 1)
    soundfont = next(font for font in list_soundfonts() if font.stem == stem)
    notes: list[Note] = []
    now = 0.0
    while now < duration_s:
        length_s = float(min(rng.uniform(5, 16), duration_s))
        if part.class_name == "drums":
            piece = compose_drums(rng, length_s, part.held_out)
        else:
            piece = compose(rng, length_s, INSTRUMENTS[part.class_name][2])
        notes += [replace(note, start_s=now + note.start_s) for note in piece]
        now += length_s + float(rng.uniform(0.1, 0.5))
    is_percussion = part.class_name == "drums"
    return play(write_midi(notes, int(program), is_percussion), RATE_HZ, soundfont)
