"""Make the library of `make demo`: films and recordings, and the sounds that were mixed in.

Most scenes are made of synthetic sounds. Two more are made of recordings that no model was trained
on, if their packages can be downloaded.

Shapes: T samples.
"""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    import numpy as np

    from separator.sounds.recordings import Recording

RATE_HZ = 32_000
SEED = 2_000_000  # of sounds the bundled model was not trained on


@dataclass(frozen=True)
class Scene:
    """A file of the library: its length, and per track its language and the kinds mixed in it."""

    seconds: float
    tracks: tuple[tuple[str, tuple[str, ...]], ...]
    is_recorded: bool = False


SYNTHETIC = {
    "street.mp4": Scene(10, (("eng", ("man", "siren", "rain")),)),
    "news/two languages.mkv": Scene(10, (("eng", ("woman", "siren")), ("deu", ("man", "siren")))),
    "garden.mov": Scene(8, (("eng", ("rain", "bird")),)),
    "radio.m4a": Scene(12, (("eng", ("man", "drums")),)),
    "long.mkv": Scene(180, (("eng", ("siren", "rain")),)),
}
RECORDED = {
    "recorded/fire engine.mp4": Scene(10, (("fra", ("woman", "siren")),), is_recorded=True),
    "recorded/wet street.mp4": Scene(10, (("", ("siren", "rain")),), is_recorded=True),
}
# Kind -> ends of the paths of its recordings, all of packages held out from training.
RECORDINGS = {
    "woman": tuple(
        f"fr_CA_f_June/{name}.g722"
        for name in ("agent-alreadyon", "agent-incorrect", "call-fwd-no-ans", "conf-getconfno")
    ),
    "siren": ("wav/misc/firetruck.wav", "wav/misc/policecar.wav"),
    "rain": ("none/data/wav/misc/rain.wav",),
}
BROKEN = "broken.mp4"
PAUSE_S = (0.2, 0.5)  # between recordings


@cache
def list_recordings() -> "dict[str, list[Recording]]":
    """List the recordings that the scenes are made of, by kind."""
    from separator.sounds.recordings import choose_held_out, read_recordings

    held_out = choose_held_out(read_recordings())
    return {kind: [r for r in held_out if r.path.endswith(RECORDINGS[kind])] for kind in RECORDINGS}


def fetch_recordings(folder: Path, show: Callable[[str], None]) -> bool:
    """Download the recordings that are missing; tell whether all are there now."""
    from separator.sounds.real import fetch_recordings as fetch
    from separator.sounds.real import keep_present

    wanted = [r for members in list_recordings().values() for r in members]
    if len(keep_present(wanted, folder)) < len(wanted):
        fetch(wanted, folder, RATE_HZ, show)
    return len(keep_present(wanted, folder)) == len(wanted)


def make_library(folder: Path, scenes: dict[str, Scene], recordings: Path) -> None:
    """Make the files that are missing; a second run finds nothing new."""
    for name, scene in scenes.items():
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make_file(path, scene, recordings)
    broken = folder / BROKEN
    if not broken.exists():
        whole = (folder / "street.mp4").read_bytes()
        broken.write_bytes(whole[: len(whole) // 3])


def make_file(path: Path, scene: Scene, recordings: Path) -> None:
    """Make a film, or a recording without a picture, with the tracks of a scene."""
    import ffmpeg
    import soundfile

    from separator.media.ffmpeg import QUIET, run
    from separator.media.limits import Limits
    from separator.storage.atomic import replacing

    with tempfile.TemporaryDirectory() as name, replacing(path) as temporary:
        streams = []
        if path.suffix != ".m4a":
            picture = f"testsrc2=size=320x180:rate=25:duration={scene.seconds}"
            streams.append(ffmpeg.input(picture, format="lavfi"))
        # An mkv does not say how much of aac's beginning is padding: stems could not be compared.
        codec = "flac" if path.suffix == ".mkv" else "aac"
        options: dict[str, object] = {"acodec": codec, "vcodec": "mpeg4", "audio_bitrate": "160k"}
        for index, (language, kinds) in enumerate(scene.tracks):
            wav = Path(name) / f"{index}.wav"
            soundfile.write(wav, mix_scene(scene, kinds, recordings)[0], RATE_HZ)
            streams.append(ffmpeg.input(str(wav)))
            options[f"metadata:s:a:{index}"] = f"language={language}"
        muxer = {".mkv": "matroska", ".m4a": "ipod"}.get(path.suffix, path.suffix[1:])
        output = ffmpeg.output(*streams, str(temporary), format=muxer, **options)
        command = output.global_args(*QUIET).overwrite_output().compile()
        run(command, path, Limits(), max_bytes=1 << 20)


def mix_scene(
    scene: Scene, kinds: tuple[str, ...], recordings: Path
) -> "tuple[np.ndarray, dict[str, np.ndarray]]":
    """Mix a track of a scene; return the mixture (T,), and by kind the sound that was mixed in."""
    if not scene.is_recorded:
        return mix_track(kinds, scene.seconds)
    num_samples = round(scene.seconds * RATE_HZ)
    return mix(kinds, (read_recorded(recordings, kind, num_samples) for kind in kinds))


def mix_track(kinds: tuple[str, ...], seconds: float) -> "tuple[np.ndarray, dict[str, np.ndarray]]":
    """Mix synthetic sounds of these kinds."""
    from separator.sounds.catalog import make_sound

    num_samples = round(seconds * RATE_HZ)
    return mix(kinds, (make_sound(kind, SEED, num_samples, held_out=True) for kind in kinds))


def mix(
    kinds: tuple[str, ...], made: "Iterable[np.ndarray]"
) -> "tuple[np.ndarray, dict[str, np.ndarray]]":
    """Mix sounds at one level."""
    import numpy as np

    from separator.train.mixer import declip, match_energy

    first, *others = made
    sounds = [first, *(match_energy(sound_T, first, 0.0) for sound_T in others)]
    mixture_T, *sounds = declip(np.sum(sounds, 0), *sounds)
    return mixture_T, dict(zip(kinds, sounds, strict=True))


def read_recorded(folder: Path, kind: str, num_samples: int) -> "np.ndarray":
    """Read the recordings of a kind, one after another, as often as they fit in."""
    import numpy as np

    from separator.sounds.real import name_file
    from separator.storage import Storage
    from separator.train.draw import join
    from separator.train.sound_lists import read_whole

    paths = [folder / name_file(r) for r in list_recordings()[kind]]
    sounds = [read_whole(Storage(), str(path), RATE_HZ) for path in paths]
    rng = np.random.default_rng(crc32(kind.encode()))
    return join(sounds, num_samples, RATE_HZ, rng, PAUSE_S)
