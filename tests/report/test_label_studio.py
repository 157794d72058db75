"""Tasks of Label Studio: its own SDK accepts them, and annotations come back."""

import json
from pathlib import Path

import pytest

from separator.errors import RequestError
from separator.report.label_studio import LABELS, dump_tasks, make_task, read_tasks
from tests.helpers.report_library import make_record


def make_row(**values) -> dict:
    # Whole seconds: SDK 2.0.5 takes all Labels for those of texts, which count characters.
    spans = [{"start_s": 1.0, "stop_s": 3.0, "score": 0.8}]
    given = {"duration_s": 5.0, "presence": spans, "presence_score": 0.8}
    return make_record(Path("/in/a.wav"), "", "siren", **given | values)


def make_annotation(**values) -> dict:
    """An annotation as Label Studio exports it."""
    region = {"start": 1.2, "end": 2.0, "channel": 0, "labels": ["present"]}
    result = [
        {"from_name": "verdict", "to_name": "audio", "type": "choices",
         "value": {"choices": ["reject"]}},
        {"from_name": "note", "to_name": "audio", "type": "textarea", "value": {"text": ["hum"]}},
        {"from_name": "presence", "to_name": "audio", "type": "labels", "value": region},
    ]  # fmt: skip
    return {
        "id": 9, "completed_by": 4, "was_cancelled": False, "result": result,
        "created_at": "2026-01-01T12:00:00.000000Z", "updated_at": "2026-01-02T12:00:00.000000Z",
    } | values  # fmt: skip


def test_label_studio_accepts_the_labelling_config_and_the_tasks():
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface(LABELS)
    interface.validate()
    for row in (make_row(), make_row(presence=None, presence_score=None), make_row(presence=[])):
        task = make_task(row, "https://sounds.example/a.flac", 0.4)
        (prediction,) = task.pop("predictions")  # which validate_task cannot look into
        assert interface.validate_task(task) and interface.validate_prediction(prediction)
    broken = make_task(make_row(), "x", 0.4)["predictions"][0]
    broken["result"][0]["from_name"] = "elsewhere"
    assert not interface.validate_prediction(broken)


def test_make_task_marks_the_presence_as_regions():
    task = make_task(make_row(), "s3://x/a.flac", 0.4)
    (region,) = task["predictions"][0]["result"]
    assert region["value"] == {"start": 1.0, "end": 3.0, "channel": 0, "labels": ["present"]}
    assert region["original_length"] == 5.0 and task["predictions"][0]["score"] == 0.8


def test_read_tasks_reads_verdict_note_regions_and_who_gave_them():
    row = make_row()
    task = make_task(row, "x", None) | {"id": 1, "annotations": [make_annotation()]}
    (verdict,) = read_tasks([task])
    assert (verdict.fingerprint, verdict.verdict, verdict.note) == (
        row["fingerprint"],
        "reject",
        "hum",
    )
    assert verdict.presence == ((1.2, 2.0),) and verdict.reviewer == "4"
    assert verdict.reviewed_at.isoformat() == "2026-01-02T12:00:00+00:00"


def test_read_tasks_leaves_out_what_nobody_annotated():
    task = make_task(make_row(), "x", None)
    assert read_tasks([task | {"annotations": []}]) == []
    assert read_tasks([task | {"annotations": [make_annotation(was_cancelled=True)]}]) == []


@pytest.mark.parametrize("task", [{}, [], "x", {"data": {}, "annotations": []}])
def test_read_tasks_names_a_task_that_is_none(task):
    with pytest.raises(RequestError, match=r"task 1: has no data\.fingerprint"):
        read_tasks([task])


def test_read_tasks_names_an_annotation_that_cannot_be_read():
    bad = make_annotation(result=[{"from_name": "presence", "value": {"start": "x"}}])
    with pytest.raises(RequestError, match="task 1: its annotation cannot be read"):
        read_tasks([make_task(make_row(), "x", None) | {"annotations": [bad]}])


def test_dump_tasks_writes_one_list():
    tasks = [make_task(make_row(), "x", None)] * 3
    assert json.loads(b"".join(dump_tasks(tasks))) == tasks
    assert json.loads(b"".join(dump_tasks([]))) == []


def annotate(**values) -> dict:
    return make_task(make_row(), "x", None) | {"annotations": [make_annotation(**values)]}


def test_read_tasks_leaves_out_relations_and_regions_of_no_length():
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    click = {"from_name": "presence", "value": {"start": 1.5, "end": 1.5}}
    result = [*make_annotation()["result"], relation, click]
    (verdict,) = read_tasks([annotate(result=result)])
    assert verdict.verdict == "reject" and verdict.presence == ((1.2, 2.0),)


@pytest.mark.parametrize(
    ("completed_by", "reviewer"),
    [(4, "4"), (None, ""), ({"id": 3, "email": "a@example.org"}, "3"), ({}, "")],
)
def test_read_tasks_names_people_by_their_number(completed_by, reviewer):
    (verdict,) = read_tasks([annotate(completed_by=completed_by)])
    assert verdict.reviewer == reviewer


def test_read_tasks_leaves_out_tasks_of_another_origin_beside_ours():
    other = {"data": {"text": "x"}, "annotations": [make_annotation(result=[])]}
    (verdict,) = read_tasks([other, annotate()])
    assert verdict.verdict == "reject"
    with pytest.raises(RequestError, match="`separator review tasks` did not write them"):
        read_tasks([other])


@pytest.mark.parametrize(
    ("fingerprint", "said"),
    [(None, "fingerprint=None: is no text"), (7, "fingerprint=7: is no text"), ("x", "is none of")],
)
def test_read_tasks_names_a_task_whose_fingerprint_is_none(fingerprint, said):
    task = annotate()
    task["data"]["fingerprint"] = fingerprint
    with pytest.raises(RequestError, match=f"task 2: .*{said}"):
        read_tasks([annotate(), task])


@pytest.mark.parametrize(
    "value",
    [
        {"from_name": "presence", "value": {"start": 2.0, "end": 1.0}},
        {"from_name": "verdict", "value": {"choices": ["maybe"]}},
        {"from_name": "note", "value": {"text": [None]}},
        {"from_name": "note"},
        1,
    ],
)
def test_read_tasks_names_the_task_of_what_cannot_be_read(value):
    with pytest.raises(RequestError, match=r"^task 2: "):
        read_tasks([annotate(), annotate(result=[value])])
