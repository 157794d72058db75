"""Work items: what changes them changes their ids, and what they are made with."""

from dataclasses import replace

import pytest

from separator.config import JobConfig
from separator.results.commit_file import read_commit_file
from separator.results.done import find_done
from separator.results.paths import Layout
from separator.results.record import select_done
from separator.rows import RENDITION, STEM
from separator.stages.listing import Listing
from separator.stages.work import (
    FORMER_KEYS,
    HARMLESS,
    flatten,
    list_items,
    make_former_rule,
    make_work,
)
from separator.storage import Storage
from tests.helpers.first_release import list_assets_of, read_first_config, upload
from tests.helpers.listing import (
    list_assets,
    list_ids,
    make_config,
    make_library,
    make_work_of,
    select_pending,
)

RENDITIONS = "output.renditions=[{name: m, gains_db: {siren: -6}}]"
MIX_WHERE_HEARD = "output.renditions=[{name: m, gains_db: {siren: -6}, within_s: presence}]"
# Every key that changes a stem. A new key belongs here or into HARMLESS. Those of `detect` count
# where a gate or a mix depends on what is heard.
DETECT = {
    "detect.model", "detect.gate", "detect.threshold", "detect.pad_s", "detect.shortest_s",
    "detect.shortest_gap_s",
}  # fmt: skip
HASHED = DETECT | {
    "input.group", "model.precision", "model.channels", "model.context", "output.format",
    "output.bit_depth", "output.bitrate_bps", "output.clip", "output.dither", "output.residual",
}  # fmt: skip


@pytest.fixture
def library(tmp_path):
    return make_library(tmp_path)


def name_pending(config, done: set[str]) -> list[list[str]]:
    """Name the work items that are left of each asset when those of these names are done."""
    assets = list_assets(config)
    ids = [item.id for asset in assets for item in asset.items if item.name in done]
    return [[item.name for item in asset.items] for asset in select_pending(assets, ids)]


def test_every_key_of_the_config_is_hashed_or_named_as_harmless():
    keys = {key for key, _ in flatten(JobConfig, {})}
    assert keys == HASHED | HARMLESS and not HASHED & HARMLESS


@pytest.mark.parametrize(
    "override",
    [
        "queries=[another]", "queries=[{name: siren, text: other}]", "tracks=first",
        "model.channels=mono", "model.context=1.5", "output.format=wav", "output.bit_depth=16",
        "output.clip=scale", "output.dither=triangular", "output.residual=per_query",
        "input.group=auto",
    ],
)  # fmt: skip
def test_ids_differ_where_a_setting_changes_the_stem(library, override):
    before = set(list_ids(list_assets(make_config(library))))
    assert before - set(list_ids(list_assets(make_config(library, override))))


def test_detection_changes_ids_only_where_a_gate_or_a_mix_depends_on_it(library):
    louder = "detect.threshold=0.7"
    plain = list_ids(list_assets(make_config(library)))
    assert list_ids(list_assets(make_config(library, louder, "detect.model=off"))) == plain
    for dependent in ("detect.gate=on", MIX_WHERE_HEARD):
        before = list_ids(list_assets(make_config(library, dependent)))
        assert not set(before) & set(plain)
        assert not set(before) & set(list_ids(list_assets(make_config(library, dependent, louder))))


def test_chosen_classes_change_ids_only_with_a_gate(library):
    chosen = "queries=[{text: siren, classes: [siren, alarm]}]"
    plain, gated = "queries=[siren]", "detect.gate=on"
    lists = [
        list_ids(list_assets(make_config(library, *overrides)))
        for overrides in ([plain], [chosen], [plain, gated], [chosen, gated])
    ]
    assert lists[0] == lists[1] and lists[2] != lists[3]


def test_classes_in_the_config_change_ids_of_a_lists_own_queries_of_that_text(library):
    (library / "list.csv").write_text("uri,q\nin/a.mp4,siren\nin/e.flac,rain\n")
    columns = [f"input.uri={library / 'list.csv'}", "input.queries_column=q"]
    named, gated = "queries=[{text: siren, classes: [alarm]}]", "detect.gate=on"
    lists = [
        list_ids(list_assets(make_config(library, *columns, *overrides)))
        for overrides in (["queries=[siren]"], [named], ["queries=[siren]", gated], [named, gated])
    ]
    (plain, _), (siren, rain) = lists[0], lists[2]
    assert lists[1] == lists[0] and plain != siren
    assert lists[3][0] != siren and lists[3][1] == rain


def test_ids_differ_between_precisions(library):
    config = make_config(library)
    one, other = (list_ids(list_assets(config, precision=p)) for p in ("fp32", "bf16"))
    assert not set(one) & set(other)
    explicit = list_assets(make_config(library, "model.precision=bf16"), precision="bf16")
    assert list_ids(explicit) == other


def test_ids_are_the_same_where_a_setting_changes_no_stem(library):
    config = make_config(library)
    same = ["run.span_s=8", "model.device=cpu", "run.actors=3", "storage.attempts=2"]
    same += ["input.group=off"]
    assert list_assets(config) == list_assets(make_config(library, *same))


def test_ids_differ_where_the_asset_or_the_weights_change(library):
    config = make_config(library)
    before = list_ids(list_assets(config))
    assert not set(before) & set(list_ids(list_assets(config, sha256="t")))
    (library / "in/a.mp4").write_bytes(b"new content")
    after = list_ids(list_assets(config))
    assert [a == b for a, b in zip(before, after, strict=True)] == [False] * 2 + [True] * 4


def test_outputs_of_the_first_release_are_done(moto_bucket):
    """Nothing is made again because the rule of ids has changed."""
    storage, config = upload(moto_bucket), read_first_config()
    assets = list_assets_of(storage, config)
    done = find_done(storage, Layout(config.output.uri, "flac"), retry_failed=False)
    assert len(assets) == 3 and [done.select_pending(asset) for asset in assets] == [None] * 3
    for asset in assets:
        uri = Layout(config.output.uri, "flac").record(asset.path)
        records = read_commit_file(storage, uri).records
        assert len(select_done(records, asset.items, retry_failed=False)) == 3
    # Another setting that changes stems is work, a harmless one is not.
    counts = {"output.bit_depth=24": 3, "run.span_s=30": 0, "detect.model=off": 0}
    counts |= {"detect.threshold=0.4": 0, "detect.gate=on": 3}
    for override, count in counts.items():
        assets = list_assets_of(storage, read_first_config(override))
        assert sum(done.select_pending(asset) is not None for asset in assets) == count


@pytest.mark.parametrize(
    ("overrides", "ids"),
    [
        ([], ["73773fc9747ed57c", "b71abaabca6dfdf5", "692f5c23a8cf36a0"]),
        (["detect.gate=on"], ["551b2fa9f706192b", "9e438ce0354fe4d4", "8191ab22d23b3d2f"]),
        (
            ["output.residual=joint", "output.bit_depth=24"],
            ["0b35b45482ddaa11", "fcc33744d5d98574", "af99a1f531407a96"],
        ),
    ],
)
def test_ids_are_those_of_earlier_releases(library, overrides, ids):
    """Another id makes every stem of every output again."""
    queries = "queries=[siren, {name: vogel, text: ein Vögelchen}]"
    config = make_config(library, queries, RENDITIONS, *overrides)
    work = make_work(config, "s", "fp32", {}, detector_sha256="d")
    items = list_items(work.queries, work, ["s3://b/ü.wav", "e", 5], [None, ""])
    assert [item.id[:16] for item in items] == ids


def test_items_tell_what_their_examples_are(library):
    queries = "queries=[{name: bird, audio: [a.wav]}, {name: dog, image: [b.png]}, siren]"
    work = make_work_of(make_config(library, queries))
    kinds = [item.examples_kind for item in list_items(work.queries, work, [], [])]
    assert kinds == ["audio", "image", "audio"]


def test_former_rule_is_none_with_settings_that_the_first_release_did_not_know(library):
    config = make_config(library, "model.channels=mono", "run.span_s=30")
    assert make_former_rule(config, "s") is not None
    assert make_former_rule(config, "s", FORMER_KEYS - {"model.channels"}) is None
    without = replace(make_work_of(config), former_rule=None)
    (asset, *_) = Listing(Storage(), config, without)
    assert [item.former_id for item in asset.items] == [item.id for item in asset.items]


def test_a_rendition_is_made_with_its_stems(library):
    queries = "queries=[rain, siren, bell]"
    config = make_config(library, queries, RENDITIONS)
    items = {item.name: item for item in list_assets(config)[0].items}
    assert [(i.kind, i.needs) for i in items.values()] == [
        (STEM, ()),
        (STEM, ()),
        (STEM, ()),
        (RENDITION, ("siren",)),
    ]
    assert items["m"].text == "siren -6 dB, the rest +0 dB"
    assert name_pending(config, set(items)) == []
    assert name_pending(config, {"rain", "siren", "bell"}) == [["siren", "m"]] * 3
    assert name_pending(config, {"rain", "bell", "m"}) == [["siren"]] * 3


def test_the_id_of_a_rendition_hashes_its_recipe_and_its_sources(library):
    queries = "queries=[rain, siren, bell]"
    config = make_config(library, queries, RENDITIONS)
    before = list_ids(list_assets(config))
    assert set(list_ids(list_assets(make_config(library, queries)))) < set(before)
    for other in (
        make_config(library, queries, RENDITIONS.replace("-6", "-7")),
        make_config(library, "queries=[rain, {name: siren, text: alarm}, bell]", RENDITIONS),
        make_config(library, queries, RENDITIONS, "output.remux=replace"),
    ):
        assert list_ids(list_assets(other))[3] != before[3]


def test_a_joint_residual_is_made_with_all_stems(library):
    config = make_config(library, "queries=[rain, siren]", "output.residual=joint")
    assert name_pending(config, {"rain"}) == [["rain", "siren"]] * 3
    assert name_pending(config, {"rain", "siren"}) == []
    other = make_config(library, "queries=[rain, siren, bell]", "output.residual=joint")
    assert not set(list_ids(list_assets(config))) & set(list_ids(list_assets(other)))
    # With a rendition of one stem alone too: that residual is written again with it.
    mixed = make_config(library, "queries=[rain, siren]", "output.residual=joint", RENDITIONS)
    assert name_pending(mixed, {"rain", "siren"}) == [["rain", "siren", "m"]] * 3
    each = make_config(library, "queries=[rain, siren]", "output.residual=per_query")
    assert name_pending(each, {"rain"}) == [["siren"]] * 3


def test_a_rendition_of_a_query_that_an_asset_lacks_is_its_trouble(library):
    (library / "list.csv").write_text("uri,q\nin/a.mp4,siren\nin/e.flac,rain\n")
    config = make_config(
        library, f"input.uri={library / 'list.csv'}", "input.queries_column=q", RENDITIONS
    )
    one, other = list_assets(config)
    assert not one.trouble and "'m' needs the query 'siren'" in other.trouble


def test_a_stem_that_is_absent_has_one_id_for_every_threshold(library):
    items = [
        next(
            iter(list_assets(make_config(library, "detect.gate=on", f"detect.threshold={t}")))
        ).items
        for t in (0.4, 0.6)
    ]
    for one, other in zip(*items, strict=True):
        if one.kind == "stem":
            assert one.id != other.id and one.absent_id == other.absent_id != ""
            assert (one.threshold, other.threshold) == (0.2, 0.3)
    changed = list_assets(make_config(library, "detect.gate=on"), sha256="t")[0].items
    assert not {item.absent_id for item in changed} & {item.absent_id for item in items[0]}
    plain = next(iter(list_assets(make_config(library)))).items
    assert {item.absent_id for item in plain} == {""}


def test_an_own_query_with_the_name_of_the_joint_residual_is_trouble(library):
    (library / "list.csv").write_text("uri,q\nin/a.mp4,siren\nin/e.flac,all\n")
    listed = f"input.uri={library / 'list.csv'}", "input.queries_column=q"
    one, other = list_assets(make_config(library, *listed, "output.residual=per_query"))
    assert not one.trouble and "query 'all': residual/all.*" in other.trouble
    assert not any(each.trouble for each in list_assets(make_config(library, *listed)))
