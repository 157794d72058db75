"""Fit the line that turns a model's similarities into presence scores.

Scenes of the sound generator, whose sounds are known, show which similarity of a text and two
seconds of audio means that the sound is there. OUT is a copy of the model with this line added.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.command import Command, check_least, check_new_file, say

if TYPE_CHECKING:
    from separator.detect.curves import Calibration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="mini, a path, or s3://...")
    parser.add_argument("out", metavar="OUT.safetensors", type=Path, help="a copy with the line")
    parser.add_argument("--scenes", type=int, default=30, help="scenes of a minute each (30)")
    parser.add_argument("--force", action="store_true", help="overwrite OUT")


def run(options: argparse.Namespace) -> None:
    check_least(options, scenes=1)
    check_new_file(options.out, options.force)
    say("reading the model ...")
    from separator.encoders import lookup
    from separator.evaluation.calibration import FIRST_SEED, compare_scenes, fit_calibration
    from separator.evaluation.scenes import make_scene
    from separator.model import registry
    from separator.model.zero_shot_files import read_separator
    from separator.sounds.catalog import CLASSES
    from separator.storage import Storage

    path = registry.resolve(options.model, Storage().fetch)
    checkpoint = read_separator(path)
    encoder_id = checkpoint.encoder_id
    texts = [kind.captions[0] for kind in CLASSES.values()]
    conditions_QD, _ = lookup.encode_texts(
        texts, encoder_id, lambda: lookup.find_encoder(path, encoder_id)
    )
    encoder = lookup.load_audio_encoder(path, encoder_id)
    say(f"listening to {options.scenes} scenes ...")
    scenes = (make_scene(FIRST_SEED + number) for number in range(options.scenes))
    conditions = dict(zip(CLASSES, conditions_QD, strict=True))
    found = fit_calibration(*compare_scenes(encoder, conditions, scenes))
    add_line(path, options.out, checkpoint.sha256, found)
    print(f"{options.out}: similarity {-found.offset / found.slope:.3f} is a score of 0.5")


def add_line(path: Path, out: Path, sha256: str, found: "Calibration") -> None:
    """Write a copy of the model with the line. A file of torch becomes a safetensors file, which
    has to name the sha256 of the weights that it holds."""
    import json

    from separator.encoders.lookup import CALIBRATION
    from separator.model.tensors import FORMAT, read_tensors, write_tensors

    tensors, metadata = read_tensors(path)
    line = json.dumps([round(found.slope, 4), round(found.offset, 4)])
    about = {"format": FORMAT, "sha256": sha256} | metadata | {CALIBRATION: line}
    write_tensors(out, {name: t.contiguous() for name, t in tensors.items()}, about)


CALIBRATE = Command(
    "calibrate",
    "jobs.calibrate",
    __doc__,
    add_arguments,
    run,
    example="mini mini2.safetensors",
    resumes=False,
)
main = CALIBRATE.main

if __name__ == "__main__":
    sys.exit(main())
