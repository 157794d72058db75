"""Whatever a config holds: a JobConfig or a RequestError of one line."""

import json
from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from separator.config import JobConfig, read_config
from separator.errors import RequestError
from separator.queries import Query, parse_queries
from separator.stages.listing import make_asset
from separator.stages.work import make_work
from separator.storage import Entry
from tests.helpers.properties import any_text, examples, json_values
from tests.helpers.settings import list_keys

KEYS = list_keys(JobConfig)
SECTIONS = sorted({key.partition(".")[0] for key in KEYS})
odd = st.sampled_from(
    [".nan", "1_0", "${a}", "${oc.env:HOME}", "???", "???x", "${", "1/2", "-1", "*.wav", "s3://b",
     "\ud800", "all", "first", 10**400, "9" * 4_400,
     -0.0, float("nan"), "siren", "mini", "bf16", "/in/x.csv", "x" * 2_000]
)  # fmt: skip
values = odd | json_values | st.lists(odd, max_size=3) | st.dictionaries(odd.map(str), odd)
queries = st.lists(
    any_text | values | st.fixed_dictionaries({"text": values}, optional={"name": values})
)
renditions = st.lists(
    st.dictionaries(
        st.sampled_from(["name", "gains_db", "rest_db", "within_s", "fade_s", "loudness_lufs"]),
        values | st.dictionaries(st.just("siren"), values, max_size=1),
    ),
    max_size=2,
)
trees = st.dictionaries(
    st.sampled_from(sorted(KEYS)) | st.sampled_from(SECTIONS) | any_text, values, max_size=3
) | st.fixed_dictionaries(
    {}, optional={"queries": queries, "output.renditions": renditions, "tracks": values}
)


YAML = [*"[{}]-&*!|>'\"#%@`\n\t?", "a:", "<<"]


def nest(flat: dict) -> dict:
    """Put dotted keys into their sections, where these are sections."""
    tree = {"input": {"uri": "/in"}, "output": {"uri": "/out"}, "queries": ["siren"]}
    for key, value in flat.items():
        section, found, name = key.partition(".")
        if found and isinstance(tree.get(section, {}), dict):
            tree.setdefault(section, {})[name] = value
        else:
            tree[key] = value
    return tree


def read(path, text: str, overrides: list[str]) -> JobConfig | None:
    path.write_text(text, "utf-8", "surrogatepass")
    try:
        return read_config(path, overrides)
    except RequestError as error:
        assert "\n" not in str(error), str(error)
        return None


def use(config: JobConfig) -> None:
    """Do what a run does with the config before it starts."""
    text = json.dumps(config.to_dict(), indent=1, ensure_ascii=False)
    text.encode("utf-8", "surrogateescape")
    work = make_work(config, "s", "fp32", {})
    entry = Entry("/in/x.wav", 1, "e", datetime.now(UTC))
    if work.queries:
        asset = make_asset(entry, "x.wav", work, work.queries, work.tracks)
        assert len({item.id for item in asset.items}) == len(asset.items) > 0


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("configs") / "job.yaml"


@examples(15)
@given(flat=trees)
def test_any_tree_is_a_config_or_refused(path, flat):
    config = read(path, yaml.safe_dump(nest(flat)), [])
    if config is not None:
        use(config)


@examples(30)
@given(text=any_text | st.lists(st.sampled_from(YAML)).map("".join))
def test_any_text_is_a_config_or_refused(path, text):
    read(path, f"input: /in\noutput: /out\nqueries: siren\n{text}", [])


@examples(20)
@given(key=st.sampled_from(sorted(KEYS)) | any_text, value=any_text | odd.map(str))
def test_any_override_is_taken_or_refused(path, key, value):
    config = read(path, "input: /in\noutput: /out\nqueries: siren\n", [f"{key}={value}"])
    if config is not None:
        use(config)


@examples(30)
@given(queries)
def test_queries_are_valid_names_of_files_or_refused(items):
    try:
        parsed = parse_queries(items)
    except RequestError as error:
        assert "\n" not in str(error)
        return
    assert len({query.name.casefold() for query in parsed}) == len(parsed) > 0
    for query in parsed:
        assert isinstance(query, Query) and query.text and len(query.name.encode()) <= 100
        assert query.name.isprintable() and not set(query.name) & set('/\\<>:"|?*#%')
        assert parse_queries([{"name": query.name, "text": query.text}]) == [query]
