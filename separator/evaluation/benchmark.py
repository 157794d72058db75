"""Define the parts that all benchmarks share: settings, rows, and a table with published figures.

Each benchmark of a paper is a module of its own, which defines the units that it scores.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from separator.config_file import check_choice, check_number
from separator.errors import RequestError
from separator.evaluation.over_units import Row
from separator.evaluation.published import SURE, Table
from separator.model.download import hash_file
from separator.model.registry import resolve
from separator.storage import Storage, StorageSettings

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")
WIDTH = 32  # of names in tables
NONE = "-"  # stands for a missing figure
Show = Callable[[str], object]


@dataclass(frozen=True)
class BenchmarkSettings:
    """The settings of every benchmark."""

    model: list[str] = MISSING
    detector: str = ""
    limit: int = 0  # songs or pairs for a first try; 0: all
    device: str = "auto"
    precision: str = "fp32"
    actors: int = 1
    storage: StorageSettings = field(default_factory=StorageSettings)

    def __post_init__(self) -> None:
        if not self.model or len(set(self.model)) < len(self.model):
            raise RequestError(f"model={self.model}: name one model, or several different ones")
        check_choice("device", self.device, DEVICES)
        check_choice("precision", self.precision, PRECISIONS)
        check_number("limit", self.limit, 0, 1e9)
        check_number("actors", self.actors, 1, 1e5)

    def name_files(self, model: str) -> tuple[str, str, str, str, Storage]:
        """Return the arguments of `load_by_examples`."""
        return model, self.detector, self.device, self.precision, Storage(self.storage)

    def identify(self, model: str) -> list[str]:
        """Return the identity of this model's figures: the hashes of its files, and the precision.

        The first use of a published name fetches its file.
        """
        fetch = Storage(self.storage).fetch
        names = [name for name in (model, self.detector) if name]
        return [*(hash_file(resolve(name, fetch)) for name in names), self.precision]


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write rows as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from separator.storage.atomic import replacing

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)


def lay_out(
    title: str,
    columns: Sequence[str],
    ours: Sequence[tuple[str, Sequence[float]]],
    tables: Sequence[Table],
    note: str = "",
) -> str:
    """Lay out our figures, and below them the published ones with their source and certainty."""
    lines = [title, " " * WIDTH + "".join(f"{column:>12}" for column in columns)]
    lines += [lay_row(name, figures) for name, figures in ours]
    for table in tables:
        lines += ["", f"published{SURE[table.sure]}: {table.source}"]
        if note:
            lines.append(note)
        lines += [lay_row(row.name, row.figures, row.spread) for row in table.rows]
    return "\n".join(lines)


def lay_row(name: str, figures: Sequence[float], spread: Sequence[float] = ()) -> str:
    shown = [NONE if math.isnan(figure) else f"{figure:.2f}" for figure in figures]
    if spread:
        shown = [f"{a} ±{b:.2f}" for a, b in zip(shown, spread, strict=True)]
    return f"{name[-WIDTH + 1 :]:{WIDTH}}" + "".join(f"{each:>12}" for each in shown)


def write_table(out: Path, table: str) -> str:
    """Write the table beside the scores, and return it."""
    (out / "table.txt").write_text(table + "\n")
    return table


def pick(rows: list[Row], **wanted: Any) -> list[Row]:
    """Return the rows that have these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]
