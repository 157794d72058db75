"""Separate sounds from single files, without a config.

No Ray is started. Of each file the default audio track is separated, and every stem is written as
a 24-bit flac beside the file, or in --out: talk.mp4 gives talk.siren.flac. An existing stem is
replaced. Memory does not grow with the length of a file.
"""

import argparse
import sys
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from jobs.command import OK, SOME_FAILED, Command, say
from separator.errors import (
    AudioError,
    MediaError,
    RateError,
    RequestError,
    StorageError,
)

FORMAT = "flac"
DISTANT = (("s3:",), ("http:",), ("https:",))  # the first part of a path that is a URI


class AddLike(argparse.Action):
    """Turn the `--query` before `--like` into one by example sounds."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if not namespace.query:
            parser.error(f"{option_string} {values}: must stand behind the --query that it is like")
        last = namespace.query.pop()
        if isinstance(last, str):
            last = {"name": last, "audio": []}
        namespace.query.append({**last, "audio": [*last["audio"], values]})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="audio or video")
    parser.add_argument(
        "--query", action="append", required=True, metavar="TEXT", help="a sound; may be repeated"
    )
    parser.add_argument(
        "--like",
        action=AddLike,
        metavar="SOUND",
        help="an example sound, or a folder of them, for the --query before it, which then is "
        "only a name; may be repeated",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder of stems (beside FILE)")
    parser.add_argument("--model", default="mini", help="a name or a checkpoint's path (mini)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")


def run(options: argparse.Namespace) -> int:
    say("loading the model ...")
    from separator import load_model
    from separator.media.encode_settings import EncodeSettings
    from separator.notebook.files import FileTask, list_examples
    from separator.queries import parse_queries
    from separator.storage.atomic import take_folder

    queries = parse_queries(options.query)
    names, settings = [query.name for query in queries], EncodeSettings(FORMAT)
    out = options.out and take_folder(options.out)
    if distant := [path for path in options.files if path.parts[:1] in DISTANT]:
        uri = str(distant[0]).replace(":/", "://", 1)
        raise RequestError(f"{uri}: is no local file; `separator run` reads s3://")
    if folders := [path for path in options.files if path.is_dir()]:
        raise RequestError(f"{folders[0]}: is a folder; name its files, or use `separator run`")
    check_names(options.files, out, names, list_examples(queries))
    model = load_model(options.model, device=options.device)
    conditions_QD = model.encode(options.query)
    num_failed = 0
    for path in options.files:
        say(f"separating {path} ...")
        try:
            task = FileTask(path, path.stem, out or path.parent, "default", settings)
            for stem in task.separate(model.engine, names, conditions_QD):
                print(stem.path, flush=True)
        except (MediaError, AudioError, StorageError, RateError) as error:
            say(f"{options.prog}: {path}: {error.code}: {error}")
            num_failed += 1
        except OSError as error:
            say(f"{options.prog}: {path}: {error.filename or 'stem'}: {error.strerror or error}")
            num_failed += 1
    return SOME_FAILED if num_failed else OK


def check_names(
    files: Sequence[Path], out: Path | None, names: Sequence[str], examples: Set[Path]
) -> None:
    """Raise RequestError if a stem cannot be written, would replace an input, or two files would
    share it."""
    from separator.notebook.files import check_stem_path, name_stem_file

    inputs = {path.resolve() for path in files} | examples
    owners: dict[Path, Path] = {}
    for path in dict.fromkeys(files):
        for name in names:
            stem_path = (out or path.parent) / name_stem_file(path.stem, name, FORMAT)
            check_stem_path(stem_path)
            if stem_path.resolve() in inputs:
                raise RequestError(
                    f"{stem_path} is an input, and a stem of {path} would replace it"
                )
            # Two spellings, or a link, may lead to the same folder.
            owner = owners.setdefault(stem_path.resolve(), path)
            if owner.resolve() != path.resolve():
                raise RequestError(
                    f"{owner} and {path} would both write {stem_path}; "
                    "separate them one at a time, each with an --out of its own"
                )


FILE = Command(
    "file", "jobs.file", __doc__, add_arguments, run,
    example="talk.mp4 --query 'a person speaking' --query bird --like bird.wav --out stems",
    resumes=False,
)  # fmt: skip
main = FILE.main

if __name__ == "__main__":
    sys.exit(main())
