"""Summarise the rows of a protocol: table, classes, checks, and a picture."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from separator.evaluation.benchmark import lay_out, pick
from separator.evaluation.case_metrics import take_frechet
from separator.evaluation.case_pictures import write_plainly
from separator.evaluation.over_units import Row
from separator.evaluation.protocol import Figure, Protocol

MAX_BARS = 60  # classes in a picture
SNR_WITHIN_DB = 1e-3
MODEL_WITHIN = 0.01
MIXTURE = "nothing done: the mixture"

ModelQuery = tuple[str, str]  # a model, and the name of a query


def take(rows: Sequence[Row], metric: str, how: str) -> float:
    """Summarise a metric over rows, without NaN: over all rows, or over classes first. `frechet` is
    the distance of two sets of embeddings."""
    if how == "frechet":
        return take_frechet(list(rows), metric)
    if how in ("mean", "median"):
        return reduce([row[metric] for row in rows], how)
    kinds: dict[str, list[float]] = {}
    for row in rows:
        kinds.setdefault(row["kind"], []).append(row[metric])
    each = [reduce(values, how.removeprefix("class_")) for values in kinds.values()]
    return reduce(each, "mean")


def reduce(values: Sequence[float], how: str) -> float:
    left = [value for value in values if not np.isnan(value)]
    if not left:
        return float("nan")
    return float(np.median(left) if how == "median" else np.mean(left))


def compute_figures(protocol: Protocol, rows: Sequence[Row], prefix: str = "") -> list[float]:
    """Compute the columns of the table; the prefix `mixture_` gives those of the mixture."""
    return [
        take(choose(rows, figure), prefix + figure.metric, figure.take or protocol.take)
        for figure in protocol.figures
    ]


def choose(rows: Sequence[Row], figure: Figure) -> list[Row]:
    return [row for row in rows if not figure.of or row["set"] == figure.of]


def lay_out_protocol(
    protocol: Protocol, rows: list[Row], model_queries: Sequence[ModelQuery], notes: Sequence[str]
) -> str:
    """Lay out our figures beside the published ones."""
    names = [figure.name for figure in protocol.figures]
    is_compared = len({query for _, query in model_queries}) > 1
    ours = []
    for model, query in model_queries:
        figures = compute_figures(protocol, pick(rows, model=model, query=query))
        ours.append((f"{model} {query}" if is_compared else model, figures))
    first = pick(rows, model=model_queries[0][0], query=model_queries[0][1])
    ours.append((MIXTURE, compute_figures(protocol, first, "mixture_")))
    title = f"{protocol.name}: {protocol.about}; {len(first)} cases"
    notes = [*notes, *describe_missing(protocol, rows, model_queries)]
    title += "".join(f"\nnote: {note}" for note in notes)
    return lay_out(title, names, ours, [t.arrange(names) for t in protocol.published])


def describe_missing(
    protocol: Protocol, rows: list[Row], model_queries: Sequence[ModelQuery]
) -> Iterator[str]:
    """Describe the figures that some cases lack, because silence has no ratio."""
    for model, query in model_queries:
        names: dict[tuple[int, int], list[str]] = {}  # by cases with a figure, and cases
        for figure in protocol.figures:
            if (figure.take or protocol.take) == "frechet":
                continue
            values = [
                r[figure.metric] for r in choose(pick(rows, model=model, query=query), figure)
            ]
            num_found = len(values) - int(np.isnan(values).sum())
            if num_found < len(values):
                names.setdefault((num_found, len(values)), []).append(figure.name)
        for (num_found, number), each in names.items():
            yield (
                f"{model} {query}: {', '.join(each)} of {num_found} of {number} cases; the others "
                "hold silence"
            )


def summarize_classes(
    protocol: Protocol, rows: list[Row], model_queries: Sequence[ModelQuery]
) -> list[Row]:
    """Return a row for each model, query and class, with all columns of the table."""
    found = []
    for model, query in model_queries:
        own = pick(rows, model=model, query=query)
        for kind in sorted({row["kind"] for row in own}):
            members = pick(own, kind=kind)
            figures = compute_figures(protocol, members)
            named = {f.name: value for f, value in zip(protocol.figures, figures, strict=True)}
            about = {"model": model, "query": query, "kind": kind, "num_cases": len(members)}
            found.append(about | named)
    return found


def check_rows(
    protocol: Protocol, rows: list[Row], hashes: dict[str, str], is_whole: bool
) -> list[str]:
    """Report for each check whether it passes, or by how much it fails."""
    gained = max(abs(row["mixture_sdri_db"]) for row in rows)
    lines = [say("the mixture as the estimate gains 0 dB", gained == 0, f"up to {gained:g} dB")]
    lowest = min(row["perfect_sdr_db"] for row in rows)
    finite = bool(np.isfinite([row["perfect_sdr_db"] for row in rows]).all())
    lines.append(say("the target as the estimate has a finite SDR", finite, f"{lowest:g} dB"))
    if protocol.mixing == "at_snr":
        off = max(abs(row["mixture_sdr_db"] - row["snr_db"]) for row in rows)
        what = f"mixtures have the list's snr within {SNR_WITHIN_DB:g} dB"
        lines.append(say(what, off <= SNR_WITHIN_DB, f"{off:.2g} dB off"))
    check = protocol.check
    if check.mixture_sdr_db is not None:
        off = max(abs(row["mixture_sdr_db"] - check.mixture_sdr_db) for row in rows)
        what = f"mixtures have an SDR of {check.mixture_sdr_db:g} dB within {check.within_db:g}"
        lines.append(say(what, off <= check.within_db, f"{off:.2f} dB off"))
    for model, sha256 in hashes.items():
        if check.model_sha256 and sha256 == check.model_sha256 and is_whole:
            lines += check_model(protocol, pick(rows, model=model))
    return ["checks:", *lines]


def say(what: str, passes: bool, found: str) -> str:
    return f"  {what}: {'pass' if passes else f'DEVIATION, {found}'}"


def check_model(protocol: Protocol, rows: list[Row]) -> list[str]:
    """Compare the figures of the released weights with their published row."""
    query = next(iter(protocol.queries))
    own = pick(rows, query=query)
    if not own:
        return []
    figures = compute_figures(protocol, own)
    names = [figure.name for figure in protocol.figures]
    lines = []
    for table in protocol.published:
        for row in table.arrange(names).rows:
            if row.name != protocol.check.model_row or table.sure != "read":
                continue
            for name, own, theirs in zip(names, figures, row.figures, strict=True):
                if not np.isnan(theirs):
                    what = f"the released weights have the published {name} within {MODEL_WITHIN}"
                    lines.append(say(what, abs(own - theirs) <= MODEL_WITHIN,
                                     f"{own:.3f} against {theirs:.3f}"))  # fmt: skip
    return lines


def draw_protocol(
    protocol: Protocol, rows: list[Row], model_queries: Sequence[ModelQuery], path: Path
) -> None:
    """Draw a histogram of the cases for each model and query; of few classes also their figures."""
    from matplotlib.figure import Figure as Picture

    figure = protocol.figures[0]
    classes = sorted({row["kind"] for row in rows})
    has_bars = 1 < len(classes) <= MAX_BARS
    height = max(3.5, 1 + 0.2 * len(classes)) if has_bars else 3.5
    picture = Picture(figsize=(11 if has_bars else 6, height), layout="constrained")
    both = np.atleast_1d(picture.subplots(1, 2 if has_bars else 1))
    for i, (model, query) in enumerate(model_queries):
        own = choose(pick(rows, model=model, query=query), figure)
        values = [row[figure.metric] for row in own if np.isfinite(row[figure.metric])]
        label = write_plainly(f"{Path(model).name} {query}")
        if values:
            both[0].hist(values, bins=40, histtype="step", label=label, color=f"C{i}")
        if has_bars:
            how = (figure.take or protocol.take).removeprefix("class_")
            each = [reduce([r[figure.metric] for r in pick(own, kind=k)], how) for k in classes]
            both[1].plot(each, list(map(write_plainly, classes)), "o", label=label, color=f"C{i}")
    both[0].set_xlabel(write_plainly(figure.name))
    both[0].set_ylabel("cases")
    both[0].legend(fontsize=8)
    for axes in both:
        axes.grid(axis="x", alpha=0.3)
    if has_bars:
        both[1].set_xlabel(write_plainly(figure.name))
        both[1].margins(y=0.01)
    picture.suptitle(write_plainly(protocol.name))
    picture.savefig(path, dpi=100)
