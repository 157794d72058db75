"""Read the kinds of sounds that the models know from recordings alone.

The generator makes none of them; `kind_names.json` has more of their names.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from separator.sounds.take import SoundClass

PATH = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class RecordedKind:
    """A kind as `SoundClass` describes it, without a way to make it."""

    name: str
    group: str
    captions: tuple[str, ...]
    paraphrases: tuple[str, ...]


@cache
def read_recorded_kinds() -> dict[str, RecordedKind]:
    return {
        name: RecordedKind(name, row["group"], tuple(row["captions"]), tuple(row["paraphrases"]))
        for name, row in json.loads(PATH.read_text()).items()
    }


def list_known() -> "dict[str, SoundClass | RecordedKind]":
    """List all kinds that the models have words for, those of the generator first."""
    from separator.sounds.catalog import CLASSES  # imported here: to read names needs no generator

    return {**CLASSES, **read_recorded_kinds()}
