"""Measure how well a detector says where sounds are, on scenes made by the generator.

    python benchmarks/presence.py mini-detector --scenes 60 --fit 40

Prints for each kind, and over all, the F1 of events and of segments of 1 s and the area under ROC
for presence in a scene. Each kind's threshold is the one that is best for its segments on `--fit`
other scenes, if they hold it three times; else, and with `--one-threshold` for all, it is the one
that is best over all kinds. A stretch goes on while the curve is above half of it.
"""

import argparse
import time
from dataclasses import dataclass, field

import numpy as np

from separator import load_detector
from separator.detect.activity import SHORTEST_GAP_S
from separator.detect.stretches import Curve, StretchRule, find_stretches, presence_score
from separator.evaluation.presence import Counts, area_under_roc, count_events, count_segments
from separator.evaluation.scenes import RATE_HZ, SCENE_S, Scene, make_scene
from separator.model.detector import Detector
from separator.sounds.catalog import CLASSES

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8)
FIT_SEED = 500_000  # of the first scene that the threshold is fixed on
FEWEST = 3  # fit scenes that must hold a kind for a threshold of its own
SMOOTH_S = 0.9  # three rows


@dataclass
class Figures:
    """What is counted for one kind, or over all."""

    events: Counts = field(default_factory=Counts)
    segments: Counts = field(default_factory=Counts)
    scores: list[float] = field(default_factory=list)
    is_there: list[bool] = field(default_factory=list)

    def show(self, name: str) -> str:
        area = area_under_roc(self.scores, self.is_there)
        figures = f"{self.events.f1:8.2f}{self.segments.f1:10.2f}{area:10.3f}"
        return f"{name:14}{sum(self.is_there):6}{figures}"


Scored = list[tuple[Scene, dict[str, Curve]]]


def score_scenes(detector: Detector, first_seed: int, count: int) -> tuple[Scored, float]:
    """Make scenes and detect in them; also return the seconds that detection took."""
    scored, seconds = [], 0.0
    for seed in range(first_seed, first_seed + count):
        scene = make_scene(seed)
        start = time.perf_counter()
        found = detector.detect(scene.samples[None], RATE_HZ)
        seconds += time.perf_counter() - start
        scored.append(
            (
                scene,
                {
                    label: Curve(found.framewise[:, k], found.frame_s)
                    for k, label in enumerate(detector.labels)
                    if label in CLASSES
                },
            )
        )
    return scored, seconds


def measure(scored: Scored, thresholds: dict[str, float]) -> dict[str, Figures]:
    """Count for each kind that the detector knows."""
    figures: dict[str, Figures] = {}
    for scene, curves in scored:
        for kind, curve in curves.items():
            own, rule = figures.setdefault(kind, Figures()), make_rule(thresholds[kind])
            truth = scene.events.get(kind, [])
            stretches = find_stretches(curve, rule, SCENE_S)
            found = [(each.start_s, each.stop_s) for each in stretches]
            own.events += count_events(found, truth)
            own.segments += count_segments(found, truth, SCENE_S)
            own.scores.append(presence_score(curve, rule))
            own.is_there.append(bool(truth))
    return figures


def make_rule(threshold: float) -> StretchRule:
    return StretchRule(threshold, threshold / 2, smooth_s=SMOOTH_S, shortest_gap_s=SHORTEST_GAP_S)


def add_up(figures: dict[str, Figures]) -> Figures:
    total = Figures()
    for each in figures.values():
        total.events += each.events
        total.segments += each.segments
        total.scores += each.scores
        total.is_there += each.is_there
    return total


def fix_thresholds(scored: Scored, kinds: list[str], one: bool) -> dict[str, float]:
    """Choose the thresholds of the best segment F1: of each kind, or one over all kinds."""
    tried = {x: measure(scored, dict.fromkeys(kinds, x)) for x in THRESHOLDS}
    score = {x: add_up(figures).segments.f1 for x, figures in tried.items()}
    overall = max(THRESHOLDS, key=lambda x: np.nan_to_num(score[x]))
    chosen = dict.fromkeys(kinds, overall)
    for kind in kinds:
        f1 = {x: np.nan_to_num(figures[kind].segments.f1) for x, figures in tried.items()}
        if not one and sum(tried[overall][kind].is_there) >= FEWEST:
            chosen[kind] = max(THRESHOLDS, key=lambda x: f1[x])
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--fit", type=int, default=40)
    parser.add_argument("--one-threshold", action="store_true")
    options = parser.parse_args()
    detector = load_detector(options.detector)
    kinds = [label for label in detector.labels if label in CLASSES]
    fit, _ = score_scenes(detector, FIT_SEED, options.fit)
    scored, seconds = score_scenes(detector, 0, options.scenes)
    if not options.one_threshold:
        one = add_up(measure(scored, fix_thresholds(fit, kinds, one=True)))
        print(one.show("one threshold"))
    thresholds = fix_thresholds(fit, kinds, options.one_threshold)
    figures = measure(scored, thresholds)
    print(f"{options.scenes} scenes of {SCENE_S:g} s; thresholds fixed on {options.fit} others")
    print(f"{'kind':14}{'there':>6}{'events':>8}{'segments':>10}{'ROC area':>10}{'threshold':>11}")
    for kind in sorted(figures, key=lambda kind: -np.nan_to_num(figures[kind].segments.f1)):
        print(f"{figures[kind].show(kind)}{thresholds[kind]:11.2f}")
    print(add_up(figures).show("all, pooled"))
    areas = [area_under_roc(each.scores, each.is_there) for each in figures.values()]
    segments = np.nanmean([each.segments.f1 for each in figures.values()])
    print(f"mean of kinds: segment F1 {segments:.2f}, ROC area {np.nanmean(areas):.3f}")
    print(f"detection: {SCENE_S * options.scenes / seconds:.0f} times real time")


if __name__ == "__main__":
    main()
