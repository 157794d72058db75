"""Measure what a gate saves and what it costs, on a library in which each query sounds once.

    python benchmarks/gate.py --assets 10
    python benchmarks/gate.py --listen 60

Every asset is a minute with one sound of its own kind, and two sounds of kinds without a query; the
queries are the kinds of all assets. The table has the seconds of detection and network on the CPU,
with and without the gate, and the SDR of the stem over the whole minute. `--listen N` separates
nothing: it counts for N libraries the pairs of asset and query for which the gate opens.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch

from separator import load_detector, load_model
from separator.audio.metrics import compute_sdr_db
from separator.audio.spans import Span
from separator.config import DetectSettings
from separator.detect.classes import Classes, match_classes
from separator.evaluation.scenes import NOISE_DB, RATE_HZ
from separator.model.detection import SoundDetector
from separator.sounds.catalog import CLASSES, make_sound
from separator.stages.gate import Gate
from separator.stages.listen import Listener, ListeningMethod

FIRST_SEED = 9_000_000
SECONDS = 60.0
LENGTH_S = (4.0, 15.0)
OTHERS = 2


@dataclass(frozen=True)
class Asset:
    """A mixture (1, T) and the sound of its kind alone."""

    kind: str
    samples: np.ndarray
    target: np.ndarray


def make_assets(seed: int, count: int) -> list[Asset]:
    """Make assets of kinds of different groups."""
    rng = np.random.default_rng([FIRST_SEED, seed])
    groups: dict[str, list[str]] = {}
    for name, kind in CLASSES.items():
        groups.setdefault(kind.group, []).append(name)
    chosen = [str(rng.choice(groups[g])) for g in rng.permutation(list(groups))]
    kinds, others = chosen[:count], chosen[count:]
    return [make_asset(rng, seed * 100 + i, kind, others) for i, kind in enumerate(kinds)]


def make_asset(rng: np.random.Generator, seed: int, kind: str, others: list[str]) -> Asset:
    num_samples = round(SECONDS * RATE_HZ)
    noise_T = 10 ** (NOISE_DB / 20) * rng.standard_normal(num_samples)
    placed = []
    for i, name in enumerate([kind, *rng.choice(others, OTHERS, replace=False)]):
        length = round(rng.uniform(*LENGTH_S) * RATE_HZ)
        sound_T = make_sound(str(name), FIRST_SEED + 10 * seed + i, length, RATE_HZ, held_out=True)
        start = int(rng.integers(num_samples - length))
        placed.append(np.pad(sound_T, (start, num_samples - length - start)))
    mixture_T = (noise_T + np.sum(placed, 0)).astype(np.float32)
    return Asset(kind, mixture_T[None], placed[0][None])


def make_listener(texts: list[str], detector: SoundDetector, settings: DetectSettings) -> Listener:
    methods = {}
    for text in texts:
        found = match_classes(text, detector.labels)
        assert isinstance(found, Classes), text
        methods[text] = ListeningMethod(classes=found.labels)
    return Listener(methods, settings.rule, settings.pad_s, detector)


def count_kept(seed: int, count: int, detector: SoundDetector, settings: DetectSettings) -> None:
    """Count, over libraries, the pairs for which a gate opens."""
    kept = falsely = num_assets = 0
    missed = []
    for library in range(seed, seed + count):
        assets = make_assets(library, 10)
        texts = [CLASSES[asset.kind].captions[0] for asset in assets]
        listener = make_listener(texts, detector, settings)
        conditions = dict.fromkeys(texts, np.zeros(1))
        for asset, own in zip(assets, texts, strict=True):
            length = asset.samples.shape[1]
            span = Span(0, length, 0, length, length)
            heard = listener.listen(torch.from_numpy(asset.samples), RATE_HZ, span, conditions)
            is_open = {text: bool(each.opened) for text, each in heard.items()}
            kept += is_open[own]
            falsely += sum(is_open.values()) - is_open[own]
            missed += [] if is_open[own] else [asset.kind]
        num_assets += len(assets)
    print(f"pairs kept {kept} of {num_assets} ({kept / num_assets:.1%}); others let through")
    print(f"{falsely} of {9 * num_assets}; missed: {', '.join(missed)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--listen", type=int, default=0)
    parser.add_argument("--threshold", type=float, default=DetectSettings().threshold)
    options = parser.parse_args()
    detector = load_detector("mini-detector")
    settings = DetectSettings(gate="on", threshold=options.threshold)
    if options.listen:
        count_kept(options.seed, options.listen, detector, settings)
        return
    assets = make_assets(options.seed, options.assets)
    model = load_model("mini", device="cpu")
    texts = [CLASSES[asset.kind].captions[0] for asset in assets]
    conditions = dict(zip(texts, model.encode(texts), strict=True))
    listener = make_listener(texts, detector, settings)
    with_s = without_s = listen_s = 0.0
    kept, falsely, changes = 0, 0, []
    print(f"{'kind':14}{'kept':>6}{'SDR free':>10}{'gated':>8}{'free s':>9}{'gated s':>9}")
    for asset, own in zip(assets, texts, strict=True):
        samples_CT = torch.from_numpy(asset.samples)
        length = samples_CT.shape[1]
        span = Span(0, length, 0, length, length)
        gate = Gate(model.engine, samples_CT, RATE_HZ, span)
        start = time.perf_counter()
        heard = listener.listen(samples_CT, RATE_HZ, span, conditions)
        listened = time.perf_counter() - start
        opened = {text: each.opened for text, each in heard.items()}
        gated = dict(zip(conditions, gate.separate(conditions, opened), strict=True))
        gated_s = time.perf_counter() - start
        start = time.perf_counter()
        free = dict(zip(conditions, gate.separate(conditions, {}), strict=True))
        free_s = time.perf_counter() - start
        with_s, without_s, listen_s = with_s + gated_s, without_s + free_s, listen_s + listened
        falsely += sum(gated[text] is not None for text in texts if text != own)
        sdrs = [
            float("nan") if stem is None else compute_sdr_db(stem.numpy(), asset.target).item()
            for stem in (free[own], gated[own])
        ]
        if gated[own] is not None:
            kept += 1
            changes.append(sdrs[1] - sdrs[0])
        shown = f"{sdrs[0]:10.2f}{sdrs[1]:8.2f}{free_s:9.2f}{gated_s:9.2f}"
        print(f"{asset.kind:14}{gated[own] is not None!s:>6}{shown}", flush=True)
    count = len(assets)
    print(f"pairs kept {kept} of {count}; others let through {falsely} of {count * (count - 1)}")
    if changes:
        mean, least = np.mean(changes), np.min(changes)
        print(f"SDR with the gate: mean {mean:+.2f} dB, least {least:+.2f} dB")
    print(
        f"device {without_s:.1f} s -> {with_s:.1f} s: {without_s / with_s:.1f} times less;", end=""
    )
    print(f" of which detection {listen_s:.2f} s, {listen_s / without_s:.1%} of all separation")


if __name__ == "__main__":
    main()
