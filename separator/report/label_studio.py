"""Write stems as tasks of Label Studio, and read what people annotated there. Pure.

A task is one stem: its sound, a choice of accept or reject, a note, and the stretches in which the
query sounds, which the task's prediction already marks. `LABELS` is the project's labelling config.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from separator.errors import RequestError
from separator.report.previews import list_spans
from separator.results.schema import Record
from separator.results.verdicts import Verdict, parse_time

MODEL_VERSION = "separator"
PRESENT = "present"
LABELS = """\
<View>
  <Header value="$query"/>
  <Text name="asset" value="$asset"/>
  <Labels name="presence" toName="audio">
    <Label value="present" background="#0f7f8c"/>
  </Labels>
  <Audio name="audio" value="$audio" spectrogram="true"/>
  <Choices name="verdict" toName="audio" choice="single" showInline="true">
    <Choice value="accept" hotkey="a"/>
    <Choice value="reject" hotkey="r"/>
  </Choices>
  <TextArea name="note" toName="audio" placeholder="Note" rows="2"/>
</View>
"""


def make_task(row: Record, audio_url: str, doubt: float | None) -> dict[str, Any]:
    """Make the task of one stem. Annotators' browsers load its sound from `audio_url`."""
    duration_s = float(row["duration_s"] or 0)
    regions = [
        {
            "id": f"{row['fingerprint'][:8]}-{number}",
            "from_name": "presence",
            "to_name": "audio",
            "type": "labels",
            "original_length": duration_s,
            "value": {"start": start_s, "end": stop_s, "channel": 0, "labels": [PRESENT]},
        }
        for number, (start_s, stop_s) in enumerate(list_spans(row) or [])
    ]
    score = row.get("presence_score")
    prediction = {"model_version": MODEL_VERSION, "result": regions}
    if score is not None:
        prediction["score"] = float(score)
    return {
        "data": {
            "audio": audio_url,
            "query": row["query_name"],
            "asset": row["asset_uri"],
            "track": row["track_index"],
            "fingerprint": row["fingerprint"],
            "doubt": doubt,
        },
        "predictions": [prediction],
    }


def read_tasks(tasks: Iterable[Any]) -> list[Verdict]:
    """Read the verdicts of exported tasks (JSON). Skip tasks without annotations, and tasks that
    `separator review tasks` did not write."""
    found, number, num_ours = [], 0, 0
    for number, task in enumerate(tasks, start=1):
        try:
            is_ours, fingerprint = "fingerprint" in task["data"], task["data"].get("fingerprint")
            annotations = [each for each in task["annotations"] if not each.get("was_cancelled")]
        except (KeyError, TypeError, AttributeError):
            raise RequestError(
                f"task {number}: has no data.fingerprint or no annotations; export the project as"
                " JSON (not JSON-MIN)"
            ) from None
        if not is_ours:
            continue
        num_ours += 1
        if not isinstance(fingerprint, str):
            raise RequestError(f"task {number}: data.fingerprint={fingerprint!r:.60}: is no text")
        found += [_read_annotation(number, fingerprint, each) for each in annotations]
    if number and not num_ours:
        raise RequestError(
            "task 1: has no data.fingerprint, nor has any other: `separator review tasks` did not"
            " write them"
        )
    return found


def _read_annotation(number: int, fingerprint: str, annotation: Mapping[str, Any]) -> Verdict:
    """Read one person's annotation of a task. Ignore relations between regions, and regions
    without a length, which a single click makes."""
    verdict, notes, spans = "", [], []
    try:
        for each in annotation["result"]:
            name, value = each.get("from_name"), each.get("value")
            if name == "verdict":
                verdict = value["choices"][0]
            elif name == "note":
                notes += value["text"] if isinstance(value["text"], list) else [value["text"]]
            elif name == "presence":
                spans.append((float(value["start"]), float(value["end"])))
        note = "\n".join(notes)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RequestError(f"task {number}: its annotation cannot be read: {error!r}") from None
    when = annotation.get("updated_at") or annotation.get("created_at")
    reviewed_at = parse_time(f"task {number}: updated_at", when, lambda: datetime.now(UTC))
    presence = tuple(sorted((start_s, stop_s) for start_s, stop_s in spans if start_s != stop_s))
    try:
        reviewer = _name_reviewer(annotation.get("completed_by"))
        return Verdict(fingerprint, verdict, note, reviewed_at, reviewer, presence)
    except RequestError as error:
        raise RequestError(f"task {number}: {error}") from None


def _name_reviewer(completed_by: Any) -> str:
    """Return the annotator's number; an export holds the number alone, or an object with it."""
    known = completed_by.get("id") if isinstance(completed_by, dict) else completed_by
    return "" if known is None else str(known)


def dump_tasks(tasks: Iterable[Mapping[str, Any]]) -> Iterable[bytes]:
    """Write tasks as one JSON list, one task per line; only one task is in memory at a time."""
    start = b"[\n"
    for task in tasks:
        yield start + json.dumps(task, ensure_ascii=False, allow_nan=False).encode()
        start = b",\n"
    yield b"\n]\n" if start == b",\n" else b"[]\n"
