"""Score units of work in Ray actors that hold a model, and keep each unit's rows when it is done.

A unit, such as a song or some pairs, is scored as a whole, and repeated as a whole. The driver
writes the rows, so the workers need no shared storage.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from separator.errors import RequestError, SeparatorError, StorageBusy
from separator.storage.atomic import write_whole
from separator.train.outputs import check_folder

Row = dict[str, Any]
Score = Callable[[Any], list[Row]]  # of one unit's work
SHOW_EVERY_S = 15.0


@dataclass(frozen=True)
class Unit:
    """Work to score, and the name under which its rows are stored: equal for equal rows."""

    name: str
    work: Any


class Actor:
    """Hold a model in a Ray actor; an error of a unit becomes part of the answer."""

    def __init__(self, make: Callable[[], Score], units: list[Unit], threads: int) -> None:
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.make, self.units = make, units
        self.score: Score | SeparatorError | None = None

    def __call__(self, row: Row) -> Row:
        """Score unit number `row["id"]`."""
        answer = {"id": row["id"], "rows": "", "trouble": "", "may_pass": False}
        try:
            if self.score is None:
                self.score = self.load()
            if isinstance(self.score, SeparatorError):
                raise self.score
            return answer | {"rows": json.dumps(self.score(self.units[row["id"]].work))}
        except SeparatorError as error:
            return answer | {"trouble": str(error), "may_pass": error.may_pass}

    def load(self) -> Score | SeparatorError:
        """Load the model, or return the error, so that not every unit tries it again."""
        try:
            return self.make()
        except SeparatorError as error:
            return error


def score_units(
    units: Sequence[Unit],
    make: Callable[[], Score],
    actors: int,
    device: str,
    folder: Path | None = None,
    show: Callable[[str], object] = lambda line: None,
) -> list[Row]:
    """Return the rows of all units in their order; units with rows in `folder` are not repeated.

    An error of a unit is raised when the others are done.
    """
    found = read_parts(units, folder)
    todo = [unit for unit in units if unit.name not in found]
    if found:
        show(f"{len(found)} of {len(units)} are there already")
    troubles = []
    shown_at = time.monotonic()
    for done, answer in enumerate(run_actors(todo, make, actors, device), start=1):
        unit = todo[answer["id"]]
        if answer["trouble"]:
            troubles.append(answer)
            continue
        found[unit.name] = json.loads(answer["rows"])
        if folder:
            write_whole(name_part(folder, unit), answer["rows"].encode())
        if time.monotonic() - shown_at > SHOW_EVERY_S or done == len(todo):
            show(f"{len(found)} of {len(units)}")
            shown_at = time.monotonic()
    if troubles:
        kind = StorageBusy if troubles[0]["may_pass"] else RequestError
        rest = "" if len(troubles) == 1 else f" (and {len(troubles) - 1} more)"
        raise kind(f"{troubles[0]['trouble']}{rest}")
    return [row for unit in units for row in found[unit.name]]


def run_actors(
    units: list[Unit], make: Callable[[], Score], actors: int, device: str
) -> Iterator[Row]:
    """Yield the actors' answers as they come."""
    if not units:
        return
    import ray
    import ray.data

    from separator.machine import count_cpus
    from separator.run.local_ray import join_ray, quiet_loggers

    join_ray()
    quiet_loggers()
    ray.data.DataContext.get_current().enable_progress_bars = False
    has_gpu = ray.cluster_resources().get("GPU", 0) > 0
    if device == "cuda" and not has_gpu:
        raise RequestError("device='cuda': Ray has no GPU here; use auto or cpu")
    on_gpu = device != "cpu" and has_gpu
    threads = 0 if on_gpu else max(1, count_cpus() // actors)
    answers = ray.data.range(len(units), override_num_blocks=len(units)).map(
        Actor,  # pyright: ignore[reportArgumentType]
        fn_constructor_args=(make, units, threads),
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_gpus=1 if on_gpu else 0,
        num_cpus=0,
    )
    yield from answers.iter_rows()


def read_parts(units: Sequence[Unit], folder: Path | None) -> dict[str, list[Row]]:
    """Read the rows of the units that are done."""
    if folder is None:
        return {}
    check_folder(folder)
    found = {}
    for unit in units:
        # A part that a disk lost or cut off is made again.
        with suppress(FileNotFoundError, ValueError):
            found[unit.name] = json.loads(name_part(folder, unit).read_bytes())
    return found


def name_part(folder: Path, unit: Unit) -> Path:
    return folder / f"{hash_name(unit.name)}.json"


def hash_name(*values: Any) -> str:
    """Return a short name for values that JSON can hold; other values get another name."""
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
