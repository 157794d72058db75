"""Mine lists of weakly labelled sounds on Ray Data, into one list that `task: examples` reads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data
import torch

from separator.api import load_htsat
from separator.errors import AudioError, RequestError
from separator.machine import count_cpus
from separator.model.detector import RATE_HZ
from separator.run.local_ray import join_ray, quiet_loggers
from separator.storage import Storage, parse_uri
from separator.storage.temporary import temporary_folder
from separator.train.gpus import check_gpus
from separator.train.mining import SCHEMA, Rule, make_rows, mine
from separator.train.outputs import check_file
from separator.train.sound_lists import Source, read_lists, read_whole

LINE_EVERY = 500  # stretches
SOUNDS_IN_BLOCK = 100

Show = Callable[[str], object]


@dataclass(frozen=True)
class MineSettings:
    """The lists to mine, the detector, and the rule."""

    detector: str
    lists: list[str]
    rule: Rule
    actors: int
    device: str


@dataclass(frozen=True)
class MinedList:
    """The result of mining; `troubles` tell for each unreadable sound why it is left out."""

    num_rows: int
    kinds: frozenset[str]
    troubles: list[str]


class Miner:
    """Load a detector in a Ray actor, and mine one sound after the other."""

    def __init__(self, settings: MineSettings, sources: list[Source]) -> None:
        if settings.device != "cuda" and not torch.cuda.is_available():
            torch.set_num_threads(max(1, count_cpus() // settings.actors))
        self.rule: Rule = settings.rule
        self.sources, self.storage = sources, Storage()
        self.detector = load_htsat(settings.detector, device=settings.device)

    def __call__(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of one sound; one row with the reason if it cannot be read."""
        source = self.sources[row["id"]]
        try:
            mono_T = torch.from_numpy(read_whole(self.storage, source.uri, RATE_HZ))
            found = mine(self.detector, mono_T, source.labels, self.rule)
            return [{"trouble": ""} | each for each in make_rows(source, found)]
        except AudioError as error:
            return [dict.fromkeys(SCHEMA.names) | {"trouble": str(error)}]


def mine_lists(settings: MineSettings, out_uri: str, show: Show) -> MinedList:
    """Mine all sounds of the lists and write one Parquet list; `show` gets lines of progress."""
    storage = Storage()
    sources = read_lists(settings.lists, storage)
    check_labels(load_htsat(settings.detector).labels, sources, show)
    if not (place := parse_uri(out_uri)).bucket:
        check_file(place.path)
    show("starting Ray ...")
    kinds, troubles, count, said = set(), [], 0, 0
    with temporary_folder() as folder:
        path = folder / "mined.parquet"
        with pq.ParquetWriter(path, SCHEMA) as writer:
            for rows in iterate_rows(settings, sources, show):
                troubles += [row["trouble"] for row in rows if row["trouble"]]
                rows = [row for row in rows if not row.pop("trouble")]
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                kinds |= {row["kind"] for row in rows}
                count += len(rows)
                if count - said >= LINE_EVERY:
                    said = count
                    show(f"{count:,} stretches of {len(sources):,} sounds")
        if not count:
            trouble = f", such as {troubles[0]}" if troubles else ""
            raise RequestError(
                f"no stretch found in {len(sources)} sounds, {len(troubles)} of them "
                f"unreadable{trouble}; {out_uri} is left as it is"
            )
        storage.upload(path, out_uri)
    return MinedList(count, frozenset(kinds), troubles)


def check_labels(known: Sequence[str], sources: Sequence[Source], show: Show) -> None:
    """Refuse lists if the detector knows none of their labels; show the labels it lacks."""
    labels = {label for source in sources for label in source.labels}
    if not labels & set(known):
        raise RequestError(
            f"the detector knows none of the labels {sorted(labels)[:5]}, but such as "
            f"{sorted(known)[:5]}"
        )
    if unknown := sorted(labels - set(known)):
        show(f"{len(unknown)} labels are unknown to the detector and left out: {unknown[:5]}")


def iterate_rows(
    settings: MineSettings, sources: list[Source], show: Show
) -> Iterator[list[dict[str, Any]]]:
    """Yield groups of rows as the sounds are mined."""
    join_ray()
    quiet_loggers()
    if settings.device == "cuda":
        check_gpus("--device cuda", 1, show)
    ray.data.DataContext.get_current().enable_progress_bars = False
    most = max(settings.actors * 8, len(sources) // SOUNDS_IN_BLOCK)
    mined = ray.data.range(len(sources), override_num_blocks=min(len(sources), most)).flat_map(
        Miner,  # pyright: ignore[reportArgumentType]
        fn_constructor_args=(settings, sources),
        compute=ray.data.ActorPoolStrategy(size=settings.actors),
        num_gpus=1 if settings.device == "cuda" else 0,
        num_cpus=0,
    )
    for batch in mined.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield batch.to_pylist()  # pyright: ignore # a table, which Ray's types do not say
