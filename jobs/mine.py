"""Find and embed the 2 s of each label in a list of sounds.

The labels of a list are of whole files; a detector says when they sound. The Parquet list that is
written is what `separator train configs/train-zeroshot.yaml` learns from.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from jobs.command import Command, say
from separator.errors import RequestError

LINE_EVERY = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("detector", help="stsed, or the path of a checkpoint")
    parser.add_argument("lists", nargs="+", metavar="LIST", help="with audio and labels (or kind)")
    parser.add_argument("out", metavar="OUT.parquet", help="the list to write: a path or s3://...")
    parser.add_argument(
        "--rule", choices=("official", "uss", "windows"), default="official", help="(official)"
    )
    parser.add_argument("--actors", type=int, default=1, help="detectors side by side (1)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)")


class Miner:
    """Load a detector in a Ray actor, and mine one sound after the other."""

    def __init__(self, options: argparse.Namespace, sources: list[Any]) -> None:
        import torch

        from separator import load_detector
        from separator.machine import count_cpus
        from separator.storage import Storage

        if options.device != "cuda" and not torch.cuda.is_available():
            torch.set_num_threads(max(1, count_cpus() // options.actors))
        self.rule, self.sources, self.storage = options.rule, sources, Storage()
        self.detector = load_detector(options.detector, device=options.device)

    def __call__(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of one sound; one row without a label if it cannot be read."""
        import torch

        from separator.errors import AudioError
        from separator.model.detector import RATE_HZ
        from separator.train.mining import SCHEMA, make_rows, mine
        from separator.train.sound_lists import read_whole

        source = self.sources[row["id"]]
        try:
            mono_T = torch.from_numpy(read_whole(self.storage, source.uri, RATE_HZ))
            found = mine(self.detector, mono_T, list(source.labels), self.rule)
            return [{"trouble": ""} | each for each in make_rows(source, found)]
        except AudioError as error:
            return [dict.fromkeys(SCHEMA.names) | {"trouble": str(error)}]


def run(options: argparse.Namespace) -> None:
    say("reading the lists ...")
    import pyarrow as pa
    import pyarrow.parquet as pq
    import ray.data

    from separator import load_detector
    from separator.run.local_ray import join_ray, quiet_loggers
    from separator.storage import Storage
    from separator.storage.temporary import temporary_folder
    from separator.train.mining import SCHEMA
    from separator.train.sound_lists import read_lists

    storage = Storage()
    sources = read_lists(options.lists, storage)
    check_labels(load_detector(options.detector).labels, sources)
    say("starting Ray ...")
    join_ray()
    quiet_loggers()
    ray.data.DataContext.get_current().enable_progress_bars = False
    blocks = min(len(sources), max(options.actors * 8, len(sources) // 100))
    mined = ray.data.range(len(sources), override_num_blocks=blocks).flat_map(
        Miner,  # pyright: ignore[reportArgumentType]
        fn_constructor_args=(options, sources),
        compute=ray.data.ActorPoolStrategy(size=options.actors),
        num_gpus=1 if options.device == "cuda" else 0,
        num_cpus=0,
    )
    kinds, troubles, said = set(), [], 0
    with temporary_folder() as folder:
        path = folder / "mined.parquet"
        count = 0
        with pq.ParquetWriter(path, SCHEMA) as writer:
            for batch in mined.iter_batches(batch_size=None, batch_format="pyarrow"):
                rows = batch.to_pylist()  # pyright: ignore[reportAttributeAccessIssue] # a table
                troubles += [row["trouble"] for row in rows if row["trouble"]]
                rows = [row for row in rows if not row.pop("trouble")]
                if rows:
                    writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                kinds |= {row["kind"] for row in rows}
                count += len(rows)
                if count - said >= LINE_EVERY:
                    said = count
                    say(f"{count:,} stretches of {len(sources):,} sounds")
        storage.upload(path, options.out)
    print(f"{options.out}: {count:,} stretches of {len(kinds)} labels")
    if troubles:
        say(f"{len(troubles)} sounds cannot be read, such as {troubles[0]}")


def check_labels(known: Sequence[str], sources: Sequence[Any]) -> None:
    """Refuse lists of whose labels the detector knows none; say how many it does not know."""
    labels = {label for source in sources for label in source.labels}
    if not labels & set(known):
        raise RequestError(
            f"the detector knows none of the labels {sorted(labels)[:5]}, but such as "
            f"{sorted(known)[:5]}"
        )
    if unknown := sorted(labels - set(known)):
        say(f"{len(unknown)} labels are unknown to the detector and left out: {unknown[:5]}")


MINE = Command(
    "mine", "jobs.mine", __doc__, add_arguments, run,
    example="stsed s3://data/audioset.parquet s3://data/mined.parquet",
)  # fmt: skip
main = MINE.main

if __name__ == "__main__":
    sys.exit(main())
