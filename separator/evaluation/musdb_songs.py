"""List and read the songs of MUSDB18 in both official layouts.

    DATA/train/ARTIST - TITLE.stem.mp4                 five audio streams: mixture, drums, bass, ...
    DATA/train/ARTIST - TITLE/{mixture,drums,...}.wav  MUSDB18-HQ

and the same in DATA/test. Sounds come at the files' rate and layout, 44.1 kHz stereo.

Shapes: C channels, T samples.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from separator.errors import AudioError, ObjectMissing, RequestError
from separator.media.decode import decode, output_rate
from separator.media.probe import probe
from separator.storage import Entry, Storage, parse_uri
from separator.storage.temporary import temporary_folder

MIXTURE = "mixture"
STEMS = ("vocals", "drums", "bass", "other")  # in the order of the tables
STREAMS = (MIXTURE, "drums", "bass", "other", "vocals")  # in the order of a .stem.mp4
STEM_SUFFIX = ".stem.mp4"


@dataclass(frozen=True)
class Song:
    """One song: its five sounds are the streams of one file, or files of their own."""

    name: str
    entries: tuple[Entry, ...]  # one, or one for each of STREAMS


def list_songs(storage: Storage, uri: str, subset: str) -> list[Song]:
    """List the songs of a subset, `train` or `test`, by name."""
    folder = f"{uri.rstrip('/')}/{subset}"
    wanted = [f"*{STEM_SUFFIX}", *(f"*/{part}.wav" for part in STREAMS)]
    songs, parts = {}, {}
    try:
        for entry in storage.list(folder, wanted):
            name = parse_uri(entry.uri).key.rpartition("/")[2]
            if name.endswith(STEM_SUFFIX):
                songs[name.removesuffix(STEM_SUFFIX)] = Song(
                    name.removesuffix(STEM_SUFFIX), (entry,)
                )
            else:
                song = parse_uri(entry.uri).key.split("/")[-2]
                parts.setdefault(song, {})[name.removesuffix(".wav")] = entry
    except ObjectMissing:
        raise RequestError(f"{folder}: no such folder; MUSDB18 has train/ and test/") from None
    if songs and parts:
        raise RequestError(
            f"{folder}: holds *{STEM_SUFFIX} and folders of .wav; put one layout into one folder"
        )
    for song, found in parts.items():
        if missing := [part for part in STREAMS if part not in found]:
            raise RequestError(f"{folder}/{song}: has no {missing[0]}.wav")
        songs[song] = Song(song, tuple(found[part] for part in STREAMS))
    if not songs:
        raise RequestError(
            f"{folder}: no songs; needed are *{STEM_SUFFIX}, or folders with "
            f"{', '.join(f'{part}.wav' for part in STREAMS)}"
        )
    return [songs[name] for name in sorted(songs)]


def read_song(
    storage: Storage, song: Song, parts: Sequence[str] = STREAMS
) -> tuple[dict[str, np.ndarray], int]:
    """Read some of a song's sounds (C, T), cut to the shortest, and their rate."""
    found: dict[str, tuple[np.ndarray, int]] = {}
    with temporary_folder() as folder:
        if len(song.entries) == 1:
            with storage.on_disk(song.entries[0], folder) as path:
                found = read_streams(path, song.entries[0].uri, parts)
        else:
            for entry, part in zip(song.entries, STREAMS, strict=True):
                if part in parts:
                    with storage.on_disk(entry, folder) as path:
                        found[part] = read_wav(path, entry.uri)
    formats = {(len(sound_CT), rate_hz) for sound_CT, rate_hz in found.values()}
    if len(formats) > 1:
        raise AudioError(f"{song.name}: its sounds differ in (channels, rate): {formats}")
    shortest = min(sound_CT.shape[1] for sound_CT, _ in found.values())
    ((_, rate_hz),) = formats
    return {part: sound_CT[:, :shortest] for part, (sound_CT, _) in found.items()}, rate_hz


def read_streams(path: Path, uri: str, parts: Sequence[str]) -> dict[str, tuple[np.ndarray, int]]:
    """Decode some of the audio streams (C, T) of a .stem.mp4."""
    media = probe(path)
    if len(media.tracks) != len(STREAMS):
        raise AudioError(
            f"{uri}: {len(media.tracks)} audio streams; {len(STREAMS)} are needed: "
            f"{', '.join(STREAMS)}"
        )
    sounds = {}
    for part in parts:
        track = media.tracks[STREAMS.index(part)]
        with closing(decode(path, media, track)) as blocks:
            empty = np.zeros((track.num_channels, 0), np.float32)
            sounds[part] = np.concatenate([empty, *blocks], axis=1), output_rate(track)
    return sounds


def read_wav(path: Path, uri: str) -> tuple[np.ndarray, int]:
    """Read a wav file (C, T) without the two processes that the decoder would start."""
    import soundfile  # imported here: only workers read songs

    try:
        sound_TC, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{uri}: {error}") from None
    return np.ascontiguousarray(sound_TC.T), rate_hz
