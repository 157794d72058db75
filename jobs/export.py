"""A data set of a finished output: `python -m jobs.export CONFIG.yaml [dotted.key=value ...]`

Stems chosen by an expression over the manifest's columns, in WebDataset or Parquet shards, split by
asset, with a card. The same manifest and settings give the same files; a run that was stopped goes
on where it was.

Exit codes: 0 all is well; 3 some stems were gone from storage, index/ names them; 2 a bad request;
1 a crash.
"""

import argparse
import importlib.util
import json
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jobs.command import join_ray, parse_config_arguments
from jobs.separate import show_bytes, show_time
from separator.errors import ObjectExists, ObjectMissing, RequestError, SeparatorError, StorageBusy

if TYPE_CHECKING:
    from separator.export.select import Selection, Shard
    from separator.export.settings import ExportConfig
    from separator.export.shards import Contents, ShardWriter
    from separator.results.paths import ExportLayout
    from separator.storage import Storage

MOST_RETRIES = 2  # of a shard whose worker died


def main(argv: list[str] | None = None) -> int:
    options = parse_config_arguments("python -m jobs.export", __doc__, argv)
    try:
        contents = export(options)
    except SeparatorError as error:
        print(f"export: {error}", file=sys.stderr)
        return 1 if isinstance(error, StorageBusy) else 2
    return 3 if any(each.missing for each in contents) else 0


def export(options: argparse.Namespace) -> "list[Contents]":
    if importlib.util.find_spec("duckdb") is None:
        raise RequestError("DuckDB is not installed: pip install 'separator[export]'")
    from separator.config import read_settings
    from separator.export.card import make_card
    from separator.export.select import select
    from separator.export.settings import EXTENSIONS, ExportConfig
    from separator.export.shards import ShardWriter
    from separator.results.paths import ExportLayout
    from separator.storage import Storage

    config = read_settings(ExportConfig, options.config, options.overrides)
    storage, form = Storage(config.storage), config.output.format
    layout = ExportLayout(config.output.uri, EXTENSIONS[form])
    writer = ShardWriter(storage, layout, form == "webdataset", config.output.residual)
    with select(storage, config) as selection:
        done = claim(storage, layout, selection, config)
        contents = list(write_shards(selection, writer, done))
    storage.write(layout.card(), make_card(config, contents).encode("utf-8", "surrogateescape"))
    write_about(storage, layout, selection, config, "finished")
    print_summary(contents, config.output.uri)
    return contents


def claim(
    storage: "Storage", layout: "ExportLayout", selection: "Selection", config: "ExportConfig"
) -> "dict[str, Contents]":
    """Shards that are there already, by name; a place that holds another data set is refused."""
    from separator.export.shards import Contents

    if not storage.exists(layout.about()) and storage.exists(layout.card()):
        raise RequestError(f"output.uri={config.output.uri!r}: holds a README.md that is not ours")
    try:
        write_about(storage, layout, selection, config, "begun")
        return {}
    except ObjectExists:
        before = json.loads(storage.read(layout.about()))["selection"]
    if before != selection.name:
        raise RequestError(
            f"output.uri={config.output.uri!r}: holds another data set ({before}, this one would be"
            f" {selection.name}: other stems or settings); choose another place or remove it"
        )
    try:
        uris = [entry.uri for entry in storage.list(layout.indexes(), ["*.json"])]
    except ObjectMissing:
        return {}
    names = {uri: uri.rpartition("/")[2].removesuffix(".json") for uri in uris}
    found = {name: Contents(**json.loads(storage.read(uri))) for uri, name in names.items()}
    # What was gone may be back.
    return {name: contents for name, contents in found.items() if not contents.missing}


def write_about(
    storage: "Storage",
    layout: "ExportLayout",
    selection: "Selection",
    config: "ExportConfig",
    state: str,
) -> None:
    about = {"selection": selection.name, "state": state, "stems": selection.num_stems}
    about |= {"config": json.loads(config.describe()), "input": config.input.uri}
    content = (json.dumps(about, indent=1) + "\n").encode()
    storage.write(layout.about(), content, if_absent=state == "begun")


def write_shards(
    selection: "Selection", writer: "ShardWriter", done: "Mapping[str, Contents]"
) -> "Iterator[Contents]":
    """In order, a few ahead of what has been asked for; Ray starts with the first that is new."""
    ahead: deque[Any] = deque()
    write, most_ahead = None, 0
    for shard in selection.iterate():
        if shard.name not in done and write is None:
            write, most_ahead = prepare_tasks(writer)
        ahead.append(done[shard.name] if write is None or shard.name in done else write(shard))
        if len(ahead) > most_ahead:
            yield _get(ahead.popleft())
    while ahead:
        yield _get(ahead.popleft())


def prepare_tasks(writer: "ShardWriter") -> tuple[Any, int]:
    """(a call that starts a shard somewhere on the cluster, how many to have under way)."""
    import ray

    join_ray()
    shared = ray.put(writer)
    task: Any = ray.remote(num_cpus=1, max_retries=MOST_RETRIES)(write_shard)
    num_cpus = int(ray.cluster_resources().get("CPU", 1))
    return lambda shard: task.remote(shared, shard), 2 * num_cpus


def write_shard(writer: "ShardWriter", shard: "Shard") -> "Contents | SeparatorError":
    try:
        return writer(shard.split, shard.name, shard.rows)
    except SeparatorError as error:
        return error  # as itself: Ray would wrap it in the traceback of a bug


def _get(outcome: Any) -> "Contents":
    """What a task brought; or what was there."""
    from separator.export.shards import Contents

    if not isinstance(outcome, Contents):
        import ray

        outcome = ray.get(outcome)
    if isinstance(outcome, SeparatorError):
        raise outcome
    return outcome


def print_summary(contents: "list[Contents]", output_uri: str) -> None:
    from separator.export.card import sum_up
    from separator.export.shards import sum_splits

    for split, total in sum_splits(contents).items():
        length, size = show_time(total.seconds), show_bytes(total.num_bytes)
        print(
            f"{split:12}{total.num_stems:>8,} stems {length:>9} {size:>10}"
            f"   shards {total.num_shards:,}"
        )
    for licence, number in sum_up(contents, "licence").most_common(5):
        print(f"  {licence or 'no licence given':32}{number:>8,}")
    if missing := sum(len(each.missing) for each in contents):
        print(f"{missing:,} stems are gone from storage; index/ names them")
    print(f"{output_uri}: data/, README.md")


if __name__ == "__main__":
    sys.exit(main())
