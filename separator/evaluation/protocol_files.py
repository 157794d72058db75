"""Read a file of configs/eval: a protocol, or a benchmark with its settings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from omegaconf import MISSING

from separator.config_file import check_choice, read_settings, read_yaml
from separator.evaluation.audioset import AudiosetSettings, run_audioset
from separator.evaluation.benchmark import Show
from separator.evaluation.musdb18 import MusdbSettings, run_musdb18
from separator.evaluation.protocol import ProtocolSettings
from separator.evaluation.run_protocol import run_protocol
from separator.evaluation.sound_events import EventSettings, run_sound_events
from separator.storage.atomic import take_folder


@dataclass(frozen=True)
class MusdbFile(MusdbSettings):
    """MUSDB18 as a file describes it."""

    benchmark: str = "musdb18"
    data: str = MISSING
    output: str = MISSING


@dataclass(frozen=True)
class AudiosetFile(AudiosetSettings):
    """Pairs of AudioSet's sounds as a file describes them; `data` is the list."""

    benchmark: str = "audioset"
    data: str = MISSING
    output: str = MISSING


def read_protocol(path: Path, overrides: list[str]) -> Callable[[Show], str]:
    """Return a function that runs the file's protocol and returns the table."""
    benchmark = read_yaml(path).get("benchmark", "")
    check_choice(f"{path}: benchmark", benchmark, ("", "musdb18", "audioset", "sound_events"))
    if benchmark == "musdb18":
        musdb = read_settings(MusdbFile, path, overrides)
        return partial(run_musdb18, musdb.data, take_folder(musdb.output), musdb)
    if benchmark == "audioset":
        pairs = read_settings(AudiosetFile, path, overrides)
        return partial(run_audioset, pairs.data, take_folder(pairs.output), pairs)
    if benchmark == "sound_events":
        return partial(run_sound_events, read_settings(EventSettings, path, overrides))
    return partial(run_protocol, read_settings(ProtocolSettings, path, overrides))
