"""Measure how well detection says where sounds are, on scenes made by the generator.

    python benchmarks/presence.py mini-detector --scenes 60 --fit 40
    python benchmarks/presence.py mini --by similarity      (or examples, or stem)

Prints for each kind, and over all kinds, the F1 of events, the F1 of segments of 1 s, and the area
under ROC for presence in a scene. A kind's threshold is the one with the best segment F1 on `--fit`
other scenes, if at least three of them hold the kind. Other kinds, and with `--one-threshold` all
kinds, get the threshold that is best over all. A stretch lasts while the curve is above half of the
threshold.

`similarity` compares the sound with each kind's caption in a separator's encoder, `examples` with
three other sounds of the kind; `stem` separates the kinds of each scene and four absent ones, and
counts only these.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from separator import load_detector, load_model
from separator.detect.activity import SHORTEST_GAP_S
from separator.detect.curves import ByClasses, BySimilarity, Calibration, FromStem
from separator.detect.stretches import Curve, StretchRule, find_stretches, presence_score
from separator.encoders.lookup import load_audio_encoder
from separator.evaluation.presence import Counts, area_under_roc, count_events, count_segments
from separator.evaluation.scenes import RATE_HZ, SCENE_S, Scene, make_scene
from separator.model import registry
from separator.sounds.catalog import CLASSES, make_sound

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8)
WAYS = ("classes", "similarity", "examples", "stem")
FIT_SEED = 500_000  # of the first scene that thresholds are fitted on
FEWEST = 3  # fit scenes that must hold a kind for a threshold of its own
SMOOTH_S = 0.9  # three rows


@dataclass
class Figures:
    """Counts and scores of one kind, or over all kinds."""

    events: Counts = field(default_factory=Counts)
    segments: Counts = field(default_factory=Counts)
    scores: list[float] = field(default_factory=list)
    is_there: list[bool] = field(default_factory=list)

    def show(self, name: str) -> str:
        area = area_under_roc(self.scores, self.is_there)
        figures = f"{self.events.f1:8.2f}{self.segments.f1:10.2f}{area:10.3f}"
        return f"{name:14}{sum(self.is_there):6}{figures}"


Scored = list[tuple[Scene, dict[str, Curve]]]


CurvesOf = Callable[[Scene, int], dict[str, Curve]]
EXAMPLES, EXAMPLE_S, EXAMPLE_SEED = 3, 4.0, 8_000_000
OTHERS = 4  # absent kinds that are separated too
FROM_COSINE = Calibration(10.0, -4.0)  # maps cosines to 0 to 1; only their order matters


def listen_by_classes(name: str) -> CurvesOf:
    detector = load_detector(name)
    by_classes = ByClasses(detector, {k: [k] for k in detector.labels if k in CLASSES})
    return lambda scene, _: by_classes.measure(scene.samples[None], RATE_HZ)


def listen_by_similarity(name: str, with_examples: bool) -> CurvesOf:
    model = load_model(name, device="cpu")
    encoder = load_audio_encoder(registry.resolve(name), model.encoder_id)
    queries = [{"name": kind, "text": CLASSES[kind].captions[0]} for kind in CLASSES]
    if with_examples:
        queries = [{"name": kind, "audio": make_examples(kind)} for kind in CLASSES]
    conditions = dict(zip(CLASSES, model.encode(queries), strict=True))
    similar = BySimilarity(encoder, conditions, dict.fromkeys(conditions, FROM_COSINE))
    return lambda scene, _: similar.measure(scene.samples[None], RATE_HZ)


def make_examples(kind: str) -> list[tuple[np.ndarray, int]]:
    length = round(EXAMPLE_S * RATE_HZ)
    seeds = range(EXAMPLE_SEED, EXAMPLE_SEED + EXAMPLES)
    return [(make_sound(kind, seed, length, RATE_HZ)[None], RATE_HZ) for seed in seeds]


def listen_to_stems(name: str) -> CurvesOf:
    model = load_model(name, device="cpu")

    def listen(scene: Scene, seed: int) -> dict[str, Curve]:
        rng = np.random.default_rng(seed)
        absent = [kind for kind in CLASSES if kind not in scene.events]
        kinds = [*scene.events, *map(str, rng.choice(absent, OTHERS, replace=False))]
        texts = [CLASSES[kind].captions[0] for kind in kinds]
        stems = model.separate(scene.samples[None], RATE_HZ, texts)
        curves = FromStem(dict(zip(kinds, stems, strict=True)))
        return curves.measure(scene.samples[None], RATE_HZ)

    return listen


def score_scenes(listen: CurvesOf, first_seed: int, count: int) -> tuple[Scored, float]:
    """Make scenes and listen to them; also return the seconds that listening took."""
    scored, seconds = [], 0.0
    for seed in range(first_seed, first_seed + count):
        scene = make_scene(seed)
        start = time.perf_counter()
        curves = listen(scene, seed)
        seconds += time.perf_counter() - start
        scored.append((scene, curves))
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
        own = tried[overall].get(kind)
        if own and not one and sum(own.is_there) >= FEWEST:
            f1 = {x: np.nan_to_num(figures[kind].segments.f1) for x, figures in tried.items()}
            chosen[kind] = max(THRESHOLDS, key=lambda x: f1[x])
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a detector; with --by a separator")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--fit", type=int, default=40)
    parser.add_argument("--by", choices=WAYS, default="classes")
    parser.add_argument("--one-threshold", action="store_true")
    options = parser.parse_args()
    if options.by == "classes":
        listen = listen_by_classes(options.model)
    elif options.by == "stem":
        listen = listen_to_stems(options.model)
    else:
        listen = listen_by_similarity(options.model, options.by == "examples")
    fit, _ = score_scenes(listen, FIT_SEED, options.fit)
    scored, seconds = score_scenes(listen, 0, options.scenes)
    kinds = sorted({kind for _, curves in [*fit, *scored] for kind in curves})
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
