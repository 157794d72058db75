"""Read people's verdicts about stems into the output.

`import` reads a file of verdicts: one that the report page saved, or the JSON export of a Label
Studio project. They become review/verdicts.parquet beside the manifest, which `export` can filter
by. `tasks` writes the most doubtful stems as tasks of Label Studio.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jobs.command import Command, check_least
from separator.errors import RequestError

if TYPE_CHECKING:
    from separator.results.paths import Layout
    from separator.results.verdicts import Verdict
    from separator.storage import Storage

FORMAT = "separator-review"
MAX_TASKS = 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    reading = actions.add_parser(
        "import",
        help="read verdicts from the page or from Label Studio",
        description="Read verdicts into review/verdicts.parquet of the output. Of two verdicts"
        " about one stem the later one counts; reading a file twice changes nothing.",
    )
    reading.add_argument(
        "file",
        metavar="FILE.json",
        type=Path,
        help="review.json of the report page, or a Label Studio project exported as JSON",
    )
    writing = actions.add_parser(
        "tasks",
        help="write tasks for Label Studio",
        description="Write the most doubtful stems as tasks of Label Studio, and the project's"
        " labelling config beside them, with the ending .xml.",
    )
    writing.add_argument("file", metavar="TASKS.json", type=Path, help="the file to write")
    writing.add_argument(
        "--sounds",
        default="",
        metavar="URL",
        help="where browsers find the files of the output; default: the stems' own URIs",
    )
    writing.add_argument(
        "--most", type=int, default=MAX_TASKS, metavar="N", help=f"stems ({MAX_TASKS})"
    )
    needed = {
        reading: "needed where the file names none, or the output has moved",
        writing: "needed where --config names none",
    }
    for each, when in needed.items():
        each.add_argument("--output", metavar="URI", help=f"the output.uri of the run; {when}")
        each.add_argument(
            "--config",
            dest="config_path",
            metavar="CONFIG.yaml",
            type=Path,
            help="config of the run: gives the settings of storage, and output.uri if it is set",
        )


def run(options: argparse.Namespace) -> None:
    if options.action == "import":
        read(options)
    else:
        write_tasks(options)


def read(options: argparse.Namespace) -> None:
    from separator.results.verdicts import add_verdicts, list_fingerprints

    verdicts, output_uri = parse_file(options.file)
    storage, layout = find_output(options, output_uri)
    known = list_fingerprints(storage, layout)
    num_changed = add_verdicts(storage, layout, verdicts)
    print(f"{'verdicts':12}{len(verdicts):>8,}   new or changed {num_changed:,}")
    if strange := sum(each.fingerprint not in known for each in verdicts):
        print(f"{strange:,} are of stems that the manifest does not hold (any more)")
    print(f"{layout.root_uri}: review/verdicts.parquet")


def parse_file(path: Path) -> "tuple[list[Verdict], str]":
    """Read a file of verdicts; return them and the output that the file names, or ""."""
    from separator.report.label_studio import read_tasks

    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{path}: is no JSON: {error}") from None
    try:
        if isinstance(content, list):
            return read_tasks(content), ""
        return read_page(content), content["output"]
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from None


def read_page(content: Any) -> "list[Verdict]":
    """Read the verdicts that the report page saved."""
    from datetime import UTC, datetime

    from separator.results.verdicts import Verdict, guess_time, parse_time

    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RequestError(
            "holds no verdicts; save them on the report page, or export a Label Studio project as"
            " JSON"
        )
    rows, output_uri = content.get("verdicts"), content.get("output")
    if not isinstance(rows, list) or not isinstance(output_uri, str):
        raise RequestError("lacks the list `verdicts` or the text `output`")
    found = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise RequestError(f"verdict {number}: is {row!r:.40}, not an object")
        texts = {key: row.get(key) or "" for key in ("fingerprint", "verdict", "note", "reviewer")}
        if strange := [key for key, value in texts.items() if not isinstance(value, str)]:
            raise RequestError(f"verdict {number}: {strange[0]} is no text")
        fingerprint, verdict, note, reviewer = texts.values()
        when, *times = (
            parse_time(f"verdict {number}: {key}", row.get(key), lambda: None)
            for key in ("reviewed_at", "verdict_at", "note_at")
        )
        when = when or datetime.now(UTC)
        verdict_at, note_at = times if any(times) else (guess_time(verdict, note, when), None)
        found.append(
            Verdict(
                fingerprint, verdict, note, when, reviewer, verdict_at=verdict_at, note_at=note_at
            )
        )
    return found


def find_output(options: argparse.Namespace, named_uri: str) -> "tuple[Storage, Layout]":
    """Find the output: that of --output, else of the config, else of the file of verdicts."""
    from separator.results.paths import Layout
    from separator.run.status import check_output
    from separator.storage import Storage

    storage, config_uri = Storage(), ""
    if options.config_path:
        storage, config_uri = read_place(options.config_path)
    output_uri = options.output or config_uri or named_uri
    if not output_uri:
        raise RequestError("which output? give --output URI")
    layout = Layout(output_uri, "")
    check_output(storage, layout)
    return storage, layout


def read_place(path: Path) -> "tuple[Storage, str]":
    """Read a run's config; return its storage, and its output.uri, empty if it sets none."""
    from omegaconf import OmegaConf

    from separator.config import JobConfig
    from separator.config_file import build, merge_settings
    from separator.storage import Storage

    tree = merge_settings(JobConfig, path, [])
    storage = Storage(build(tree.storage, path))
    is_open = OmegaConf.is_missing(tree.output, "uri")
    return storage, "" if is_open else build(tree.output, path).uri


def write_tasks(options: argparse.Namespace) -> None:
    from separator.report.label_studio import LABELS, dump_tasks, make_task
    from separator.report.make import read_doubtful
    from separator.report.page import ReportLayout

    check_least(options, most=1)
    # The labelling config goes beside the tasks, under the same name with .xml.
    if options.file.suffix.lower() != ".json":
        raise RequestError(f"{options.file}: must end in .json")
    storage, layout = find_output(options, "")
    report = ReportLayout(layout)
    rows = read_doubtful(storage, layout, options.most)

    def find_sound(uri: str) -> str:
        if not options.sounds:
            # Label Studio takes the key of an S3 URI as it stands; a file:// URI is encoded.
            return uri if "://" in uri else quote(uri)
        if not (link := report.link(uri)):
            raise RequestError(
                f"{uri}: this stem does not lie in {layout.root_uri}. The manifest names the place"
                " into which the run wrote it; give that place as --output, or leave out --sounds"
            )
        return f"{options.sounds.rstrip('/')}/{link.removeprefix('../')}"

    tasks = (make_task(row, find_sound(row["stem_uri"]), doubt) for row, doubt in rows)
    options.file.write_bytes(b"".join(dump_tasks(tasks)))
    labels = options.file.with_suffix(".xml")
    labels.write_text(LABELS)
    print(f"{options.file}: {len(rows):,} tasks; {labels}: the project's labelling config")


REVIEW = Command("review", "jobs.review", __doc__, add_arguments, run, example="import review.json")
main = REVIEW.main

if __name__ == "__main__":
    sys.exit(main())
