"""Run a protocol for one or several models and queries, and put its tables together.

`score_units` scores the units of all queries on Ray. A stopped evaluation continues, and each actor
loads a model once.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from separator.api import Separator, load_model
from separator.encoders.lookup import AUTO
from separator.errors import RequestError
from separator.evaluation.benchmark import Show, write_rows, write_table
from separator.evaluation.case_metrics import (
    EMBEDDING,
    PACKAGES,
    check_figures,
    list_figures,
    load_package,
)
from separator.evaluation.generated_cases import plan_generated
from separator.evaluation.over_units import Row, Unit, score_units
from separator.evaluation.protocol import Protocol, ProtocolSettings
from separator.evaluation.protocol_cases import ProtocolCase, check_columns, find_cases
from separator.evaluation.protocol_queries import NAMED, make_tasks, make_units, takes
from separator.evaluation.protocol_scores import make_scorer
from separator.evaluation.protocol_sounds import check_rates, read_snr
from separator.evaluation.protocol_tables import (
    ModelQuery,
    check_rows,
    draw_protocol,
    lay_out_protocol,
    summarize_classes,
)
from separator.model.download import hash_file
from separator.model.registry import find_package, resolve
from separator.storage import Storage
from separator.storage.atomic import take_folder

PICTURE = re.compile(r"\d+-.+-\d{5,}\.png")  # the names that write_pictures gives


def run_protocol(settings: ProtocolSettings, show: Show) -> str:
    """Score all models on the cases, write rows, classes and pictures, and return the table."""
    out, protocol = take_folder(settings.output), add_figures(settings)
    cases, notes = list_cases(settings)
    num_cases = len(cases)
    cases = cases[: settings.limit or None]
    if len(cases) < num_cases:
        notes.append(f"not the whole set: the first {len(cases)} of {num_cases} cases")
    rows: list[Row] = []
    model_queries: list[ModelQuery] = []
    hashes: dict[str, str] = {}
    for name in settings.model:
        show(f"{name}: queries ...")
        model = load_one(settings, name)
        hashes[name] = hash_published(settings, name)
        queries = list_taken(settings, name, model, show)
        if queries:
            rows += score_model(settings, name, model, queries, cases, out, show)
        model_queries += [(name, query) for query in queries]
    if not model_queries:
        kinds = {name: source.kind for name, source in protocol.queries.items()}
        raise RequestError(
            f"query={settings.chosen_queries}: no model takes such queries; the protocol has "
            f"{kinds}"
        )
    write_pictures(out / "pictures", rows, settings.model)
    write_rows(out / "scores.parquet", [leave_out(row) for row in rows])
    write_rows(out / "classes.parquet", summarize_classes(protocol, rows, model_queries))
    draw_protocol(protocol, rows, model_queries, out / "scores.png")
    table = lay_out_protocol(protocol, rows, model_queries, notes)
    table += "\n\n" + "\n".join(check_rows(protocol, rows, hashes, not notes))
    return write_table(out, table)


def add_figures(settings: ProtocolSettings) -> Protocol:
    """Return the protocol with columns for the additional metrics. Refuse figures that cannot be
    computed, before anything is scored."""
    protocol = settings.protocol
    for metric in settings.more_metrics:
        if metric in PACKAGES:
            load_package(metric)
    check_figures(protocol, settings.more_metrics)
    more = [metric for metric in settings.more_metrics if metric not in protocol.metrics]
    added = [figure for metric in more for figure in list_figures(metric)]
    return replace(protocol, figures=[*protocol.figures, *added])


def leave_out(row: Row) -> Row:
    """Leave the embeddings out of a row."""
    return {name: value for name, value in row.items() if not name.endswith(EMBEDDING)}


def list_cases(settings: ProtocolSettings) -> tuple[list[ProtocolCase], list[str]]:
    """List the cases, whose files must all exist, and notes on what is not official."""
    protocol = settings.protocol
    if protocol.mixing == "generated":
        rows = plan_generated(protocol.generated)
        check_columns("mixing=generated", protocol, settings.chosen_queries, rows)
        return [ProtocolCase(i, row, kind=row["kind"]) for i, row in enumerate(rows)], []
    storage = Storage(settings.storage)
    found = find_cases(storage, settings)
    check_rates(storage, protocol, found[0])
    if protocol.mixing == "at_snr":
        for case in found[0]:
            read_snr(case)
    return found


def load_one(settings: ProtocolSettings, name: str) -> Separator:
    """Load a model in the driver, for its text encoder."""
    return load_model(
        name,
        device="cpu",
        precision="fp32",
        detector=settings.detector or AUTO,
        storage=Storage(settings.storage),
    )


def hash_published(settings: ProtocolSettings, name: str) -> str:
    """Return the hash of a model's file, to recognise published weights; empty if not needed."""
    if not settings.protocol.check.model_sha256 or find_package(name):
        return ""
    return hash_file(resolve(name, Storage(settings.storage).fetch))


def list_taken(settings: ProtocolSettings, name: str, model: Separator, show: Show) -> list[str]:
    """List the queries that a model takes; show those that it does not take."""
    kinds = {query: settings.protocol.queries[query].kind for query in settings.chosen_queries}
    for query, kind in kinds.items():
        if not takes(model, kind):
            show(f"{name} takes no {NAMED[kind]}: not asked by {query}")
    return [query for query, kind in kinds.items() if takes(model, kind)]


def score_model(
    settings: ProtocolSettings,
    name: str,
    model: Separator,
    queries: Sequence[str],
    cases: Sequence[ProtocolCase],
    out: Path,
    show: Show,
) -> list[Row]:
    """Score all cases for all queries, in actors that load the model once."""
    identity = [model.checkpoint_sha256, model.encoder_id, settings.precision]
    fetch = Storage(settings.storage).fetch
    helpers = (settings.detector, settings.judge)
    identity += [hash_file(resolve(helper, fetch)) for helper in helpers if helper]
    units: list[Unit] = []
    for query in queries:
        source = settings.protocol.queries[query]
        tasks = make_tasks(model, source, query, cases, min(settings.pictures, len(cases)))
        units += make_units(tasks, settings.protocol, settings.more_metrics, identity)
    show(f"{name}: {len(cases)} cases, by {', '.join(queries)} ...")
    make = partial(make_scorer, settings, name)
    found = score_units(units, make, settings.actors, settings.device, out / "parts", show)
    return [{"model": name, **row} for row in found]


def write_pictures(folder: Path, rows: list[Row], models: Sequence[str]) -> None:
    """Take the pictures out of the rows and write them, by model, query and case. Delete the
    pictures of an earlier run, and no other files."""
    for old in folder.glob("*.png"):
        if PICTURE.fullmatch(old.name):
            old.unlink()
    for row in rows:
        if picture := row.pop("picture", None):
            place = folder / f"{models.index(row['model'])}-{row['query']}-{row['number']:05}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(base64.b64decode(picture))
