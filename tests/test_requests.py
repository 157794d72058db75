"""What is asked of which asset, from folders and lists; shards, limits, what is done already."""

import json
from pathlib import Path

import numpy as np
import pytest

from separator.config import JobConfig, read_config
from separator.layout import Layout
from separator.manifest import hash_requests
from separator.requests import leave_out_done, list_assets, make_asked
from separator.stages.extract import Extractor, SpanPlan
from separator.storage import Storage

ROOT = Path(__file__).parents[1]


def make_config(tmp_path, *overrides: str) -> JobConfig:
    given = [f"input.uri={tmp_path / 'in'}", f"output.uri={tmp_path / 'out'}"]
    return read_config(ROOT / "configs/local.yaml", [*given, *overrides])


def list_rows(config: JobConfig, sha256: str = "s") -> list:
    return list(list_assets(Storage(), config, make_asked(config, sha256, {})))


@pytest.fixture
def library(tmp_path):
    for name in ("a.mp4", "b/c.WAV", "b/d.txt", "e.flac"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(name.encode())
    return tmp_path


def get_requests(rows) -> list[str]:
    return [query["request"] for row in rows for query in json.loads(row["queries"])]


def test_a_folder(library):
    rows = list_rows(make_config(library))
    assert [row["asset_path"] for row in rows] == ["a.mp4", "b/c.WAV", "e.flac"]
    assert rows == list_rows(make_config(library))
    assert len(set(get_requests(rows))) == 6


@pytest.mark.parametrize(
    "override",
    [
        "queries=[another]", "queries=[{name: siren, text: other}]", "tracks=first",
        "model.channels=mono", "output.format=wav", "output.bit_depth=16", "output.clip=scale",
    ],
)  # fmt: skip
def test_what_changes_a_stem_is_another_request(library, override):
    before = set(get_requests(list_rows(make_config(library))))
    assert before - set(get_requests(list_rows(make_config(library, override))))


def test_what_changes_no_stem_is_the_same_request(library):
    config = make_config(library)
    same = ["run.span_s=8", "model.device=cpu", "run.actors=3", "storage.attempts=2"]
    assert list_rows(config) == list_rows(make_config(library, *same))
    (library / "in/a.mp4").write_bytes(b"new content")
    changed = get_requests(list_rows(config))
    assert sum(a != b for a, b in zip(changed, get_requests(list_rows(config, "t")), strict=True))
    other = get_requests(list_rows(make_config(library, "queries=[siren]")))
    assert not set(changed) & set(other)


def test_shards_are_parts_of_the_whole_and_limits_cut(library):
    whole = {row["asset_uri"] for row in list_rows(make_config(library))}
    parts = [
        {row["asset_uri"] for row in list_rows(make_config(library, f"run.shard={i}/3"))}
        for i in (1, 2, 3)
    ]
    assert set.union(*parts) == whole and sum(map(len, parts)) == len(whole)
    assert len(list_rows(make_config(library, "run.limit=2"))) == 2


def test_what_is_done_is_left_out_query_by_query(library):
    rows = list_rows(make_config(library))
    requests = get_requests(rows)
    done = np.sort(hash_requests([*requests[:2], requests[2]]))
    left = leave_out_done(rows, done)
    assert [row["asset_path"] for row in left] == ["b/c.WAV", "e.flac"]
    assert get_requests(left) == requests[3:]
    assert leave_out_done(rows, np.sort(hash_requests(requests))) == []
    assert leave_out_done(rows, np.empty(0, np.uint64)) == rows


def test_a_list_with_all_kinds_of_trouble(library):
    names = ["in/a.mp4", "gone.mp4", "http://host/x.mp4", "s3://x", str(library / "in/e.flac")]
    (library / "list.csv").write_text("uri,licence\n" + "".join(f"{n},cc\n" for n in names))
    config = make_config(library, f"input.uri={library / 'list.csv'}")
    rows = list_rows(config)
    assert len(rows) == 5 and len({row["asset_path"] for row in rows}) == 5
    assert all(".." not in row["asset_path"].split("/") for row in rows)
    extractor = Extractor(Storage(), Layout(str(library / "out"), "flac"), SpanPlan(8, 0, 1))  # pyright: ignore
    codes = [list(extractor(row))[-1]["error_code"] for row in rows]
    assert codes == [
        "media_unreadable", "object_missing", "bad_request", "bad_request", "layout_unsupported",
    ]  # fmt: skip
