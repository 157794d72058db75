"""Make a data set of a finished output, in shards with a card.

Shards are WebDataset, Parquet or Lhotse Shar. Stems are chosen by an expression over the manifest's
columns and split by asset. The same manifest and settings give the same files, and an export that
was stopped goes on where it was. Stems that are gone from storage, empty or cut short are left out
and named in index/, and the exit code is 3. With output.hub the data set is pushed to the Hugging
Face Hub, where it is private.
"""

import argparse
import contextlib
import itertools
import json
import sys
from typing import TYPE_CHECKING

from jobs.command import OK, SOME_FAILED, Command, add_config_arguments, say, show_bytes, show_time
from separator.errors import (
    ObjectExists,
    ObjectMissing,
    OutputDamaged,
    RequestError,
    check_installed,
)

if TYPE_CHECKING:
    from separator.export.select import Selection
    from separator.export.settings import ExportConfig
    from separator.export.shard_contents import Contents
    from separator.results.paths import ExportLayout
    from separator.storage import Storage

KEYS = """\
keys most used, as in the file or as key=value on the command line:
  input.uri          the output.uri of a job
  input.where        SQL over the manifest's columns: "energy_share > 0.1"
  input.kind         stem or rendition
  split.valid        share of the assets that is kept for validation
  output.uri         where data/, index/ and README.md go
  output.format      webdataset, parquet or lhotse_shar
  output.shard_mb    size of a shard before compression
  output.hub         owner/name on the Hugging Face Hub, to push it there
every key: configs/export.yaml"""


def run(options: argparse.Namespace) -> int:
    contents = export(options)
    return SOME_FAILED if any(each.missing for each in contents) else OK


def export(options: argparse.Namespace) -> "list[Contents]":
    say("reading the manifest ...")
    check_installed("duckdb", "export", "DuckDB")
    from separator.config_file import read_settings
    from separator.export.finish import write_descriptions
    from separator.export.push import open_repository, push
    from separator.export.select import select
    from separator.export.settings import ExportConfig
    from separator.export.shards import ShardWriter
    from separator.results.paths import ExportLayout
    from separator.run.tasks import run_tasks
    from separator.storage import Storage

    config = read_settings(ExportConfig, options.config, options.overrides)
    storage, layout = Storage(config.storage), ExportLayout(config.output.uri)
    writer = ShardWriter(storage, layout, config.output.format, config.output.residual)
    with select(storage, config) as selection:
        hub, private = config.output.hub, config.output.private
        repository = open_repository(hub, private) if hub else None  # fails before hours of work
        done = claim(storage, layout, selection, config)
        contents = list(run_tasks(writer, selection.iterate(), lambda shard: done.get(shard.name)))
    write_descriptions(storage, layout, config, contents)
    write_about(storage, layout, selection, config, "finished")
    if repository is not None:
        push(repository, storage, layout, contents, say)
    print_summary(contents, config)
    return contents


def claim(
    storage: "Storage", layout: "ExportLayout", selection: "Selection", config: "ExportConfig"
) -> "dict[str, Contents]":
    """Find the shards that are there already, by name; refuse the place of another data set."""
    from separator.export.shard_contents import Contents

    if not storage.exists(layout.about()):
        described = filter(storage.exists, (layout.card(), layout.croissant()))
        # Readers take all shards in data/ for parts of one data set.
        for uri in itertools.chain(described, list_sizes(storage, layout.data(""))):
            raise RequestError(
                f"output.uri={config.output.uri!r}: holds a"
                f" {uri.removeprefix(f'{layout.root_uri}/')} that is not ours; choose another place"
            )
        with contextlib.suppress(ObjectExists):  # another export began at the same moment
            write_about(storage, layout, selection, config, "begun")
            return {}
    before = read_selection(storage, layout)
    if before != selection.name:
        raise RequestError(
            f"output.uri={config.output.uri!r}: holds another data set ({before}, this one would be"
            f" {selection.name}: other stems or settings); choose another place or remove it"
        )
    found = {}
    for uri in list_sizes(storage, layout.indexes()):
        with contextlib.suppress(ValueError):  # a damaged index: the shard is written again
            contents = Contents.from_json(storage.read(uri))
            found[uri.rpartition("/")[2].removesuffix(".json")] = contents
    sizes = list_sizes(storage, layout.data(""))
    # A shard with missing stems is written again: they may be back.
    return {
        name: each
        for name, each in found.items()
        if each.is_whole
        and all(sizes.get(layout.file(file.name)) == file.num_bytes for file in each.files)
    }


def read_selection(storage: "Storage", layout: "ExportLayout") -> str:
    """Read the name of the selection that the existing data set holds."""
    try:
        return json.loads(storage.read(layout.about()))["selection"]
    except (ValueError, TypeError, KeyError):
        raise OutputDamaged(
            f"{layout.about()}: is no description of an export; choose another output.uri, or move"
            " it away"
        ) from None


def list_sizes(storage: "Storage", folder: str) -> dict[str, int]:
    """Return the bytes of each file in a folder by its URI."""
    try:
        return {entry.uri: entry.num_bytes for entry in storage.list(folder)}
    except ObjectMissing:
        return {}


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


def print_summary(contents: "list[Contents]", config: "ExportConfig") -> None:
    from separator.export.settings import WEBDATASET
    from separator.export.shard_contents import sum_splits, sum_up

    for split, total in sum_splits(contents).items():
        length, size = show_time(total.seconds), show_bytes(total.num_bytes)
        print(
            f"{split:12}{total.num_stems:>8,} stems {length:>9} {size:>10}"
            f"   shards {total.num_shards:,}"
        )
    for licence, number in sum_up(contents, "licence").most_common(5):
        print(f"  {' '.join(licence.split()) or 'no licence given':32}{number:>8,}")
    if missing := sum(len(each.missing) for each in contents):
        print(f"{missing:,} stems are gone from storage, or damaged; index/ names them")
    if too_loud := sum(len(each.too_loud) for each in contents):
        print(f"{too_loud:,} stems are left out, their mixtures would clip; index/ names them")
    if len(suffixes := sum_up(contents, "suffix")) > 1 and config.output.format == WEBDATASET:
        print(
            f"stems of several types ({', '.join(sorted(suffixes))}): Hugging Face's load_dataset"
            " reads WebDataset of one; set input.where, or output.format=parquet"
        )
    print(f"{config.output.uri}: data/, README.md, croissant.json")


EXPORT = Command(
    "export", "jobs.export", __doc__, add_config_arguments, run, KEYS,
    "configs/export.yaml input.uri=/stems output.uri=/set",
)  # fmt: skip
main = EXPORT.main

if __name__ == "__main__":
    sys.exit(main())
