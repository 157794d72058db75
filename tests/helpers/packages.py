"""Build small packages of sounds, as registries serve them."""

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import soundfile


def make_tone(seconds: float, rate_hz: int, freq_hz: float = 440.0) -> bytes:
    """Make a wav file of a tone."""
    out = io.BytesIO()
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    soundfile.write(out, 0.3 * np.sin(2 * np.pi * freq_hz * t), rate_hz, format="WAV")
    return out.getvalue()


def encode_g722(wav: bytes) -> bytes:
    """Encode a wav file of 16 kHz by ffmpeg, as telephone systems store speech."""
    command = ["ffmpeg", "-v", "error", "-i", "pipe:0", "-f", "g722", "pipe:1"]
    return subprocess.run(command, input=wav, check=True, capture_output=True).stdout


def build_deb(folder: Path, package: str, files: dict[str, bytes]) -> Path:
    """Build PACKAGE_1_all.deb with these files; `a.zip!b` is a file in a zip."""
    root = folder / f"root-{package}"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        f"Package: {package}\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\n"
        "Description: sounds\n"
    )
    for name, data in files.items():
        outer, _, inner = name.partition("!")
        (root / outer).parent.mkdir(parents=True, exist_ok=True)
        if inner:
            with zipfile.ZipFile(root / outer, "a") as archive:
                archive.writestr(inner, data)
        else:
            (root / outer).write_bytes(data)
    path = folder / f"{package}_1_all.deb"
    command = ["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(root), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def build_tgz(path: Path, files: dict[str, bytes]) -> Path:
    """Build what `npm pack` brings."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path
