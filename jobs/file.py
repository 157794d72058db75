"""Separate sounds from single files, without a config.

No Ray is started. Of each file the default audio track is separated, and every stem is written as
a 24-bit flac beside the file, or in --out: talk.mp4 gives talk.siren.flac. A stem that is there
is replaced. Memory does not grow with the length of a file.
"""

import argparse
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.command import OK, SOME_FAILED, Command, say
from separator.errors import (
    AudioError,
    LayoutUnsupported,
    MediaError,
    RateError,
    RequestError,
    StorageError,
)

if TYPE_CHECKING:
    import numpy as np

    from separator.api import Separator
    from separator.queries import Query

FORMAT = "flac"


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
        "--like", action=AddLike, metavar="SOUND",
        help="an example of the --query before it, which then is a name: a file or a folder;\n"
        "may be repeated",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where stems go (beside FILE)")
    parser.add_argument("--model", default="mini", help="a name or a checkpoint's path (mini)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")


def run(options: argparse.Namespace) -> int:
    say("loading the model ...")
    from separator import load_model
    from separator.queries import parse_queries

    queries = parse_queries(options.query)
    names = plan_names(options.files, options.out, queries)
    model = load_model(options.model, device=options.device)
    conditions_QD = model.encode(options.query)
    num_failed = 0
    for path in options.files:
        say(f"separating {path} ...")
        try:
            for stem_path in separate_file(model, path, names[path], conditions_QD):
                print(stem_path, flush=True)
        except (MediaError, AudioError, StorageError, RateError) as error:
            say(f"{options.prog}: {path}: {error.code}: {error}")
            num_failed += 1
        except OSError as error:
            say(f"{options.prog}: {path}: {error.filename or 'stem'}: {error.strerror or error}")
            num_failed += 1
    return SOME_FAILED if num_failed else OK


def plan_names(
    files: Sequence[Path], out: Path | None, queries: "Sequence[Query]"
) -> dict[Path, list[Path]]:
    """The paths of the stems of each file; two files never share one."""
    planned: dict[Path, list[Path]] = {}
    inputs = {path.resolve() for path in files}
    owners: dict[Path, Path] = {}
    for path in dict.fromkeys(files):
        folder = path.parent if out is None else out
        planned[path] = [folder / f"{path.stem}.{query.name}.{FORMAT}" for query in queries]
        for stem_path in planned[path]:
            if stem_path.resolve() in inputs:
                raise RequestError(
                    f"{stem_path} is an input, and a stem of {path} would replace it"
                )
            if (owner := owners.setdefault(stem_path, path)) != path:
                raise RequestError(
                    f"{owner} and {path} would both write {stem_path}; "
                    "separate them one at a time, each with an --out of its own"
                )
    return planned


def separate_file(
    model: "Separator", path: Path, stem_paths: Sequence[Path], conditions_QD: "np.ndarray"
) -> Iterator[Path]:
    """Write one stem after the other. Each decodes the file again, so that one is held open."""
    from separator.audio.format import AudioFormat
    from separator.media.choose import choose_tracks
    from separator.media.decode import output_rate
    from separator.media.encode import EncodeSettings, encode
    from separator.media.probe import probe
    from separator.storage.atomic import replacing

    media = probe(path)
    track = choose_tracks(media.tracks, "default")[0]
    if not track.rate_hz:
        raise LayoutUnsupported(f"track {track.index} ({track.codec}) has no sample rate")
    rate_hz = output_rate(track)
    for stem_path, condition_D in zip(stem_paths, conditions_QD, strict=True):
        stem_path.parent.mkdir(parents=True, exist_ok=True)
        with (
            closing(separate_blocks(model, path, media, track, condition_D)) as blocks,
            replacing(stem_path) as temporary,
        ):
            audio_format = AudioFormat(rate_hz, track.num_channels, track.layout)
            encode(blocks, temporary, audio_format, settings=EncodeSettings(FORMAT))
        yield stem_path


def separate_blocks(
    model: "Separator", path: Path, media: Any, track: Any, condition_D: "np.ndarray"
) -> "Generator[np.ndarray, None, None]":
    """The stem of one query in blocks (C, T), a span at a time."""
    import torch

    from separator.audio.spans import check_rate, cut_spans
    from separator.media.decode import decode, output_rate
    from separator.model.track import SPAN_S

    engine, rate_hz = model.engine, output_rate(track)
    check_rate(rate_hz)
    context_s, grid_s = engine.context_s, engine.grid_s
    condition_1D = torch.tensor(condition_D)[None]
    num_samples = 0
    with closing(decode(path, media, track)) as decoded:
        for span, samples_CT, _ in cut_spans(decoded, rate_hz, SPAN_S, context_s, grid_s):
            num_samples = span.core_stop
            for stem_CT in engine.separate_span(
                torch.tensor(samples_CT), rate_hz, condition_1D, span
            ):
                yield stem_CT.numpy()
    if not num_samples:
        raise AudioError(f"{path.name!r}: track {track.index} holds no samples")


FILE = Command(
    "file", "jobs.file", __doc__, add_arguments, run,
    example="talk.mp4 --query 'a person speaking' --query bird --like bird.wav --out stems",
)  # fmt: skip
main = FILE.main

if __name__ == "__main__":
    sys.exit(main())
