"""Mining: the stretch of each label, by a detector that hears the level of two tones."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from jobs.mine import main as mine_command
from separator.audio.anchors import CLIP, find_anchor, find_anchor_uss
from separator.model.htsat import TaggerOutput
from separator.storage import Storage
from separator.train.mining import SCHEMA, make_rows, mine
from separator.train.sound_lists import Source, read_lists

RATE_HZ = 32_000
TONES = {"low": 300, "high": 4_000}


class ToneDetector:
    """Give each label the level of its tone, in steps; the latent is the length of its input."""

    labels = ("low", "high")

    def infer(self, waveform_BT: torch.Tensor) -> TaggerOutput:
        num_inputs, num_samples = waveform_BT.shape
        t = torch.arange(num_samples) / RATE_HZ
        curves = []
        for freq_hz in TONES.values():
            wave_T = torch.exp(2j * torch.pi * freq_hz * t)
            parts = torch.nn.functional.pad(waveform_BT * wave_T, (0, -num_samples % 32))
            curves.append(parts.unflatten(1, (32, -1)).mean(2).abs())
        framewise_BSK = torch.stack(curves, 2).clamp(0, 1)
        latent_BD = torch.full((num_inputs, 4), float(num_samples))
        return TaggerOutput(framewise_BSK, framewise_BSK.mean(1), latent_BD)


def make_clip(duration_s: float, **events: tuple[float, float]) -> torch.Tensor:
    """Make a quiet clip with one event (start, length) for each tone."""
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    clip = 1e-3 * np.random.default_rng(0).standard_normal(len(t))
    for kind, (start_s, length_s) in events.items():
        on = (t >= start_s) & (t < start_s + length_s)
        clip += 0.5 * on * np.sin(2 * np.pi * TONES[kind] * t)
    return torch.from_numpy(clip).float()


@pytest.mark.parametrize("rule", ["official", "uss", "windows"])
@pytest.mark.parametrize("duration_s", [6.0, 10.0, 27.0])
def test_mine_finds_each_label_where_it_sounds(rule, duration_s):
    low, high = (0.4, 0.7), (duration_s - 2.5, 1.2)
    clip = make_clip(duration_s, low=low, high=high)
    found = list(mine(ToneDetector(), clip, ["high", "low", "unknown"], rule))
    assert [stretch.label for stretch in found] == ["high", "low"]
    for stretch, (start_s, length_s) in zip(found, (high, low), strict=True):
        assert 0 <= stretch.start_s <= duration_s - 2
        # A step of the curve is 0.31 s long.
        assert stretch.start_s <= start_s + 0.32
        assert stretch.start_s + 2 >= start_s + length_s - 0.32
        assert stretch.latent[0] == 64_000 and 0.01 < stretch.score < 0.3


def test_mine_takes_all_of_a_short_sound():
    (found,) = mine(ToneDetector(), make_clip(0.7, low=(0.1, 0.5)), ["low"])
    assert found.start_s == 0 and found.latent[0] == round(0.7 * RATE_HZ)


def test_mine_yields_nothing_for_labels_that_the_detector_does_not_know():
    assert list(mine(ToneDetector(), make_clip(1.0), ["wind"])) == []


def test_make_rows_fits_the_schema():
    source = Source("a.wav", ("low",), "low", "tones", labels=("low", "high"), package="p")
    found = list(mine(ToneDetector(), make_clip(4.0, low=(1, 1)), ["low", "high"]))
    rows = list(make_rows(source, found))
    assert [set(row) for row in rows] == [set(SCHEMA.names)] * 2
    assert [row["kind"] for row in rows] == ["low", "high"]
    # Labels of one clip are told apart, unless the user has said what is never mixed.
    assert [row["group"] for row in rows] == ["low", "high"]
    own = list(make_rows(replace(source, is_grouped=True), found))
    assert [row["group"] for row in own] == ["tones", "tones"]


def test_a_group_is_the_users_own_where_the_list_names_it(tmp_path):
    rows = [{"audio": "a.wav", "labels": "low;high"}, {"audio": "b.wav", "labels": ["low"]}]
    rows[0]["group"] = "low"
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sources = read_lists([str(tmp_path / "a.jsonl")], Storage())
    assert [(source.group, source.is_grouped) for source in sources] == [
        ("low", True),
        ("low", False),
    ]


def test_a_mined_list_keeps_licences_and_one_without_them_is_read(tmp_path):
    sources = [Source(f"{one}.wav", ("low",), "low", licence=one) for one in ("CC0-1.0", "GPL-2")]
    found = list(mine(ToneDetector(), make_clip(2.0), ["low"]))
    rows = [row for source in sources for row in make_rows(source, found)]
    table = pa.Table.from_pylist(rows, SCHEMA)
    pq.write_table(table, tmp_path / "new.parquet")
    pq.write_table(table.drop_columns("licence"), tmp_path / "old.parquet")
    new, old = (
        read_lists([f"{tmp_path}/{name}.parquet"], Storage(), (), "permissive")
        for name in ("new", "old")
    )
    assert [source.licence for source in new] == ["CC0-1.0"] and len(old) == 2


def test_find_anchor_uss_repeats_the_ends_where_the_official_rule_has_zeros():
    falling = np.linspace(1, 0.5, 32)
    assert find_anchor_uss(falling) == (0, 64_000)
    assert find_anchor(falling)[0] <= 64_000 // 2
    late = np.zeros(32)
    late[-1] = 1
    assert find_anchor_uss(late)[1] == CLIP
    middle = np.zeros(1024)
    middle[500:524] = 1  # around 5 s: somewhere in the 2 s of both rules
    for find in (find_anchor, find_anchor_uss):
        begin, end = find(middle)
        assert begin <= 160_000 <= end and end - begin == 64_000


def test_mine_refuses_to_write_into_one_of_its_lists(tmp_path, capsys):
    tmp_path = tmp_path / "x"
    tmp_path.mkdir()
    for out in ("a.jsonl", "b.parquet", "../x/b.parquet"):
        (tmp_path / "b.parquet").write_text("mine")
        lists = [f"{tmp_path}/b.parquet", f"{tmp_path}/{out}"]
        assert mine_command(["mini-zeroshot", *lists]) == 2
        assert "the last is the list to write, a new .parquet" in capsys.readouterr().err
        assert (tmp_path / "b.parquet").read_text() == "mine"


def test_mine_overwrites_no_list_of_another_kind(tmp_path, capsys):
    lists = [str(tmp_path / name) for name in ("a.parquet", "b.parquet")]
    for path in lists:
        pd.DataFrame([{"audio": "x.wav", "labels": "low"}]).to_parquet(path)
    before = Path(lists[1]).read_bytes()
    assert mine_command(["mini-zeroshot", *lists]) == 2
    assert "is no list that `mine` has written" in capsys.readouterr().err
    assert Path(lists[1]).read_bytes() == before
