"""Protocols and tables of a user's own: mistakes are one line before anything is computed."""

import re
from pathlib import Path

import pytest

from separator.config_file import read_settings
from separator.errors import RequestError
from separator.evaluation.protocol import ProtocolSettings
from separator.evaluation.protocol_files import read_protocol
from separator.evaluation.protocol_queries import make_tasks
from separator.evaluation.protocol_scores import make_scorer
from separator.evaluation.run_protocol import list_cases, load_one, run_protocol, write_pictures
from tests.helpers.protocols import CONFIGS, WRITERS, write_csv

OWN = """
output: {folder}/out
protocol:
  name: own
  about: pairs of sounds
  cases: {{file: own.csv}}
  target: segment-{{idx}}.wav
  mixture: mixture-{{idx}}.wav
  queries: {{caption: {{column: caption}}}}
  figures: [{{name: SDR, metric: sdr_db}}]
"""
GENERATED = ["protocol.mixing=generated", "protocol.generated={pairs: 1}"]
ROWS = [["idx", "caption", "snr"], [0, "rain", "high"], [1, "a dog", ""]]


@pytest.fixture
def words(tmp_path) -> list[str]:
    """Write a protocol with its data; return what its command takes."""
    WRITERS["audiocaps"](tmp_path / "data", tmp_path / "lists")
    write_csv(tmp_path / "lists/own.csv", ROWS)
    (tmp_path / "own.yaml").write_text(OWN.format(folder=tmp_path))
    return ["model=mini", f"data={tmp_path / 'data'}", f"lists={tmp_path / 'lists'}", "device=cpu"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["protocol.figures=[{name: X, metric: sdri}]"], "figure X: metric='sdri': must be one of"),
        (["protocol.figures=[{name: X, metric: pesq}]"], "pesq': set protocol.metrics=[speech]"),
        (["protocol.figures=[{name: X, metric: sdr_db, take: frechet}]"], "metric embedding alone"),
        (["protocol.figures=[{name: X, metric: embedding}]", "more=fad"], "metric embedding alone"),
        (["protocol.mixture=''"], "protocol.mixture: is empty; with mixing=given"),
        (["protocol.mixing=at_snr"], "protocol.noise: is empty; with mixing=at_snr"),
        (["protocol.mixing=halves"], "protocol.num_samples=0: must be a number from 2"),
        (["protocol.mixing=halves", "protocol.num_samples=9"], "protocol.noises.file: is empty"),
        (["protocol.mixing=generated"], "protocol.generated: no cases; set pairs"),
        (["protocol.generated.seconds=.nan"], "generated.seconds=nan: must be a number from 0.1"),
        (["protocol.generated.pairs=-1"], "generated.pairs=-1: must be a number from 0"),
        (["protocol.cases.file=''"], "protocol.cases: is empty"),
        (["protocol.cases.most_of_kind=2"], "set protocol.kind"),
        (["protocol.rate_hz=0"], "protocol.rate_hz=0: must be a number from 1000"),
        (["protocol.score_hz=-1"], "protocol.score_hz=-1: must be a number from 1000"),
        (
            ["protocol.mixing=halves", "protocol.num_samples=9", "protocol.noises.file=own.csv"],
            "audio is needed for own: is this the list of another set?",
        ),
        (
            ["protocol.mixing=at_snr", "protocol.noise=segment-1.wav"],
            "case 0: snr='high': must be a number of dB from -200 to 200",
        ),
        (["protocol.queries={x: {}}"], "protocol.queries.x: has no column"),
        (["protocol.queries={x: {kind: audio, text: a}}"], "protocol.queries.x: has no column"),
        (["protocol.queries={x: {kind: generated}}"], "x: kind=generated is for mixing=generated"),
        ([*GENERATED, "protocol.queries={x: {kind: image, column: a}}"], "generated has no files"),
        ([*GENERATED, "protocol.queries={x: {column: a}}", "query=x"], "paraphrase; a is needed"),
        ([*GENERATED, "also=own.csv"], "also='own.csv': mixing=generated has no list"),
        (["protocol.queries={x: {column: snr}}", "query=x"], "query=x: row 2: its snr is empty"),
        (["protocol.figures=[]"], "protocol.figures: is empty"),
        (
            ["protocol.published=[{source: s, sure: read, rows: {a: [1, 2]}}]"],
            "published 'a': 2 figures for ['SDR']",
        ),
        (["protocol.classes={file: own.csv, key: idx}"], "protocol.classes: set key, and of"),
        (
            ["protocol.classes={file: own.csv, key: idx, of: kind}"],
            "protocol.classes.of='kind': the rows have the columns idx, caption, snr",
        ),
        (["output=s3://bucket/scores"], "must be a folder of this machine"),
    ],
)
def test_run_protocol_refuses_what_it_could_not_score(more, message, words, tmp_path):
    with pytest.raises(RequestError, match=re.escape(message)) as caught:
        run_protocol(read_settings(ProtocolSettings, tmp_path / "own.yaml", [*words, *more]), print)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_scorer_takes_a_column_called_snr_as_a_text_where_nothing_is_mixed(words, tmp_path):
    settings = read_settings(ProtocolSettings, tmp_path / "own.yaml", words)
    cases, _ = list_cases(settings)
    tasks = make_tasks(
        load_one(settings, "mini"), settings.protocol.queries["caption"], "caption", cases, 0
    )
    rows = make_scorer(settings, "mini")(tasks)
    assert [row["asked"] for row in rows] == ["rain", "a dog"] and "snr_db" not in rows[0]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("bundled", []),
        ("musdb18", ["data=x"]),
        ("held-out", ["data=x", "detector=stsed"]),
        ("desed", ["data=x", "lists=x"]),
    ],
)
def test_files_of_configs_write_into_folders_of_this_machine_alone(name, more):
    given = ["model=mini", "output=s3://bucket/scores", *more]
    with pytest.raises(RequestError, match="must be a folder of this machine"):
        read_protocol(CONFIGS / f"{name}.yaml", given)(print)


def test_list_cases_joins_a_table_of_classes_to_audioset_by_the_class(tmp_path):
    WRITERS["audioset"](tmp_path / "data", tmp_path / "lists")
    own = write_csv(tmp_path / "own.csv", [["class", "paraphrase"], [1, "a man who talks"]])
    given = [
        "model=mini",
        f"data={tmp_path / 'data'}",
        f"lists={tmp_path / 'lists'}",
        f"also={own}",
        "query=paraphrase",
    ]
    cases, _ = list_cases(read_settings(ProtocolSettings, CONFIGS / "audioset.yaml", given))
    assert {(case.kind, case.columns["paraphrase"]) for case in cases} == {("1", "a man who talks")}
    assert {case.columns["display_name"] for case in cases} == {"Male speech, man speaking"}
    assert [case.columns["index"] for case in cases] == [f"{i:03}" for i in range(10)]


def test_write_pictures_removes_those_of_an_earlier_run_and_no_others(tmp_path: Path):
    for name in ("0-caption-00000.png", "12-in-other-words-123456.png", "holiday.png", "1-a.png"):
        (tmp_path / name).write_bytes(b"x")
    write_pictures(tmp_path, [{"model": "m", "query": "q", "number": 3, "picture": "eA=="}], ["m"])
    assert {path.name for path in tmp_path.iterdir()} == {"0-q-00003.png", "holiday.png", "1-a.png"}
