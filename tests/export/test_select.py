"""The selection of stems for a data set: by expression, in splits, and always the same."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from separator.errors import RequestError
from separator.export.select import select
from separator.export.settings import FORMATS
from separator.results.paths import Layout
from separator.storage import Storage
from tests.helpers.export_library import NUM_STEMS, make_config, make_records, write_manifest
from tests.helpers.runs import TOTALS, write_run


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """An output of 40 assets without its stems: a selection reads none. Not to be changed."""
    return write(tmp_path_factory.mktemp("select"))


def write(folder: Path, records: list[dict] | None = None) -> Path:
    output = folder / "out"
    write_manifest(Storage(), str(output), records or make_records(str(output)))
    return output


def choose(output, *overrides) -> dict[str, list[dict]]:
    with select(Storage(), make_config(output, *overrides)) as selection:
        shards = {shard.name: shard.rows.to_pylist() for shard in selection.iterate()}
    assert sum(map(len, shards.values())) == selection.num_stems
    return shards


def get_rows(shards) -> list[dict]:
    return [row for rows in shards.values() for row in rows]


def get_name(output, *overrides) -> str:
    with select(Storage(), make_config(output, *overrides)) as selection:
        return selection.name


def test_select_takes_stems_that_are_ok_and_renditions_on_request(manifest):
    rows = get_rows(choose(manifest))
    mixes = get_rows(choose(manifest, "input.kind=rendition"))
    assert {row["kind"] for row in mixes} == {"rendition"} and len(mixes) == 40
    assert len(rows) == NUM_STEMS and {row["kind"] for row in rows} == {"stem"}
    assert {row["status"] for row in rows} == {"ok"}
    assert {(row["asset_uri"], row["query_name"]) for row in rows} == {
        (f"/in/x{i}.wav", name) for i in range(40) for name in "ab" if i % 5 != 4 or name == "a"
    }


def test_rows_without_a_stem_are_not_selected(tmp_path):
    """As `detect` writes them."""
    records = make_records(str(tmp_path / "out"), 4)
    records[0] |= {"stem_uri": ""}
    assert len(get_rows(choose(write(tmp_path, records)))) == 7


def test_where_sees_all_columns_and_carried_ones(manifest):
    where = (
        "energy_share >= 0.5 and query_text like '%a' and carried ->> '$.licence' is not null"
        " and carried ->> '$.speaker' <> 's99'"
    )
    rows = get_rows(choose(manifest, f"input.where={where}"))
    assert {row["asset_uri"] for row in rows} == {
        f"/in/x{i}.wav" for i in range(20, 40) if i % 3 != 2
    }


def test_splits_share_no_asset_and_follow_the_seed(manifest):
    shards = choose(manifest, "split.valid=0.3")
    assets = {split: set() for split in ("train", "valid")}
    for name, rows in shards.items():
        assets[name.partition("-")[0]] |= {row["asset_uri"] for row in rows}
    assert not assets["train"] & assets["valid"]
    assert 5 <= len(assets["valid"]) <= 19
    other = choose(manifest, "split.valid=0.3", "split.seed=1")
    assert {r["asset_uri"] for r in other["valid-00000"]} != assets["valid"]


def test_splits_share_no_value_of_split_by(manifest):
    shards = choose(manifest, "split.valid=0.4", "split.by=carried ->> '$.speaker'")
    speakers = {
        name: {row["carried"].partition("speaker")[2] for row in shards[name]} for name in shards
    }
    assert set(speakers) == {"train-00000", "valid-00000"}
    assert not speakers["train-00000"] & speakers["valid-00000"]


def test_assets_without_a_value_of_split_by_are_split_one_by_one(manifest):
    by = "split.by=case when asset_uri like '%x1%' then 'one' end"
    shards = choose(manifest, by, "split.valid=0.4")
    sides = {
        name: {row["asset_uri"] for row in rows if "x1" not in row["asset_uri"]}
        for name, rows in shards.items()
    }
    assert all(sides.values()) and len(sides) == 2
    grouped = [any("x1" in row["asset_uri"] for row in rows) for rows in shards.values()]
    assert sorted(grouped) == [False, True]


@pytest.mark.parametrize(("more", "number"), [([], 10), (["output.residual=true"], 5)])
def test_shards_hold_whole_stems_up_to_a_size(manifest, more, number):
    shards = choose(manifest, "output.shard_mb=0.06", "split.valid=0", *more)
    sizes = [len(rows) for rows in shards.values()]
    assert sum(sizes) == NUM_STEMS and max(sizes) == number and min(sizes[:-1]) == number


def test_shards_are_numbered_without_gaps_where_stems_are_longer_than_a_shard(tmp_path):
    records = make_records(str(tmp_path / "out"), 12)
    for row in records[::4]:
        row["num_samples"] *= 100
    names = list(choose(write(tmp_path, records), "output.shard_mb=0.02", "split.valid=0"))
    assert names == [f"train-{number:05}" for number in range(len(names))] and len(names) > 4


@pytest.fixture
def move_to_tokyo() -> Iterator[Callable[[], None]]:
    """Set another time zone, until the test is over."""
    with pytest.MonkeyPatch.context() as patch:

        def move() -> None:
            patch.setenv("TZ", "Asia/Tokyo")
            time.tzset()

        yield move
    time.tzset()


def test_selection_is_the_same_in_another_time_zone_and_from_other_files(
    manifest, tmp_path, move_to_tokyo
):
    given = "split.valid=0.2"
    before, name = choose(manifest, given), get_name(manifest, given)
    move_to_tokyo()
    assert choose(manifest, given) == before
    # The same rows in other files and another order, with rows of an earlier commit.
    records = make_records(str(manifest))
    old = [row | {"created_at": "2025-01-01T00:00:00+00:00", "stem_uri": "/old"} for row in records]
    again = write(tmp_path, [*old[:9], *records[::-1], *old[9:18]])
    assert choose(again, given) == before
    assert get_name(again, given) == name


def test_selection_name_depends_on_stems_and_settings_but_not_on_the_place(manifest):
    names = [get_name(manifest)]
    for override in ("split.seed=1", "input.where=1 = 1", "output.format=parquet", "split.by=1"):
        names.append(get_name(manifest, override))
    assert len(set(names)) == 5
    assert get_name(manifest, f"output.uri={manifest.with_name('elsewhere')}") == names[0]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("input.where=energy > 1", "input.where='energy > 1': Binder Error"),
        ("input.where=1 = 1) union (select 1", "syntax error"),
        ("input.where=(select count(*) from read_text('/etc/passwd')) > 0", "Permission"),
        ("input.where=query_name = 'no such'", "selects no stem"),
        ("input.where=error('so')", "so"),
        ("split.by=nothing", "split.by='nothing': Binder Error"),
        ("split.by=carried ->> '$.speker'", "is null for all"),
        ("split.by=(carried ->> '$.speaker')::int", "Conversion Error"),
        ("split.by=unnest([1,2])", "split.by='unnest([1,2])': must give one value for each stem"),
        ("split.by=COLUMNS('a.*')", "must give one value for each stem"),
        ("split.by=1) AS x, (2", "split.by='1) AS x, (2': Parser Error"),
        ("split.by=asset_uri) AS x --", "split.by='asset_uri) AS x --': Parser Error"),
        ("input.where=true; drop view latest", "more than one statement"),
        ("output.shard_mb=.inf", "output.shard_mb=inf: must be a number from 0.001"),
        ("split.valid=.nan", "split.valid=nan"),
        ("input.kind=film", "input.kind='film': must be one of stem, rendition"),
        ("output.licence=license", "output.licence='license': no stem carries it"),
        ("output.format=zip", "output.format='zip': must be one of webdataset, parquet"),
        ("split.valid=2", "split.valid=2"),
        ("output.shard_mb=0", "output.shard_mb=0"),
        ("output.nothing=1", "nothing"),
    ],
)
def test_mistake_is_one_line_that_names_the_key(manifest, override, said):
    with pytest.raises(RequestError) as caught:
        choose(manifest, override)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_residuals_are_refused_where_stems_have_none(manifest):
    with pytest.raises(RequestError, match="40 of 40 have none"):
        choose(manifest, "output.residual=true", "input.kind=rendition")
    assert len(get_rows(choose(manifest, "output.residual=true"))) == NUM_STEMS


def test_residuals_of_all_stems_together_are_refused_in_every_format(tmp_path):
    records = make_records(str(tmp_path / "out"), 10)
    for row in records:
        if row["residual_uri"]:
            row["residual_uri"] = str(Path(row["residual_uri"]).with_name("all.flac"))
    output = write(tmp_path, records)
    for form in FORMATS:
        with pytest.raises(
            RequestError, match=r"residual/all\.flac is the track without all .*per_q"
        ):
            choose(output, "output.residual=true", f"output.format={form}")
    assert choose(output)


def test_output_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(RequestError, match="run the job first"):
        choose(tmp_path / "out")
    nothing = {"state": "finished", "totals": TOTALS | {"assets": 0}}
    write_run(Layout(str(tmp_path / "out"), ""), "1", **nothing)
    with pytest.raises(RequestError, match="the runs so far found no assets, so there are no"):
        choose(tmp_path / "out")
    write_run(Layout(str(tmp_path / "out"), ""), "2", **nothing | {"state": "stopped"})
    with pytest.raises(RequestError, match="run the job first"):
        choose(tmp_path / "out")


def test_data_set_inside_the_output_is_refused(manifest):
    with pytest.raises(RequestError, match="lies inside"):
        make_config(manifest, f"output.uri={manifest / 'set'}")


@pytest.mark.parametrize("text", ["", "{", r'{"licence": "\ud800"}'])
def test_carried_column_that_is_no_json_is_taken_for_null(text, tmp_path):
    records = make_records(str(tmp_path / "out"), 6)
    output = write(tmp_path, [row | {"carried": text} for row in records])
    assert len(get_rows(choose(output))) == 11
    with pytest.raises(RequestError, match=r"no stem carries it; .*input.carry=\[licence\]"):
        choose(output, "output.licence=licence")
    with pytest.raises(RequestError, match="null for all"):
        choose(output, "split.by=carried ->> '$.speaker'")
    with pytest.raises(RequestError, match="selects no stem"):
        choose(output, "input.where=carried ->> '$.x' = 'y'")


def test_manifest_without_the_kind_column_holds_stems(tmp_path):
    """As an earlier version wrote it."""
    records = [row | {"kind": None} for row in make_records(str(tmp_path / "out"), 6)]
    assert len(get_rows(choose(write(tmp_path, records)))) == 17


@pytest.mark.parametrize("name", ['Lizenz\'schlüssel "x"', "*", "a.b", "x/y~1"])
def test_licence_column_may_have_any_name(tmp_path, name):
    records = make_records(str(tmp_path / "out"), 3)
    output = write(tmp_path, [row | {"carried": json.dumps({name: "MIT"})} for row in records])
    config = make_config(output, "split.valid=0")
    config = replace(config, output=replace(config.output, licence=name))
    with select(Storage(), config) as selection:
        rows = [row for shard in selection.iterate() for row in shard.rows.to_pylist()]
    assert {row["licence"] for row in rows} == {"MIT"}


def test_random_expression_is_evaluated_once(manifest):
    with select(Storage(), make_config(manifest, "input.where=random() < 0.5")) as selection:
        numbers = [sum(len(shard.rows) for shard in selection.iterate()) for _ in range(3)]
    assert set(numbers) == {selection.num_stems}


@pytest.mark.parametrize(
    ("states", "is_refused"),
    [
        (["finished"], False),
        (["stopped", "finished"], False),
        (["finished", "stopped"], True),
        (["running", "finished"], True),
        (["finished", "running for an hour"], True),
    ],
)
def test_output_of_an_unfinished_run_is_refused_unless_allowed(tmp_path, states, is_refused):
    output = write(tmp_path, make_records(str(tmp_path / "out"), 2))
    for number, state in enumerate(states):
        ago = timedelta(hours=1) if state.endswith("hour") else timedelta(0)
        written_at = (datetime.now(UTC) - ago).isoformat()
        about = {"state": state.partition(" ")[0], "written_at": written_at}
        write_run(Layout(str(output), ""), f"{number}", **about)
    if is_refused:
        with pytest.raises(RequestError, match="let the job finish first"):
            choose(output)
    assert choose(output, f"input.unfinished={is_refused}")


def test_select_refuses_a_manifest_with_a_damaged_file(tmp_path):
    """Its stems would be missing in the data set."""
    output = write(tmp_path)
    (output / "manifest/cut.parquet").write_bytes(b"PAR1")
    with pytest.raises(RequestError, match=r"cut\.parquet: cannot be read, .* move the file away"):
        choose(output)
