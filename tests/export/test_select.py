"""Which stems go into a data set: by an expression, split by asset; the same each time."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from separator.errors import RequestError
from separator.export.select import select
from separator.results.manifest import ManifestWriter
from separator.results.paths import Layout
from separator.storage import Storage
from tests.helpers.export_library import make_config, make_records, write_records


def choose(folder, *overrides) -> dict[str, list[dict]]:
    with select(Storage(), make_config(folder, *overrides)) as selection:
        shards = {shard.name: shard.rows.to_pylist() for shard in selection.iterate()}
    assert sum(map(len, shards.values())) == selection.num_stems
    return shards


def get_rows(shards) -> list[dict]:
    return [row for rows in shards.values() for row in rows]


def get_name(folder, *overrides) -> str:
    with select(Storage(), make_config(folder, *overrides)) as selection:
        return selection.name


def test_stems_that_are_there_and_no_mix(output):
    rows = get_rows(choose(output))
    mixes = get_rows(choose(output, "input.kind=rendition"))
    assert {row["kind"] for row in mixes} == {"rendition"} and len(mixes) == 40
    assert len(rows) == 2 * 40 - 8 and {row["kind"] for row in rows} == {"stem"}
    assert {row["status"] for row in rows} == {"ok"}
    assert {(row["asset_uri"], row["query_name"]) for row in rows} == {
        (f"/in/x{i}.wav", name) for i in range(40) for name in "ab" if i % 5 != 4 or name == "a"
    }


def test_an_expression_over_all_columns(output):
    where = (
        "energy_share >= 0.5 and query_text like '%a' and carried ->> '$.licence' is not null"
        " and carried ->> '$.speaker' <> 's99'"
    )
    rows = get_rows(choose(output, f"input.where={where}"))
    assert {row["asset_uri"] for row in rows} == {
        f"/in/x{i}.wav" for i in range(20, 40) if i % 3 != 2
    }


def test_splits_share_no_asset_and_are_about_as_large_as_asked(output):
    shards = choose(output, "split.valid=0.3")
    assets = {split: set() for split in ("train", "valid")}
    for name, rows in shards.items():
        assets[name.partition("-")[0]] |= {row["asset_uri"] for row in rows}
    assert not assets["train"] & assets["valid"]
    assert 5 <= len(assets["valid"]) <= 19
    other = choose(output, "split.valid=0.3", "split.seed=1")
    assert {r["asset_uri"] for r in other["valid-00000"]} != assets["valid"]


def test_splits_by_what_a_list_carried(output):
    shards = choose(output, "split.valid=0.4", "split.by=carried ->> '$.speaker'")
    speakers = {
        name: {row["carried"].partition("speaker")[2] for row in shards[name]} for name in shards
    }
    assert set(speakers) == {"train-00000", "valid-00000"}
    assert not speakers["train-00000"] & speakers["valid-00000"]


def test_shards_hold_whole_stems_up_to_a_size(output):
    sizes = [len(rows) for rows in choose(output, "output.shard_mb=0.06", "split.valid=0").values()]
    assert sum(sizes) == 72 and max(sizes) == 10 and min(sizes[:-1]) == 10


@pytest.fixture
def far_away() -> Iterator[Callable[[], None]]:
    """A call that moves the machine to Tokyo, until the test is over."""
    with pytest.MonkeyPatch.context() as patch:

        def move() -> None:
            patch.setenv("TZ", "Asia/Tokyo")
            time.tzset()

        yield move
    time.tzset()


def test_the_same_again_whatever_the_machine_and_the_files(output, far_away):
    before, name = choose(output, "split.valid=0.2"), get_name(output, "split.valid=0.2")
    far_away()
    assert choose(output, "split.valid=0.2") == before
    # Written again as other files in another order, some rows twice: the last one counts.
    for path in (output / "out/manifest").iterdir():
        path.unlink()
    records = make_records(str(output / "out"), 40)
    old = [row | {"created_at": "2025-01-01T00:00:00+00:00", "stem_uri": "/old"} for row in records]
    writer = ManifestWriter(Storage(), Layout(str(output / "out"), "flac"), "z", 33)
    for record in [*records[::-1], *old[:9]]:
        writer.add([record])
    writer.flush()
    assert choose(output, "split.valid=0.2") == before
    assert get_name(output, "split.valid=0.2") == name


def test_other_stems_or_settings_have_another_name(output):
    names = [get_name(output)]
    for override in ("split.seed=1", "input.where=1 = 1", "output.format=parquet", "split.by=1"):
        names.append(get_name(output, override))
    assert len(set(names)) == 5
    assert get_name(output, f"output.uri={output / 'elsewhere'}") == names[0]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("input.where=energy > 1", "input.where='energy > 1': Binder Error"),
        ("input.where=1 = 1) union (select 1", "syntax error"),
        ("input.where=(select count(*) from read_text('/etc/passwd')) > 0", "Permission"),
        ("input.where=query_name = 'no such'", "chooses no stem"),
        ("input.where=error('so')", "so"),
        ("split.by=nothing", "split.by='nothing': Binder Error"),
        ("split.by=carried ->> '$.speker'", "is null for all"),
        ("split.by=(carried ->> '$.speaker')::int", "Conversion Error"),
        ("input.kind=film", "input.kind='film': must be one of stem, rendition"),
        ("output.licence=license", "output.licence='license': no stem carries it"),
        ("output.format=zip", "output.format='zip': must be one of webdataset, parquet"),
        ("split.valid=2", "split.valid=2"),
        ("output.shard_mb=0", "output.shard_mb=0"),
        ("output.nothing=1", "nothing"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(output, override, said):
    with pytest.raises(RequestError) as caught:
        choose(output, override)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_residuals_have_to_be_there(output):
    with pytest.raises(RequestError, match="40 of 40 have none"):
        choose(output, "output.residual=true", "input.kind=rendition")
    assert len(get_rows(choose(output, "output.residual=true"))) == 72


def test_no_manifest_no_data_set(tmp_path):
    with pytest.raises(RequestError, match="run the job first"):
        choose(tmp_path)


def test_it_lies_elsewhere(output):
    with pytest.raises(RequestError, match="lies inside"):
        make_config(output, f"output.uri={output / 'out/set'}")


def test_a_library_that_carries_nothing(tmp_path):
    """As every folder: the column is empty, which is no JSON."""
    records = [row | {"carried": ""} for row in make_records(str(tmp_path / "out"), 6)]
    write_records(tmp_path, records)
    assert len(get_rows(choose(tmp_path))) == 11
    with pytest.raises(RequestError, match=r"no stem carries it; .*input.carry=\[licence\]"):
        choose(tmp_path, "output.licence=licence")
    with pytest.raises(RequestError, match="null for all"):
        choose(tmp_path, "split.by=carried ->> '$.speaker'")
    with pytest.raises(RequestError, match="chooses no stem"):
        choose(tmp_path, "input.where=carried ->> '$.x' = 'y'")


def test_names_of_columns_in_any_language(tmp_path):
    name = 'Lizenz\'schlüssel "x"'
    records = make_records(str(tmp_path / "out"), 3)
    write_records(tmp_path, [row | {"carried": json.dumps({name: "MIT"})} for row in records])
    config = make_config(tmp_path, "split.valid=0")
    config = replace(config, output=replace(config.output, licence=name))
    with select(Storage(), config) as selection:
        assert {row["licence"] for s in selection.iterate() for row in s.rows.to_pylist()} == {
            "MIT"
        }


def test_who_belongs_to_no_group_is_a_group_alone(output):
    by = "split.by=case when asset_uri like '%x1%' then 'one' end"
    shards = choose(output, by, "split.valid=0.4")
    sides = {
        name: {row["asset_uri"] for row in rows if "x1" not in row["asset_uri"]}
        for name, rows in shards.items()
    }
    assert all(sides.values()) and len(sides) == 2
    grouped = [any("x1" in row["asset_uri"] for row in rows) for rows in shards.values()]
    assert sorted(grouped) == [False, True]


def test_stems_longer_than_a_shard_leave_no_number_out(output):
    records = make_records(str(output / "out"), 12)
    for row in records[::4]:
        row["num_samples"] *= 100
    write_records(output / "long", records)
    names = list(choose(output / "long", "output.shard_mb=0.02", "split.valid=0"))
    assert names == [f"train-{number:05}" for number in range(len(names))] and len(names) > 4


def test_chance_is_asked_once(output):
    with select(Storage(), make_config(output, "input.where=random() < 0.5")) as selection:
        numbers = [sum(len(shard.rows) for shard in selection.iterate()) for _ in range(3)]
    assert set(numbers) == {selection.num_stems}


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["finished"], None),
        (["stopped", "finished"], None),
        (["finished", "stopped"], "is stopped"),
        (["running", "finished"], "is running"),
        (["finished", "silent"], "is silent"),
    ],
)
def test_what_a_run_may_be_replacing_is_not_taken(output, states, said):
    for number, state in enumerate(states):
        ago = timedelta(hours=1) if state == "silent" else timedelta(0)
        about = {"run_id": f"{number}", "written_at": (datetime.now(UTC) - ago).isoformat()}
        about["state"] = "running" if state == "silent" else state
        Storage().write(str(output / f"out/runs/{number}.json"), json.dumps(about).encode())
    if said is None:
        assert choose(output)
        return
    with pytest.raises(RequestError, match=said):
        choose(output)
    assert choose(output, "input.unfinished=true")
