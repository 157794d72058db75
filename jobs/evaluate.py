"""Measure a model: SDR, SDRi and SI-SDR per kind of sound.

Figures are written as Parquet, a table and a picture. Cases come from CASES.csv or CASES.parquet
with the columns mixture, target, query (and kind), or are mixed from a list of held-out sounds
(`separator sounds --held-out`).
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from jobs.command import Command, say
from separator.errors import RequestError

COLUMNS = ("sdri_db", "sdr_db", "si_sdr_db")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a name, or the path of a checkpoint")
    parser.add_argument("cases", help="CASES.csv, CASES.parquet or sounds.jsonl")
    parser.add_argument("out", type=Path, help="folder for scores.parquet and scores.png")
    parser.add_argument("--per-kind", type=int, default=10, help="cases mixed for each kind (10)")
    parser.add_argument(
        "--style", choices=("caption", "paraphrase", "absent"), default="caption", help="of queries"
    )
    parser.add_argument(
        "--levels", type=parse_levels, default="0", help="dB of the other sounds: 0,-10,10 (0)"
    )
    parser.add_argument("--sounds", type=int, default=2, help="sounds in a mixture (2)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a mixture (5)")
    parser.add_argument("--seed", type=int, default=1, help="another seed: other mixtures (1)")
    parser.add_argument("--actors", type=int, default=1, help="models side by side (1)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)")


def parse_levels(text: str) -> list[float]:
    try:
        return [float(level_db) for level_db in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: numbers with commas, such as 0,-10") from None


class Scorer:
    """Load a model in a Ray actor, and score one case after the other."""

    def __init__(self, options: argparse.Namespace, cases: list[Any]) -> None:
        import torch

        from separator import load_model
        from separator.machine import count_cpus
        from separator.storage import Storage

        if options.device != "cuda" and not torch.cuda.is_available():
            torch.set_num_threads(max(1, count_cpus() // options.actors))
        self.options, self.cases = options, cases
        self.storage = Storage()
        self.model = load_model(options.model, device=options.device)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        from separator.train.cases import make_case, score
        from separator.train.sound_lists import read_whole

        case, rate_hz = self.cases[row["id"]], self.model.engine.config.rate_hz
        if isinstance(case, dict):
            mixture_T, target_T = (
                read_whole(self.storage, case[key], rate_hz) for key in ("mixture", "target")
            )
            about = {"kind": case["kind"], "query": case["query"], "style": "given"}
        else:
            options = self.options
            mixture_T, target_T = make_case(
                self.storage, case, options.seconds, rate_hz, options.seed
            )
            about = {"kind": case.sounds[0].kind, "query": case.query, "style": case.style}
            about |= {"level_db": case.level_db, "others": [s.kind for s in case.sounds[1:]]}
        stem_T = self.model.separate(mixture_T[None], rate_hz, [about["query"]])[0, 0]
        return about | score(stem_T, target_T, mixture_T)


def evaluate(options: argparse.Namespace) -> None:
    say("reading the cases ...")
    import pyarrow as pa
    import pyarrow.parquet as pq
    import ray.data

    from separator.run.local_ray import join_ray, quiet_loggers
    from separator.storage import Storage
    from separator.train.cases import plan_cases, read_cases
    from separator.train.sound_lists import read_list

    cases: list[Any]
    storage = Storage()
    if options.cases.endswith((".csv", ".parquet")):
        cases = read_cases(storage, options.cases)
    else:
        sources = read_list(options.cases, storage)
        cases = []
        for level_db in options.levels:
            cases += plan_cases(
                sources, options.per_kind, options.style, level_db, options.sounds, options.seed
            )
    if not cases:
        raise RequestError(f"{options.cases}: no cases in it")
    say("starting Ray ...")
    join_ray()
    quiet_loggers()
    ray.data.DataContext.get_current().enable_progress_bars = False
    data = ray.data.range(len(cases), override_num_blocks=min(len(cases), options.actors * 8))
    gpus = 1 if options.device == "cuda" else 0
    scored = data.map(
        Scorer,  # pyright: ignore[reportArgumentType]
        fn_constructor_args=(options, cases),
        compute=ray.data.ActorPoolStrategy(size=options.actors),
        num_gpus=gpus,
        num_cpus=0,
    )
    rows = scored.take_all()
    options.out.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), options.out / "scores.parquet")
    summary = summarize(rows)
    print_table(summary, options.style)
    draw(summary, options.out / "scores.png")


def summarize(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Average per kind, then over kinds under the name `mean`."""
    import numpy as np

    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(row["kind"], []).append(row)
    keys = [*COLUMNS, "under_db"]
    out = {}
    for kind, members in sorted(kinds.items()):
        under = [row["mixture_db"] - row["stem_db"] for row in members]
        figures = {key: float(np.mean([row[key] for row in members])) for key in COLUMNS}
        out[kind] = figures | {"under_db": float(np.median(under)), "cases": len(members)}
    out["mean"] = {key: float(np.mean([out[k][key] for k in kinds])) for key in keys}
    out["mean"]["cases"] = len(rows)
    return out


def print_table(summary: dict[str, dict[str, float]], style: str) -> None:
    print(f"{style:20}{'cases':>7}{'SDRi dB':>9}{'SDR dB':>9}{'SI-SDR dB':>11}{'under dB':>10}")
    for kind, row in summary.items():
        print(
            f"{kind[:20]:20}{row['cases']:7.0f}{row['sdri_db']:9.2f}{row['sdr_db']:9.2f}"
            f"{row['si_sdr_db']:11.2f}{row['under_db']:10.1f}"
        )


def draw(summary: dict[str, dict[str, float]], path: Path) -> None:
    """Draw the SDRi of every kind as a bar, best on top, with the mean as a line."""
    from matplotlib.figure import Figure

    kinds = sorted((k for k in summary if k != "mean"), key=lambda k: summary[k]["sdri_db"])
    figure = Figure(figsize=(7, 1 + 0.22 * len(kinds)), layout="constrained")
    axes = figure.subplots()
    axes.barh(kinds, [summary[k]["sdri_db"] for k in kinds], color="C0")
    axes.axvline(summary["mean"]["sdri_db"], color="C3", label="mean")
    axes.set_xlabel("SDRi [dB]")
    axes.margins(y=0.01)
    axes.legend(loc="lower right")
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=100)


EVALUATE = Command(
    "evaluate", "jobs.evaluate", __doc__, add_arguments, evaluate,
    example="mini sounds/test/sounds.jsonl scores --levels=-10,0,10",
)  # fmt: skip
main = EVALUATE.main

if __name__ == "__main__":
    sys.exit(main())
