"""Every snippet of the README and docs/ is what a reader can copy: it is run, or read as the job
would read it, or it stands in a table below with the reason why it is neither.
"""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import duckdb
import numpy as np
import pytest

from jobs.cli import COMMANDS, make_parser
from separator.config import JobConfig, read_config
from separator.config_file import read_settings
from separator.export.settings import ExportConfig
from separator.storage import Storage
from separator.train.recipe import TrainSettings
from tests.helpers.docs import (
    PAGES,
    ROOT,
    find_call,
    list_inline,
    list_snippets,
    split_commands,
)
from tests.helpers.export_library import export, make_records, write_manifest, write_output
from tests.helpers.job import read_manifest
from tests.helpers.library import finished, library
from tests.helpers.settings import list_keys

__all__ = ["finished", "library"]  # fixtures

SHOWN = {
    "",
    "bibtex",
    "cron",
    "ini",
}  # pictures and figures; tests/deploy/test_schedule.py reads the others
# Python that is only parsed: page, a text of it -> why.
NOT_RUN = {("schedule.md", "from airflow"): "Airflow is not among our packages"}
# Programs of shell snippets that are only checked for syntax, and why.
FOREIGN = {
    "ray": "Ray's own command; the job behind `--` is parsed; tests/flow/test_submit.py runs it",
    "export": "the shell's own",
    "set": "the shell's own",
    "cd": "the shell's own",
    "curl": "asks a cluster for a job's exit code; tests/flow/test_submit.py does the same",
    "docker": "builds the image; needs a registry",
    "kubectl": "needs a Kubernetes cluster; tests/deploy reads the file that it names",
}
# What a snippet of Python loads, by a word in it; all others load WebDataset.
EXPORTS = {
    "CutSet": ["output.format=lhotse_shar", "output.residual=true"],
    "mlcroissant": ["output.format=parquet"],
}
SYNOPSIS = "CONFIG.yaml"  # stands for a reader's own config
SETTINGS = {"export": ExportConfig, "train": TrainSettings}  # all others: JobConfig
NEEDED = ["input.uri=/in", "output.uri=/out"]
QUERIES = "queries=[rain, siren, voice, music]"


def list_calls() -> list[tuple[str, list[str]]]:
    """List (place, words) of every command in a shell snippet."""
    return [
        (str(snippet), command)
        for snippet in list_snippets("bash")
        for command in split_commands(snippet.text)
    ]


CALLS = [(place, call) for place, words in list_calls() if (call := find_call(words)) is not None]


def test_every_snippet_has_a_kind_that_is_tested():
    kinds = {snippet.kind for snippet in list_snippets()}
    assert kinds == {"bash", "python", "yaml", "sql", "toml"} | SHOWN
    for (page, text), reason in NOT_RUN.items():
        matching = [s for s in list_snippets("python") if s.page == page and text in s.text]
        assert len(matching) == 1 and reason, f"the table names no snippet of {page}"


def test_the_example_of_another_package_is_the_one_that_is_tested():
    (snippet,) = list_snippets("toml")
    tested = ROOT / "tests/data/bandpass"
    own = tomllib.loads((tested / "pyproject.toml").read_text())["project"]
    assert tomllib.loads(snippet.text)["project"]["entry-points"] == own["entry-points"]
    (code,) = [s.text for s in list_snippets("python") if s.page == snippet.page]
    assert code.strip() in (tested / "bandpass.py").read_text()


@pytest.mark.parametrize("snippet", list_snippets("bash"), ids=str)
def test_shell_snippet_is_sound_and_calls_what_is_there(snippet):
    text = snippet.text.replace("[dotted.key=value ...]", "")
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    for command in split_commands(text):
        program = command[0]
        if program == "make":
            assert re.search(rf"^{command[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        else:
            assert find_call(command) is not None or program in FOREIGN or "=" in program, command
        for word in command:
            if word.startswith(("deploy/", "configs/")):
                assert (ROOT / word).is_file(), word


@pytest.mark.parametrize(("place", "call"), CALLS, ids=[f"{p} {c[0]}" for p, c in CALLS])
def test_command_in_a_snippet_is_understood(place, call, tmp_path):
    words = [word for word in call if word not in ("[dotted.key=value", "...]")]
    options = make_parser().parse_args(words)  # exits if it does not know an argument
    if not hasattr(options, "config"):
        return
    path = ROOT / options.config
    if options.config.name == SYNOPSIS or (call[0] != "export" and not path.exists()):
        path = tmp_path / "own.yaml"
        path.write_text("queries: [rain]\n")
    overrides = options.overrides
    if call[0] == "find":  # what has no `=` is the query
        overrides = [each for each in overrides if "=" in each]
    given = {key.partition("=")[0] for key in overrides}
    kind = SETTINGS.get(call[0], JobConfig)
    if kind is TrainSettings and options.config.name == SYNOPSIS:
        return
    needed = [] if kind is TrainSettings else NEEDED
    needed = [each for each in needed if each.partition("=")[0] not in given]
    read_settings(kind, path, [*needed, *overrides])


def test_commands_targets_and_keys_in_the_text_exist():
    names = {command.name for command in COMMANDS} | {"COMMAND"}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    keys = {key for kind in (JobConfig, ExportConfig, TrainSettings) for key in list_keys(kind)}
    for page, text in list_inline():
        if found := re.match(r"separator ([a-z]\S*|[A-Z]+)", text):
            assert found[1] in names, f"{page}: {text}"
        if found := re.match(r"make ([a-z-]+)$", text):
            assert found[1] in targets, f"{page}: {text}"
        for key in re.findall(r"(?:^|[ '])([a-z]+\.[a-z_]+)=", text):
            assert key in keys, f"{page}: {text}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(path):
    for name, _, anchor in re.findall(r"\]\(([^)#:]*)(#([^)]+))?\)", path.read_text()):
        target = path.parent / name if name else path
        assert target.exists(), name
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            found = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in found, f"{name}#{anchor}"


def test_every_page_is_linked_from_the_index():
    """The log too, as what it is: the history, for those who develop."""
    text = (ROOT / "docs/README.md").read_text()
    for_users, _, for_developers = text.partition("## For those who develop")
    pages = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")}
    linked = set(re.findall(r"\]\(([\w.-]+)(?:#[^)]*)?\)", text))
    assert pages - {"README.md"} == linked
    assert "log.md" in for_developers and "log.md" not in for_users
    for user in ("an archive", "an editor", "a data set", "research"):
        assert f"## For {user}\n" in for_users


@pytest.mark.parametrize("snippet", list_snippets("yaml"), ids=str)
def test_yaml_snippet_is_a_part_of_a_job_config(snippet, tmp_path):
    (tmp_path / "part.yaml").write_text(snippet.text)
    uri = [] if "  uri:" in snippet.text else ["output.uri=/out"]
    config = read_config(tmp_path / "part.yaml", ["input.uri=/in", QUERIES, *uri])
    assert config.output.renditions or "renditions" not in snippet.text


@pytest.mark.parametrize("snippet", list_snippets("sql"), ids=str)
def test_sql_snippet_runs_on_a_manifest(snippet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_manifest(Storage(), "stems", make_records("stems", 4))
    with duckdb.connect() as connection:
        rows = connection.sql(snippet.text)
        assert "stem_uri" in rows.columns
        if "carried" in snippet.text:
            assert {row[-1] for row in rows.fetchall()} == {"CC-BY-4.0", "CC0-1.0", None}


@pytest.mark.slow
@pytest.mark.check
@pytest.mark.parametrize("snippet", list_snippets("sql"), ids=str)
def test_sql_snippet_runs_on_the_manifest_of_a_run(snippet, finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("stems").symlink_to(finished / "out")
    with duckdb.connect() as connection:
        connection.sql(snippet.text).fetchall()


@pytest.mark.parametrize("snippet", list_snippets("python"), ids=str)
def test_python_snippet_is_python(snippet):
    ast.parse(snippet.text)


ON_S3 = "s3://stems/news"


@pytest.mark.slow
@pytest.mark.check
def test_python_snippets_on_s3_read_the_same_rows(moto, moto_bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")  # of Polars; moto speaks http
    uri = f"{moto_bucket.uri}/news"
    names = {"a": "rain", "b": "siren", "m": "mix"}
    records = [row | {"query_name": names[row["query_name"]]} for row in make_records(uri, 6)]
    write_manifest(moto_bucket.storage, uri, records)
    wanted = {
        row["asset_uri"]
        for row in records
        if row["query_name"] == "siren" and row["status"] == "ok"
    }
    snippets = [each for each in list_snippets("python") if ON_S3 in each.text]
    assert len(snippets) == 3 and wanted
    for snippet in snippets:
        namespace: dict = {}
        exec(snippet.text.replace(ON_S3, uri), namespace)
        assert set(namespace["sirens"]["asset_uri"]) == wanted, snippet.text


def list_python() -> list:
    return [
        snippet
        for snippet in list_snippets("python")
        if ON_S3 not in snippet.text
        and not any(snippet.page == page and text in snippet.text for page, text in NOT_RUN)
    ]


@pytest.mark.slow
@pytest.mark.check
@pytest.mark.parametrize("snippet", list_python(), ids=str)
def test_python_snippet_runs(snippet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    write_output(Storage(), "stems", 6)
    form = next((given for word, given in EXPORTS.items() if word in snippet.text), [])
    export(tmp_path / "stems", tmp_path / "path/to/sirens", "split.valid=0.3", *form)
    given = {"waveform": 0.1 * np.random.default_rng(1).standard_normal((2, 22_050))}
    namespace: dict = {} | given
    exec(snippet.text, namespace)
    if "stems" in namespace:
        assert namespace["stems"].shape == (2, 2, 22_050)
    if "samples" in namespace:
        assert namespace["samples"].shape[1] > 0
    if "rows" in namespace:
        assert len(namespace["rows"]) == len(read_manifest(tmp_path / "stems"))
