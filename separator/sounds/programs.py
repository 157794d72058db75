"""Start the programs that speak (espeak-ng), play (fluidsynth), download and unpack packages.

They are needed to make sounds for training, never to separate.
"""

import io
import os
import shlex
import shutil
import struct
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np

from separator.errors import RequestError

SOUNDFONT_FOLDERS = (
    Path("/usr/share/sounds/sf2"),
    Path("/usr/share/soundfonts"),
    Path("/usr/local/share/soundfonts"),
)
OF_DEBIAN = "it comes with Debian and Ubuntu, whose packages are asked for"
WAYS_OUT = {
    "fluidsynth": "apt-get install fluidsynth fluid-soundfont-gm",
    "apt-get": OF_DEBIAN,
    "dpkg-deb": OF_DEBIAN,
}
TIMEOUT_S = 1_800.0  # rendering takes seconds, or minutes on a busy machine
PERCUSSION_BANK = 128


def find_program(name: str) -> str | None:
    """Return the path of a program, or None if it is not installed."""
    return shutil.which(name)


def list_soundfonts() -> list[Path]:
    """List the installed General MIDI soundfonts, the largest (and so the best) first."""
    found = {path.resolve() for folder in SOUNDFONT_FOLDERS for path in folder.glob("*.sf2")}
    return sorted(found, key=lambda path: (-path.stat().st_size, path.name))


def list_presets(soundfont: Path) -> set[tuple[int, int]]:
    """Read the (bank, program) pairs of a soundfont; fluidsynth replaces one that is absent."""
    with soundfont.open("rb") as file:
        file.seek(12)
        while (head := file.read(12)) and head[8:] != b"pdta":  # the samples are skipped
            file.seek(struct.unpack_from("<I", head, 4)[0] - 4, os.SEEK_CUR)
        data = file.read()
    at = data.find(b"phdr")
    if at < 0:
        raise RequestError(f"{soundfont} has no list of presets: replace it by a SoundFont 2 file")
    (size,) = struct.unpack_from("<I", data, at + 4)
    records = range(at + 8, at + 8 + size - 38, 38)  # the last one only marks the end
    programs = (struct.unpack_from("<HH", data, record + 20) for record in records)
    return {(bank, program) for program, bank in programs}


def speak(
    text: str, voice: str, pitch: int, speed_wpm: int, word_gap: int = 0
) -> tuple[np.ndarray, int]:
    """Speak a text by an espeak-ng voice such as `en-us+f3`: samples in ±1 and their rate.

    `pitch` goes from 0 to 99; `word_gap` is in units of 10 ms.
    """
    settings = ["-p", str(pitch), "-s", str(speed_wpm), "-g", str(word_gap)]
    spoken = start("espeak-ng", ["--stdin", "--stdout", "-v", voice, *settings], text.encode())
    with wave.open(io.BytesIO(spoken)) as reader:
        # espeak-ng writes the header before it knows the length: read to the end of the data.
        samples = np.frombuffer(reader.readframes(reader.getnframes()), "<i2")
        rate_hz = reader.getframerate()
    if not samples.any():
        raise RequestError(f"espeak-ng was silent for voice {voice!r}: install espeak-ng-data")
    return samples.astype(np.float32) / 32_768, rate_hz


def play(midi_bytes: bytes, rate_hz: int, soundfont: Path | None = None) -> np.ndarray:
    """Play a MIDI file dry, mixed down to mono; by the best soundfont unless one is given."""
    if soundfont is None:
        fonts = list_soundfonts()
        if not fonts:
            places = ", ".join(map(str, SOUNDFONT_FOLDERS))
            raise RequestError(
                f"no soundfont (*.sf2) in {places}: apt-get install fluid-soundfont-gm"
            )
        soundfont = fonts[0]
    with tempfile.TemporaryDirectory() as folder:
        score, rendered = Path(folder, "score.mid"), Path(folder, "samples.raw")
        score.write_bytes(midi_bytes)
        effects = ["-R", "0", "-C", "0", "-o", "synth.dynamic-sample-loading=1"]
        output = ["-r", str(rate_hz), "-g", "0.4", "-T", "raw", "-O", "float", "-E", "little"]
        files = ["-F", str(rendered), str(soundfont), str(score)]
        start("fluidsynth", ["-n", "-i", "-q", *effects, *output, *files], b"")
        stereo = np.fromfile(rendered, "<f4") if rendered.exists() else np.zeros(0, np.float32)
    if not stereo.any():
        raise RequestError(f"fluidsynth played nothing with {soundfont}: replace that file")
    return stereo.reshape(-1, 2).mean(axis=1)


def start(
    name: str,
    arguments: list[str],
    stdin: bytes = b"",
    folder: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> bytes:
    """Run a program to its end, in `folder`, and return what it wrote to its output."""
    program = find_program(name)
    if program is None:
        way_out = WAYS_OUT.get(name, f"apt-get install {name}")
        raise RequestError(f"{name} is not installed: {way_out}")
    command = shlex.join([name, *arguments])
    try:
        done = subprocess.run(
            [program, *arguments], input=stdin, capture_output=True, timeout=timeout_s, cwd=folder
        )
    except subprocess.TimeoutExpired as error:
        raise RequestError(f"{command}: stopped after {timeout_s:.0f} s") from error
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip()
        raise RequestError(f"{command}: exit code {done.returncode}: {reason}")
    return done.stdout
