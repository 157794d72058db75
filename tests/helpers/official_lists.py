"""Find the official lists of the protocols, which are not part of this project, where they are."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.protocols import ROOT

VARIABLE = "SEPARATOR_PROTOCOLS"  # the folder; by default shared/protocols beside the checkout
# List -> its columns that hold captions or labels, by number.
CAPTIONS = {
    "audiosep/audiocaps_eval.csv": (1, 2),
    "audiosep/class_labels_indices.csv": (2,),
    "audiosep/clotho_eval.csv": (1,),
    "audiosep/esc50_eval.csv": (1,),
    "audiosep/music_eval.csv": (1,),
    "audiosep/vggsound_eval.csv": (3, 5),
    "clipsep/music-solo-test.csv": (3,),
    "clipsep/vggsound-test-good.csv": (3,),
    "clipsep/vggsound-test-no-music.csv": (3,),
    "dcase2024_task9/lass_real_evaluation.csv": (1,),
    "dcase2024_task9/lass_synthetic_validation.csv": (3,),
}


def find_official_lists() -> Path | None:
    folder = Path(os.environ.get(VARIABLE) or ROOT.parent / "shared/protocols")
    return folder if folder.is_dir() else None


def list_captions(folder: Path) -> Iterator[str]:
    """Yield every caption and label of all lists once."""
    seen: set[str] = set()
    for name, columns in CAPTIONS.items():
        with (folder / name).open(newline="", encoding="utf-8-sig") as file:
            for row in csv.reader(file):
                for column in columns:
                    if row and row[column] not in seen:
                        seen.add(row[column])
                        yield row[column]
