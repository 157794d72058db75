"""Write shards as Lhotse Shar: cuts in JSON, and a tar for each kind of sound.

    data/train/cuts.000000.jsonl.gz       a cut for each stem
    data/train/recording.000000.tar       the mixture; without residuals the stem
    data/train/target_audio.000000.tar    the stem, beside its mixture

Stems are copied as they are stored. Lhotse itself would decode and encode them again.
"""

import contextlib
import gzip
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundfile

from separator.errors import RequestError
from separator.export.columns import to_json
from separator.export.select import Shard
from separator.export.sounds import Samples
from separator.export.tar_shards import add_file, add_text

RECORDING, TARGET = "recording", "target_audio"  # names that Lhotse's readers know
Json = dict[str, Any]


def write_shar(folder: Path, shard: Shard, samples: Samples, sounds: Sequence[str]) -> None:
    """Write the cuts and the tars of a shard; with residuals the recording is the mixture."""
    (below := folder / shard.split).mkdir()
    names = [RECORDING, TARGET] if "residual" in sounds else [RECORDING]
    with contextlib.ExitStack() as stack:
        tars = {
            name: stack.enter_context(
                tarfile.open(
                    below / f"{name}.{shard.number:06}.tar", "w", format=tarfile.GNU_FORMAT
                )
            )
            for name in names
        }
        packed = stack.enter_context((below / f"cuts.{shard.number:06}.jsonl.gz").open("wb"))
        # No file name and no time in the header: the same rows must give the same bytes.
        cuts = stack.enter_context(gzip.GzipFile("", "wb", fileobj=packed, mtime=0))
        for row, paths in samples:
            made = {RECORDING: paths["audio"]}
            if TARGET in names:
                made = {RECORDING: paths["mixture"], TARGET: paths["audio"]}
            about = {name: describe_sound(path, row) for name, path in made.items()}
            for name, path in made.items():
                add_file(tars[name], f"{row['fingerprint']}{path.suffix}", path)
                add_text(tars[name], f"{row['fingerprint']}.json", json.dumps(about[name]))
            line = json.dumps(make_cut(row, about), ensure_ascii=False, sort_keys=True) + "\n"
            cuts.write(line.encode("utf-8", "surrogateescape"))


def describe_sound(path: Path, row: dict[str, Any]) -> Json:
    """Describe a sound as Lhotse's Recording, with samples that are stored in a tar."""
    try:
        info = soundfile.info(path)
    except soundfile.SoundFileError:
        raise RequestError(
            f"{row['stem_uri']}: Lhotse cannot read {path.suffix} everywhere; lhotse_shar is for"
            " flac, wav, ogg and mp3"
        ) from None
    channels = list(range(info.channels))
    return {
        "id": row["fingerprint"],
        "sources": [{"type": "shar", "channels": channels, "source": ""}],
        "sampling_rate": info.samplerate,
        "num_samples": info.frames,
        "duration": info.frames / info.samplerate,
        "channel_ids": channels,
    }


def make_cut(row: dict[str, Any], sounds: dict[str, Json]) -> Json:
    """Make Lhotse's cut of a stem: its sounds, where its query is heard, and all columns."""
    recording = sounds[RECORDING]
    channels = recording["channel_ids"]
    is_mono = len(channels) == 1
    targets = {TARGET: sounds[TARGET]} if TARGET in sounds else {}
    return {
        "id": row["fingerprint"],
        "start": 0.0,
        "duration": recording["duration"],
        "channel": channels[0] if is_mono else channels,
        "recording": recording,
        "supervisions": list_supervisions(row, recording["duration"], channels),
        "custom": to_json(row) | targets,
        "type": "MonoCut" if is_mono else "MultiCut",
    }


def list_supervisions(row: dict[str, Any], duration_s: float, channels: list[int]) -> list[Json]:
    """List the stretches of the cut in which the query is heard; the whole cut if presence was
    not measured."""
    start_s = row["cut_start_s"] or 0.0
    stretches = row["presence"]
    if stretches is None:
        stretches = [{"start_s": start_s, "stop_s": start_s + duration_s, "score": None}]
    found = []
    for stretch in stretches:
        begin_s = max(stretch["start_s"] - start_s, 0.0)
        length_s = min(stretch["stop_s"] - start_s, duration_s) - begin_s
        if length_s <= 0:
            continue
        found.append(
            {
                "id": f"{row['fingerprint']}-{len(found) + 1}",
                "recording_id": row["fingerprint"],
                "start": round(begin_s, 8),  # as Lhotse rounds
                "duration": round(length_s, 8),
                "channel": channels[0] if len(channels) == 1 else channels,
                "text": row["query_text"] or row["query_name"],
                "custom": {"label": row["query_name"], "score": stretch["score"]},
            }
        )
    return found
