"""Spans in, stems out, on a network of next to no size: what the engine gives, told once."""

import json
import math
import time

import numpy as np
import pytest
import torch

from separator.audio.renditions import Edits, Rendition
from separator.config import ModelSettings
from separator.encoders.similarity import SimilarityMeter
from separator.model.resunet import NetworkConfig, ResUNet
from separator.stages import extract
from separator.stages.separate import SeparatorStage, Watch, make_engine
from tests.helpers.rows import ASSET, QUERIES

CONFIG = NetworkConfig(n_fft=256, hop=80, widths=(2, 2, 2, 2, 2, 2), condition_size=8)
RATE_HZ = 32_000
MIX = {"kind": "rendition", "name": "m", "text": "m", "request": "m" * 32, "warning": ""}


@pytest.fixture(scope="module")
def stage() -> SeparatorStage:
    torch.manual_seed(0)
    engine = make_engine(CONFIG, ResUNet(CONFIG).state_dict(), ModelSettings("x", "cpu", "fp32"))
    rows_QD = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    return SeparatorStage(engine, dict(zip(("an a", "a b"), rows_QD, strict=True)))


def make_span(samples_CT, queries=QUERIES):
    asset = ASSET | {"queries": json.dumps(queries)}
    row = extract.make_row(asset, num_tracks=1)  # pyright: ignore[reportArgumentType]
    row |= {"track_index": 0, "track": json.dumps({"rate_hz": RATE_HZ}), "seconds": 2.5}
    samples_CT.flags.writeable = False  # as it comes from Ray
    return row | {"samples": samples_CT, "core_start": 3_200, "core_stop": samples_CT.shape[1]}


def test_a_stem_for_each_query_and_the_time_once(stage):
    samples_CT = np.random.default_rng(1).uniform(-1, 1, (2, 16_000)).astype(np.float32)
    rows = list(stage(make_span(samples_CT)))
    assert [row["query_name"] for row in rows] == ["a", "b"]
    conditions_QD = torch.tensor(np.stack(list(stage.conditions.values())))
    wanted = stage.engine.separate(torch.tensor(samples_CT), RATE_HZ, conditions_QD)
    for row, stem_CT in zip(rows, wanted.numpy(), strict=True):
        np.testing.assert_allclose(row["samples"], stem_CT[:, 3_200:], atol=1e-5)
        assert row["energy_in"] == pytest.approx(np.square(samples_CT[:, 3_200:]).sum(), rel=1e-5)
    assert not np.allclose(rows[0]["samples"], rows[1]["samples"])
    assert [row["extract_s"] for row in rows] == [2.5, 0.0]
    assert all(row["separate_s"] > 0 for row in rows)


def test_only_the_device_is_timed():
    def separate():
        for _ in range(2):
            time.sleep(0.05)
            yield torch.zeros(1)

    watch, told = Watch(), []
    for _ in watch.wait_for(separate()):
        told.append(watch.tell_seconds())
        time.sleep(0.3)  # what is made of a stem
    assert all(0.05 <= seconds < 0.3 for seconds in told) and len(told) == 2
    assert watch.tell_seconds() < 0.05


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("residual", ["none", "per_query", "joint"])
def test_samples_that_are_no_numbers_fail_all_queries_at_once(stage, residual):
    samples_CT = np.full((1, 16_000), np.nan, np.float32)
    stage = SeparatorStage(stage.engine, stage.conditions, Edits(residual, 24))
    (row,) = stage(make_span(samples_CT))
    assert (row["error_code"], row["error_stage"]) == ("non_finite_audio", "separate")
    assert row["query_name"] == "" and row["samples"].size == 0


class LevelListener(SimilarityMeter):
    """Tells the sound and the condition that it was given, in one number."""

    def __init__(self) -> None: ...

    def compare(self, samples_CT, rate_hz, condition_D) -> float:
        assert rate_hz == RATE_HZ
        return float(np.abs(samples_CT).sum() * condition_D[0])


def test_stems_and_what_is_left_without_one_are_listened_to(stage):
    samples_CT = np.random.default_rng(1).uniform(-1, 1, (2, 16_000)).astype(np.float32)
    texts = {query["name"]: query["text"] for query in QUERIES}
    for residual, count in (("per_query", 2), ("joint", 1)):
        edits = Edits(residual, 24, (Rendition("m", {"a": 0.5}),))
        listening = SeparatorStage(stage.engine, stage.conditions, edits, LevelListener())
        rows = list(listening(make_span(samples_CT, [*QUERIES, MIX])))
        assert [row["kind"] for row in rows].count("residual") == count
        for row in rows:
            if row["query_name"] in ("a", "b"):
                condition_D = stage.conditions[texts[row["query_name"]]]
                wanted = np.abs(row["samples"]).sum() * condition_D[0]
                assert row["similarity"] == pytest.approx(wanted)
            else:  # of all stems together, or mixed
                assert math.isnan(row["similarity"])
    assert all(math.isnan(row["similarity"]) for row in stage(make_span(samples_CT)))
    # The residual of all stems has a name, too, which a query may have.
    joint = SeparatorStage(stage.engine, stage.conditions, Edits("joint", 24), LevelListener())
    rows = list(joint(make_span(samples_CT, [QUERIES[0] | {"name": "all"}])))
    assert [math.isnan(row["similarity"]) for row in rows] == [False, True]


def test_a_failure_passes_through(stage):
    failed = make_span(np.zeros((1, 0), np.float32)) | {"error_code": "no_audio"}
    (row,) = stage(failed)
    assert row["error_code"] == "no_audio" and row["query_name"] == ""
