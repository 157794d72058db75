"""Estimate a run without doing it: count pending work, and measure a few assets.

Reads the input, the manifest and some assets whole; writes nothing.
"""

import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from separator.audio.format import AudioFormat
from separator.config import JobConfig
from separator.errors import AudioError
from separator.media.choose import choose_tracks
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings
from separator.media.joined import decode_track
from separator.media.probe import probe
from separator.media.usable import check_track
from separator.model.track import check_samples
from separator.results.withdrawn import list_marks
from separator.rows import RENDITION, STEM, Asset
from separator.run.prepare import Flow, Target, load_flow, prepare_target
from separator.stages.extract import ASSET_ERRORS, check_asset, make_entry
from separator.storage import Storage
from separator.storage.temporary import temporary_folder

LOOK_INTO = 5  # assets
SEPARATE_S = 10.0  # length of the sound that measures the speed


@dataclass
class Plan:
    """The pending work. Hours are of tracks; a figure that could not be measured is None."""

    assets: int = 0
    assets_failed: int = 0  # failed for good; a run leaves them alone
    assets_pending: int = 0
    stems_pending: int = 0  # if every asset had one track
    bytes_pending: int = 0
    bytes_to_separate: int = 0  # bytes of each pending asset times its queries
    bytes_written: int = 0  # bytes times its files: stems, residuals, renditions
    bytes_remuxed: int = 0  # bytes times its remuxed copies
    looked_into: int = 0
    bytes_looked_into: int = 0
    unusable: int = 0  # assets looked into that cannot be used
    hours: float | None = None
    device: str | None = None
    real_time: float | None = None  # seconds of sound a second, per query
    device_hours: float | None = None
    output_bytes: float | None = None
    heard_by: dict[str, str] = field(default_factory=dict)  # how, by name of the query


@dataclass
class _Look:
    """The length of one asset's tracks, and a piece of the first of them."""

    num_bytes: int
    seconds: float
    rate_hz: int
    piece: np.ndarray  # (C, T)


def make_plan(config: JobConfig) -> Plan:
    storage = Storage(config.storage)
    target = prepare_target(config, storage)
    plan, chosen = count_pending(target)
    looks = []
    for row in chosen:
        with contextlib.suppress(*ASSET_ERRORS):
            looks.append(look_into(storage, row, config))
    plan.looked_into, plan.unusable = len(chosen), len(chosen) - len(looks)
    plan.bytes_looked_into = sum(row.num_bytes for row in chosen)
    if sum(look.seconds for look in looks):
        flow = load_flow(target, "plan")
        estimate(plan, flow, looks)
        if flow.listening is not None:
            names = {query.key: query.name for query in target.work.queries}
            # Queries of a list have no name of the config: their texts stand for them.
            plan.heard_by = {
                names.get(key, key): way for key, way in flow.listening.descriptions.items()
            }
    return plan


def count_pending(target: Target) -> tuple[Plan, list[Asset]]:
    """Count the work, and choose some pending assets at random, the same ones each time."""
    done, plan, chosen = target.find_done(), Plan(), []
    rng = random.Random(0)
    target = replace(target, marked=list_marks(target.storage, target.layout))
    for asset, pending in target.list_pending(done, target.list_assets()):
        plan.assets += 1
        if pending is None:
            plan.assets_failed += done.has_failed(asset)
            continue
        num_queries = len(pending.list_names(STEM))
        residual = target.config.output.residual
        residuals = {"none": 0, "joint": 1, "per_query": num_queries}[residual]
        plan.assets_pending += 1
        plan.stems_pending += num_queries
        plan.bytes_pending += asset.num_bytes
        plan.bytes_to_separate += asset.num_bytes * num_queries
        plan.bytes_written += asset.num_bytes * (len(pending.items) + residuals)
        if target.config.output.remux != "none":
            plan.bytes_remuxed += asset.num_bytes * len(pending.list_names(RENDITION))
        if len(chosen) < LOOK_INTO:
            chosen.append(pending)
        elif (at := rng.randrange(plan.assets_pending)) < LOOK_INTO:
            chosen[at] = pending
    return plan, chosen


def look_into(storage: Storage, asset: Asset, config: JobConfig) -> _Look:
    check_asset(asset)
    entry = make_entry(asset)
    with temporary_folder() as folder, storage.on_disk(entry, folder) as path:
        media = probe(path)
        tracks = choose_tracks(media.tracks, asset.tracks, config.input.group)
        rate_hz = check_track(tracks[0], config.model.channels, config.output.format)
        num_samples = round(SEPARATE_S * rate_hz)
        with contextlib.closing(
            decode_track(path, media, tracks[0], block_samples=num_samples)
        ) as blocks:
            piece_CT = next(blocks, None)
        if piece_CT is None:
            raise AudioError("the track holds no samples")
        check_samples(torch.from_numpy(piece_CT))
        seconds = sum(track.duration_s or media.duration_s or 0.0 for track in tracks)
    return _Look(entry.num_bytes, seconds or piece_CT.shape[1] / rate_hz, rate_hz, piece_CT)


def estimate(plan: Plan, flow: Flow, looks: Sequence[_Look]) -> None:
    # Unusable assets count here, too: they have bytes and no sound.
    seconds_per_byte = sum(look.seconds for look in looks) / max(1, plan.bytes_looked_into)
    look = max(looks, key=lambda look: look.piece.shape[1])
    plan.device, plan.real_time, stem_bytes_per_s = measure(flow, look)
    plan.hours = plan.bytes_pending * seconds_per_byte / 3600
    plan.device_hours = plan.bytes_to_separate * seconds_per_byte / plan.real_time / 3600
    sounds_bytes = plan.bytes_written * seconds_per_byte * stem_bytes_per_s
    usable_share = sum(look.num_bytes for look in looks) / max(1, plan.bytes_looked_into)
    plan.output_bytes = sounds_bytes + plan.bytes_remuxed * usable_share


def measure(flow: Flow, look: _Look) -> tuple[str, float, float]:
    """Return (device, seconds of sound a second, bytes of a stem a second), on this machine."""
    assert flow.engine is not None, "a plan is of a run that separates"
    engine = flow.engine.make(flow.target.config.model)
    condition_1D = torch.tensor(next(iter(flow.conditions.values())))[None]
    waveform_CT = torch.tensor(look.piece)
    seconds = waveform_CT.shape[1] / look.rate_hz
    engine.separate(waveform_CT, look.rate_hz, condition_1D)  # warm-up: the first call is slower
    started = time.perf_counter()
    stem_CT = engine.separate(waveform_CT, look.rate_hz, condition_1D)[0].numpy()
    rate = seconds / (time.perf_counter() - started)
    settings: EncodeSettings = flow.target.config.output.encode
    with temporary_folder() as folder:
        path = folder / f"stem.{settings.format}"
        audio_format = AudioFormat(look.rate_hz, stem_CT.shape[0])
        encode([stem_CT], path, audio_format, settings=settings)
        num_bytes = path.stat().st_size
    return str(engine.device), rate, num_bytes / seconds
