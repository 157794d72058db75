"""A config is checked whole before anything is touched; what cannot work names its key."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from jobs.command import JOB_KEYS
from separator.config import JobConfig, read_config, read_output
from separator.config_output import RenditionSettings
from separator.errors import RequestError
from separator.queries import KEYS
from separator.storage.tables import SUFFIXES
from tests.helpers.settings import list_numbers, try_odd_numbers

ROOT = Path(__file__).parents[1]
NEEDED = ["input.uri=/in", "output.uri=/out"]


def test_the_configs_that_come_with_it(monkeypatch):
    for path in ("configs/local.yaml", "configs/s3.yaml", "jobs/demo.yaml"):
        config = read_config(ROOT / path, NEEDED)
        assert config.input.uri == "/in" and config.queries
    assert config.model.name == "mini" and not config.run.retry_failed


def test_local_yaml_shows_the_defaults():
    """It is the manual: what it says is what one gets without saying it."""
    shown = read_config(ROOT / "configs/local.yaml", NEEDED).to_dict()
    plain = read_config(ROOT / "jobs/demo.yaml", [*NEEDED, "output.report=false"]).to_dict()
    assert shown | {"queries": 0} == plain | {"queries": 0}


def test_on_and_off_are_words_in_yaml_too(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "queries: [siren]\ndetect: {gate: on}\nmodel: {compile: off}\noutput: {similarity: off}\n"
    )
    config = read_config(path, NEEDED)
    assert (config.detect.gate, config.model.compile) == ("on", "off")
    assert config.output.similarity == "off" and config.detect.is_gated
    assert not read_config(path, [*NEEDED, "detect.gate=off"]).detect.is_gated


def test_values_from_the_environment(monkeypatch):
    monkeypatch.setenv("STEMS", "s3://stems/news")
    config = read_config(
        ROOT / "configs/local.yaml", ["input.uri=/in", "output.uri=${oc.env:STEMS}"]
    )
    assert config.output.uri == "s3://stems/news"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["output.uri=/out"], "input.uri is not set"),
        (["input.urri=/in"], "input.urri: no such key; did you mean uri?"),
        (["endpoint_url=http://x"], "endpoint_url: no such key; did you mean storage.endpoint_url"),
        (["zzz=1"], "there are: input, tracks, queries"),
        (["run=5"], "run=5: a section; its keys: span_s"),
        (["siren"], "argument 'siren': has no '='; did you mean key=value"),
        (["queries=[a, b"], "queries: line 1, column 1: this [ is never closed by ]"),
        (["input.include=*.mp4"], "put quotes around it"),
        (["input.group=on"], "input.group='on': "),
        (["run.limit=many"], "argument 'run.limit=many': run.limit: "),
        (["run.limit=0"], "run.limit=0: must be 1 or more"),
        (["run.publish.memory_bytes=4GB"], "memory_bytes='4GB': must be a number, 0 or more"),
        (["report.most=0"], "report.most=0"),
        (["model.context=.nan"], "model.context=nan"),
        (["output.bitrate_bps=-1"], "output.bitrate_bps=-1"),
        (["storage.timeout_s=.inf"], "storage.timeout_s=inf"),
        (["run.shard=0/3"], "run.shard='0/3'"),
        (["run.actors=0"], "run.actors=0"),
        (["run.separate.num_gpus=1.5"], "run.separate.num_gpus=1.5: above 1 Ray gives whole GPUs"),
        (["run.publish.labels={disk: _fast}"], "run.publish.labels: disk='_fast'"),
        (
            ["input.uri=/in.csv", "input.exclude=a*"],
            "exclude: are for a folder; input.uri='/in.csv'",
        ),
        (["model.precision=fp16"], "model.precision='fp16'"),
        (["model.channels=both"], "model.channels"),
        (["output.bit_depth=8"], "bit_depth=8"),
        (["output.clip=wrap"], "clip='wrap'"),
        (["queries=[a, A]"], "queries"),
        (["queries=[[siren]]"], "queries[0]"),
        (["storage.endpoint_url=host"], "storage.endpoint_url"),
        (["input.include=['/x']"], "input.include"),
        (["tracks={language: 5}"], "tracks"),
        (["output.uri=/in/stems"], "lies inside"),
        (["input.uri=/out/stems/a"], "lies in the stems of output.uri='/out'"),
        (["output.residual=some"], "output.residual='some'"),
        (["output.residual=joint", "output.format=mp3"], "output.residual='joint'"),
        (["output.residual=joint", "output.format=wav", "output.bit_depth=32"], "16 or 24 bits"),
        (["output.residual=joint", "output.clip=scale"], "output.clip=clip"),
        (["output.residual=joint", "output.dither=triangular"], "output.dither=none"),
        (["output.residual=joint", "model.channels=mono"], "model.channels='mono'"),
        (
            ["output.renditions=[{name: a/b, gains_db: {siren: 0}}]"],
            "output.renditions[0]: name='a/b'",
        ),
        (["output.renditions=[{name: x}]"], "'x': gains_db names no query"),
        (
            ["output.renditions=[{nam: x}]"],
            "output.renditions[0].nam: no such key; did you mean name?",
        ),
        (["output.renditions=[{name: x, gains_db: {dog: 0}}]"], "needs the query 'dog'"),
        (["output.renditions=[{name: x, gains_db: {siren: .nan}}]"], "gains_db.siren=nan"),
        (["output.renditions=[{name: x, gains_db: {siren: 0}, rest_db: .inf}]"], "rest_db=inf"),
        (["output.renditions=[{name: x, gains_db: {siren: loud}}]"], "'loud'"),
        (
            ["output.renditions=[{name: x, gains_db: {siren: 0}, within_s: [[3, 2]]}]"],
            "within_s=[3, 2]",
        ),
        (["output.renditions=[{name: x, gains_db: {siren: 0}, within_s: [5]}]"], "within_s=5"),
        (
            ["output.renditions=[{name: x, gains_db: {siren: 0}},{name: X, gains_db: {siren: 0}}]"],
            "'X': a query or a rendition",
        ),
        (
            ["output.renditions=[{name: Siren, gains_db: {siren: 0}}]"],
            "'Siren': a query or a rendition",
        ),
        (["queries={siren: loud}"], "queries: must be a list: begin each of its lines with '- '"),
        (["queries.0=siren"], "queries: must be a list"),
        (["queries="], "queries: has no value"),
        (["input.include={a: b}"], "input.include: must be a list"),
        (["run.separate.labels=[gpu]"], "run.separate.labels=['gpu']: must be names with their"),
        (
            ["run.separate.labels.ray.io/accelerator-type=H100"],
            "run.separate.labels: 'ray' has no single value; write run.separate.labels={name:",
        ),
        (["output.renditions=[{name: x, gains_db: [1]}]"], "output.renditions[0].gains_db=[1]"),
        (
            ["output.renditions=[{name: x, gains_db: {siren: 0}, within_s: 5}]"],
            "within_s=5: pairs of seconds",
        ),
        (
            ["output.residual=per_query", "queries=[{name: All, text: a siren}]"],
            "query 'All': residual/all.* is the file of output.residual=joint",
        ),
    ],
)
def test_what_cannot_work_names_its_key(overrides, message):
    given = NEEDED if "not set" not in message else []
    with pytest.raises(RequestError) as caught:
        read_config(ROOT / "configs/local.yaml", [*given, *overrides])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_gains_of_nothing_at_all():
    """YAML's infinity, and what people write; back from the run's record it is the same."""
    for written in ("-inf", "-.inf"):
        given = [f"output.renditions=[{{name: x, gains_db: {{siren: {written}}}, rest_db: 6}}]"]
        config = read_config(ROOT / "configs/local.yaml", [*NEEDED, *given])
        (rendition,) = config.output.edits.renditions
        assert rendition.gains == {"siren": 0.0}
        assert rendition.rest == pytest.approx(1.995, abs=1e-3)
    text = json.dumps(config.to_dict(), allow_nan=False)
    again = OmegaConf.merge(OmegaConf.structured(JobConfig), json.loads(text))
    assert OmegaConf.to_object(again) == config


@pytest.mark.parametrize("name", ["no", "off", "5"])
def test_names_of_renditions_are_texts(name):
    rendition = f"output.renditions=[{{name: {name}, gains_db: {{siren: 0}}}}]"
    with pytest.raises(RequestError, match=r"renditions\[0\].*must be a text, not (bool|int)"):
        read_config(Path("configs/local.yaml"), ["input.uri=/in", "output.uri=/out", rendition])


def test_local_yaml_names_every_key():
    """All but `include`, whose default is a long list; a comment shows it."""
    text = (ROOT / "configs/local.yaml").read_text()
    plain = read_config(ROOT / "configs/local.yaml", NEEDED).to_dict()
    for section, value in plain.items():
        assert f"\n{section}:" in text
        for key in value if isinstance(value, dict) else ():
            assert f"\n  {key}:" in text or f"\n  # {key}:" in text, f"{section}.{key}"
    for key in KEYS:  # of a query
        assert f"{key}: " in text, key
    for suffix in SUFFIXES:  # of a list
        assert suffix in text and suffix in JOB_KEYS, suffix


def test_columns_are_of_lists():
    local = ROOT / "configs/local.yaml"
    for override in ("input.queries_column=q", "input.tracks_column=t", "input.carry=[a]"):
        with pytest.raises(RequestError, match=r"input\.\w+=.*no list; a list ends in .parquet"):
            read_config(local, [*NEEDED, override])
    config = read_config(
        local, ["input.uri=/in.csv", "output.uri=/out", "queries=[]", "input.queries_column=q"]
    )
    assert config.parse_queries() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input:\n  include: [*.mp4]\n", "line 2, column 13: a * begins a name of YAML's own"),
        ("input:\n  include: *mp4\n", "line 2, column 12: a * begins"),
        ("input:\n\turi: x\n", "line 2, column 1: a tab; indent with spaces"),
        ("queries: [a, b\nrun: {}\n", "line 1, column 10: this [ is never closed by ]"),
        ("queries: [a, {text: y\n", "line 1, column 14: this { is never closed by }"),
        ("queries: 'a\n", "line 1, column 10: this ' is never closed"),
        ("queries: @a\n", "line 1, column 10: put quotes around a value that begins with @"),
        ("queries: siren: loud\n", "line 1, column 15: put quotes around a value that holds ': '"),
        ("run: {}\nrun: {}\n", "line 2, column 1: duplicate key run"),
        ("- siren\n", "holds a list"),
        ("input:\n  ur: x\n", "input.ur: no such key; did you mean uri?"),
        ("queries: [a] b\n", "line 1, column 14: did not find expected key"),
        ("run: {limit: many}\n", "run.limit"),
    ],
)
def test_file_that_cannot_be_read_names_place_and_way_out(tmp_path, text, message):
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(RequestError) as caught:
        read_config(path, NEEDED)
    assert str(caught.value).startswith(str(path)) and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "job.yaml").write_bytes(b"queries: [caf\xe9]\n")
    with pytest.raises(RequestError, match="not UTF-8 at byte 13"):
        read_config(tmp_path / "job.yaml", [])


def test_text_alone_stands_for_a_list_of_one_or_for_a_uri(tmp_path):
    """As written by people who have not read the manual; in the file and as an argument."""
    path = tmp_path / "job.yaml"
    path.write_text("input: /in\noutput: /elsewhere\nqueries: siren\nstorage:\n")
    config = read_config(path, ["output=/out", "input.exclude=late.mov"])
    assert (config.input.uri, config.output.uri) == ("/in", "/out")
    assert [query.text for query in config.parse_queries()] == ["siren"]
    assert config.input.exclude == ["late.mov"]
    assert read_config(path, ["queries=rain, hail"]).queries == ["rain, hail"]


def test_output_is_read_without_an_input():
    output, storage = read_output(ROOT / "configs/local.yaml", ["output.uri=/out"])
    assert output.uri == "/out" and storage.attempts == 6
    with pytest.raises(RequestError, match=r"output\.uri is not set"):
        read_output(ROOT / "configs/local.yaml", [])
    with pytest.raises(RequestError, match="no such key"):
        read_output(ROOT / "configs/local.yaml", ["output.uri=/out", "inptu=3"])


@pytest.fixture
def short_config(tmp_path) -> Path:
    """A config that is read quickly."""
    path = tmp_path / "job.yaml"
    path.write_text("input: /in\noutput: /out\nqueries: siren\n")
    return path


@pytest.mark.slow
@pytest.mark.check
@pytest.mark.parametrize("key", [*list_numbers(JobConfig), "model.context", "run.actors"])
def test_odd_number_is_refused_by_the_name_of_its_key(key, short_config):
    lengths = ("model.context", "detect.pad_s", "detect.shortest_s", "detect.shortest_gap_s")
    sensible = {"0", "1e-300"} if key in lengths else set()
    sensible |= {"0"} if key == "run.separate.num_cpus" else set()
    try_odd_numbers(key, sensible, lambda odd: read_config(short_config, [f"{key}={odd}"]))


@pytest.mark.slow
@pytest.mark.check
@pytest.mark.parametrize("key", list_numbers(RenditionSettings))
def test_odd_number_of_a_rendition_is_refused_by_the_name_of_its_key(key, short_config):
    small = {"0", "1e-300"}
    sensible = {
        "rest_db": {"-.inf", "-1"} | small,
        "fade_s": small,
        "loudness_lufs": {"-1"} | small,
        "true_peak_dbtp": {"-1"} | small,
    }

    def read(odd: str) -> object:
        rendition = f"{{name: x, gains_db: {{siren: 0}}, {key}: {odd}}}"
        return read_config(short_config, [f"output.renditions=[{rendition}]"])

    try_odd_numbers(key, sensible[key], read)


def test_a_shard_has_one_name():
    """Runs that hold one shard must see it, however the number is written."""
    names = [
        read_config(ROOT / "configs/local.yaml", [*NEEDED, f"run.shard={text}"]).run.name_shard()
        for text in ("1/4", "01/04", "null")
    ]
    assert names == ["1/4", "1/4", ""]
