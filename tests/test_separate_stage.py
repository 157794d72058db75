"""Spans in, stems out, on a network of next to no size: what the engine gives, told once."""

import json

import numpy as np
import pytest
import torch

from separator.audio.edit import Edits
from separator.config import ModelSettings
from separator.model.resunet import NetworkConfig, ResUNet
from separator.stages import extract
from separator.stages.separate import SeparatorStage, make_engine
from tests.test_ledger import ASSET

CONFIG = NetworkConfig(n_fft=256, hop=80, widths=(2, 2, 2, 2, 2, 2), condition_size=8)
RATE_HZ = 32_000


@pytest.fixture(scope="module")
def stage() -> SeparatorStage:
    torch.manual_seed(0)
    engine = make_engine(CONFIG, ResUNet(CONFIG).state_dict(), ModelSettings("x", "cpu", "fp32"))
    rows_QD = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    return SeparatorStage(engine, dict(zip(("an a", "a b"), rows_QD, strict=True)))


def make_span(samples_CT):
    row = extract.make_row(ASSET, num_tracks=1)  # pyright: ignore[reportArgumentType]
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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("residual", ["none", "per_query", "joint"])
def test_samples_that_are_no_numbers_fail_all_queries_at_once(stage, residual):
    samples_CT = np.full((1, 16_000), np.nan, np.float32)
    stage = SeparatorStage(stage.engine, stage.conditions, Edits(residual, 24))
    (row,) = stage(make_span(samples_CT))
    assert (row["error_code"], row["error_stage"]) == ("non_finite_audio", "separate")
    assert row["query_name"] == "" and row["samples"].size == 0


def test_a_failure_passes_through(stage):
    failed = make_span(np.zeros((1, 0), np.float32)) | {"error_code": "no_audio"}
    (row,) = stage(failed)
    assert row["error_code"] == "no_audio" and row["query_name"] == ""
