"""The separate stage, on a network of next to no size: the engine's stems, each timed once."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from separator.audio.renditions import Edits, Rendition
from separator.config import ModelSettings
from separator.encoders.similarity import SimilarityMeter
from separator.model.resunet import NetworkConfig, ResUNet
from separator.rows import Failed, Heard, Seconds, SpanRow, StemRow, TrackInfo
from separator.stages.listen import Listening
from separator.stages.separate import OurEngine, SeparatorStage, Stopwatch
from tests.helpers.rows import ASSET, ITEMS, add_items, make_failure, make_rendition

CONFIG = NetworkConfig(n_fft=256, hop=80, widths=(2, 2, 2, 2, 2, 2), condition_size=8)
RATE_HZ = 32_000


@pytest.fixture(scope="module")
def stage() -> SeparatorStage:
    torch.manual_seed(0)
    weights = ResUNet(CONFIG).state_dict()
    engine = OurEngine(CONFIG, weights).make(ModelSettings("x", "cpu", "fp32"))
    rows_QD = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    return SeparatorStage(engine, dict(zip(("an a", "a b"), rows_QD, strict=True)))


def make_span(samples_CT, asset=ASSET) -> SpanRow:
    samples_CT.flags.writeable = False  # as it comes from Ray
    return SpanRow(
        asset,
        TrackInfo(0, RATE_HZ, len(samples_CT)),
        1,
        core_start=3_200,
        core_stop=samples_CT.shape[1],
        samples=samples_CT,
        repairs="a gap filled",
        seconds=Seconds(extract=2.5),
    )


def make_noise() -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (2, 16_000)).astype(np.float32)


def test_separate_yields_the_engines_stem_of_each_query(stage):
    samples_CT = make_noise()
    rows = list(stage(make_span(samples_CT)))
    assert [row.name for row in rows] == ["a", "b"]
    conditions_QD = torch.tensor(np.stack(list(stage.conditions.values())))
    wanted = stage.engine.separate(torch.tensor(samples_CT), RATE_HZ, conditions_QD)
    for row, stem_CT in zip(rows, wanted.numpy(), strict=True):
        assert isinstance(row, StemRow) and row.repairs == "a gap filled"
        np.testing.assert_allclose(row.samples, stem_CT[:, 3_200:], atol=1e-5)
        assert row.energy_in == pytest.approx(np.square(samples_CT[:, 3_200:]).sum(), rel=1e-5)
    assert not np.allclose(rows[0].samples, rows[1].samples)
    assert [row.seconds.extract for row in rows] == [2.5, 0.0]
    assert all(row.seconds.separate > 0 for row in rows)


def test_an_engine_on_a_part_of_a_device_takes_that_part_of_its_memory():
    recipe = OurEngine(CONFIG, ResUNet(CONFIG).state_dict())
    model = ModelSettings("x", "cpu", "fp32")
    whole, quarter, two = (recipe.make(model, own_share=n).forward for n in (1.0, 0.25, 2.0))
    assert quarter.budget_bytes == whole.budget_bytes // 4
    assert two.budget_bytes == whole.budget_bytes


@pytest.mark.parametrize("residual", ["none", "joint"])
def test_separate_sends_all_items_of_an_asset_once_for_each_span(stage, residual):
    asset = add_items(make_rendition("m"))
    edits = Edits(residual, 24, (Rendition("m", {"a": 0.0}),))
    rows = list(
        SeparatorStage(stage.engine, stage.conditions, edits)(make_span(make_noise(), asset))
    )
    assert [row.asset.is_whole for row in rows] == [True] + [False] * (len(rows) - 1)
    first, *others = rows
    assert first.asset == asset
    for row in others:
        assert isinstance(row, StemRow)
        (item,) = row.asset.items
        assert item.name == (row.name if row.kind != "residual" else "a")


def test_stopwatch_gives_each_second_once():
    watch = Stopwatch()
    for _ in watch.time_each(iter([torch.zeros(1)] * 2)):
        assert watch.take_seconds() > 0
        assert watch.take_seconds() == 0  # work on a stem is not the device's


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("residual", ["none", "per_query", "joint"])
def test_separate_fails_a_track_of_nan_once_for_all_queries(stage, residual):
    samples_CT = np.full((1, 16_000), np.nan, np.float32)
    stage = SeparatorStage(stage.engine, stage.conditions, Edits(residual, 24))
    (row,) = stage(make_span(samples_CT))
    assert isinstance(row, Failed) and row.name == ""
    assert (row.code, row.stage, row.track.index) == ("non_finite_audio", "separate", 0)


@pytest.mark.parametrize("residual", ["none", "per_query", "joint"])
def test_separate_fails_a_track_whose_stem_would_be_nan(stage, residual):
    """Finite samples that overflow inside the network, as in a float file with a wild value."""
    samples_CT = np.full((1, 16_000), 3e38, np.float32)
    samples_CT[:, ::2] *= -1
    stage = SeparatorStage(stage.engine, stage.conditions, Edits(residual, 24))
    (row,) = stage(make_span(samples_CT))
    assert isinstance(row, Failed)
    assert (row.code, row.stage, row.track.index) == ("non_finite_audio", "separate", 0)


class LevelMeter(SimilarityMeter):
    """Gives the sound and the condition that it was given, in one number."""

    def __init__(self) -> None: ...

    def compare(self, samples_CT, rate_hz, condition_D) -> float:
        assert rate_hz == RATE_HZ
        return float(np.abs(samples_CT).sum() * condition_D[0])


def test_separate_measures_similarity_of_stems_and_of_their_own_residuals(stage):
    samples_CT = make_noise()
    texts = {item.name: item.text for item in ITEMS}
    for residual, count in (("per_query", 2), ("joint", 1)):
        edits = Edits(residual, 24, (Rendition("m", {"a": 0.5}),))
        listening = SeparatorStage(stage.engine, stage.conditions, edits, LevelMeter())
        rows = list(listening(make_span(samples_CT, add_items(make_rendition("m")))))
        assert [row.kind for row in rows].count("residual") == count
        for row in rows:
            if row.name in ("a", "b"):
                wanted = np.abs(row.samples).sum() * stage.conditions[texts[row.name]][0]
                assert row.similarity == pytest.approx(wanted)
            else:  # the residual of all stems, or a rendition
                assert math.isnan(row.similarity)
    assert all(math.isnan(row.similarity) for row in stage(make_span(samples_CT)))


def test_separate_measures_no_similarity_of_the_joint_residual_under_a_querys_name(stage):
    asset = replace(ASSET, items=(replace(ITEMS[0], name="all"),))
    joint = SeparatorStage(stage.engine, stage.conditions, Edits("joint", 24), LevelMeter())
    rows = list(joint(make_span(make_noise(), asset)))
    assert [math.isnan(row.similarity) for row in rows] == [False, True]


def test_separate_passes_failures_on(stage):
    failure = make_failure(-1, "no_audio")
    assert list(stage(failure)) == [failure]


class SaysWhere:
    """A listener that hears each query where it is told."""

    def __init__(self, opened: dict[str, list[tuple[float, float]]]) -> None:
        self.opened = opened

    def listen(self, samples_CT, rate_hz, span, conditions):
        return {
            key: Listening(Heard("classes", 0.9 if times else 0.1, ()), times, times)
            for key, times in self.opened.items()
            if key in conditions
        }

    def judge_stem(self, key, stem_CT, mixture_CT, rate_hz, span):
        return Heard("stem", 0.7, ((0.1, 0.2, 0.7),))


def make_gated(stage, opened, edits=None, is_gated=True) -> SeparatorStage:
    listener = SaysWhere(opened)
    return SeparatorStage(stage.engine, stage.conditions, edits, None, listener, is_gated)  # pyright: ignore


def list_stems(stage, row: SpanRow) -> list[StemRow]:
    rows = list(stage(row))
    assert all(isinstance(each, StemRow) for each in rows)
    return rows


def test_a_query_that_is_not_heard_has_a_row_without_samples_and_its_residual_is_the_track(stage):
    samples_CT = make_noise()
    edits = Edits("per_query", 24, (Rendition("m", {"a": 0.0, "b": 0.5}),))
    asset = replace(ASSET, items=(*ITEMS, make_rendition("m")))
    gated = make_gated(stage, {"an a": []}, edits)
    rows = {(r.kind, r.name): r for r in list_stems(gated, make_span(samples_CT, asset))}
    absent, rest = rows["stem", "a"], rows["residual", "a"]
    assert (absent.num_silent, absent.samples.size) == (12_800, 0)
    assert absent.heard == Heard("classes", 0.1) and rest.heard is None
    np.testing.assert_allclose(rest.samples, samples_CT[:, 3_200:], atol=2**-24)
    present = rows["stem", "b"]
    assert present.num_silent == 0 and present.heard and present.heard.by == "stem"
    wanted = samples_CT[:, 3_200:] - 0.5 * present.samples
    np.testing.assert_allclose(rows["rendition", "m"].samples, wanted, atol=1e-5)


def test_without_a_gate_what_is_not_heard_is_separated_all_the_same(stage):
    free = list_stems(make_gated(stage, {"an a": []}, is_gated=False), make_span(make_noise()))
    plain = list_stems(stage, make_span(make_noise()))
    for row, other in zip(free, plain, strict=True):
        np.testing.assert_array_equal(row.samples, other.samples)
    assert [row.heard and row.heard.by for row in free] == ["classes", "stem"]
    assert [row.heard for row in plain] == [None, None]


def test_a_mix_where_heard_leaves_the_rest_of_the_track_alone(stage):
    samples_CT = make_noise()
    edits = Edits(renditions=(Rendition("m", {"a": 0.0}, where_heard=True),))
    asset = add_items(make_rendition("m"))
    for times, is_changed in (([(0.2, 0.3)], True), ([], False)):
        gated = make_gated(stage, {"an a": times}, edits, is_gated=False)
        (mix,) = [r for r in list_stems(gated, make_span(samples_CT, asset)) if r.name == "m"]
        at_s = np.arange(3_200, 16_000) / RATE_HZ
        is_inside = (at_s >= 0.2) & (at_s < 0.3)
        differs = (mix.samples != samples_CT[:, 3_200:]).any(0)
        assert not differs[~is_inside].any() and differs[is_inside].any() == is_changed
