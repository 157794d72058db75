"""Test conditions of a run: what they depend on is known without torch, and computed once."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from separator.errors import ObjectMissing, QueryError
from separator.model.checkpoint import write_safetensors
from separator.model.zero_shot_files import pack_detector
from separator.run.prepare import load_flow, prepare_target
from separator.storage import Storage
from tests.helpers import golden_zs
from tests.helpers.job import write_sound
from tests.helpers.listing import list_ids, make_config, make_library


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def kit(tmp_path):
    """A library, and a folder of two example sounds."""
    make_library(tmp_path)
    write_sound(tmp_path / "bird/a.wav", ("siren",), 2, 1)
    write_sound(tmp_path / "bird/b.wav", ("siren",), 3, 2)
    return tmp_path


def prepare(folder, queries: str, *overrides: str):
    given = ["model.device=cpu", "model.precision=fp32", f"queries={queries}"]
    return prepare_target(make_config(folder, *given, *overrides), Storage())


def find_ids(target) -> list[str]:
    return list_ids(list(target.list_assets()))


def test_ids_follow_the_sounds_and_not_their_places(kit):
    by_folder = f"[{{name: bird, audio: {kit / 'bird'}}}, rain]"
    before = find_ids(prepare(kit, by_folder))
    by_files = f"[{{name: bird, audio: [{kit / 'bird/b.wav'}, {kit / 'bird/a.wav'}]}}, rain]"
    assert find_ids(prepare(kit, by_files)) == before
    # Texts keep the ids that they have without example sounds beside them.
    assert before[1::2] == find_ids(prepare(kit, "[rain]"))
    one = find_ids(prepare(kit, f"[{{name: bird, audio: {kit / 'bird/b.wav'}}}, rain]"))
    assert one[1::2] == before[1::2] and not set(one[::2]) & set(before)
    write_sound(kit / "bird/a.wav", ("rain",), 2, 3)
    after = find_ids(prepare(kit, by_folder))
    assert after[1::2] == before[1::2] and not set(after[::2]) & set(before)


def test_work_items_say_where_their_sounds_lie(kit):
    target = prepare(kit, f"[{{name: bird, audio: {kit / 'bird'}}}, rain]")
    sound, text = next(iter(target.list_assets())).items
    assert (sound.text, sound.examples_source) == ("", f'["{kit / "bird"}"]')
    assert sound.condition == sound.examples_version and len(sound.condition) == 32
    assert (text.text, text.condition) == ("rain", "rain")
    assert (text.examples_version, text.examples_source) == ("", "")


def test_conditions_of_texts_and_sounds_are_loaded_by_key(kit):
    """Sounds that differ are a warning of their record."""
    for number, kind in enumerate(("rain", "man", "drums", "bell")):
        write_sound(kit / f"bird/{kind}.wav", (kind,), 1, number)
    target = prepare(kit, f"[{{name: bird, audio: {kit / 'bird'}}}, rain]")
    flow = load_flow(target, "r")
    sound, text = next(iter(flow.target.list_assets())).items
    assert (
        set(flow.conditions)
        == {sound.condition, "rain"}
        == {sound.examples_version, text.condition}
    )
    assert not np.allclose(*flow.conditions.values())
    assert sound.warning.startswith("its example sounds differ") and not text.warning


def test_missing_sounds_are_reported_before_anything_is_done(kit):
    with pytest.raises(ObjectMissing, match=r"query 'bird': .*gone\.wav"):
        prepare(kit, f"[{{name: bird, audio: {kit / 'gone.wav'}}}]")
    (kit / "empty").mkdir()
    with pytest.raises(QueryError, match=r"query 'bird': .*empty: no example sounds"):
        prepare(kit, f"[{{name: bird, audio: {kit / 'empty'}}}]")


@pytest.fixture
def zero_shot(kit):
    """A separator file with its detector, and the same as official files."""
    net, detector = golden_zs.make_small_unet(), golden_zs.make_small_detector(num_classes=3)
    path = kit / "x.safetensors"
    write_safetensors(net, path, None, encoder=pack_detector(detector, ["a", "b", "c"]))
    (kit / "home").mkdir()
    golden_zs.write_official(kit / "home/zeroshot_asp_full.ckpt", net.state_dict())
    golden_zs.write_detector(kit / "home/htsat_audioset_2048d.ckpt", detector)
    return path


def test_spans_and_conditions_are_those_of_the_network(kit, zero_shot):
    queries = f"[{{name: bird, audio: {kit / 'bird'}}}]"
    flow = load_flow(prepare(kit, queries, f"model.name={zero_shot}", "detect.model=off"), "r")
    assert (float(flow.spans.grid_s), float(flow.spans.context_s)) == (0.64, 5.12)
    (condition_D,) = flow.conditions.values()
    assert condition_D.shape == (64,) and flow.find_audio_encoder() is None
    official = load_flow(prepare(kit, queries, "model.name=zeroshot-asp"), "r")
    np.testing.assert_array_equal(next(iter(official.conditions.values())), condition_D)
    pieces = load_flow(
        prepare(
            kit, queries, f"model.name={zero_shot}", "model.context=pieces", "detect.model=off"
        ),
        "r",
    )
    assert (pieces.spans.grid_s, pieces.spans.context_s) == (2, 2)


def test_another_detector_is_another_stem(kit, zero_shot):
    """`model.detector` enters the ids as what is in the file, not as its name."""
    queries = f"[{{name: bird, audio: {kit / 'bird'}}}]"
    stsed = kit / "home/htsat_audioset_2048d.ckpt"
    before = find_ids(prepare(kit, queries, "model.name=zeroshot-asp"))
    copy = shutil.copy(stsed, kit / "copy.ckpt")
    same = prepare(kit, queries, "model.name=zeroshot-asp", f"model.detector={copy}")
    assert find_ids(same) == before
    golden_zs.write_detector(kit / "copy.ckpt", golden_zs.make_small_detector(seed=1))
    other = prepare(kit, queries, "model.name=zeroshot-asp", f"model.detector={copy}")
    assert not set(find_ids(other)) & set(before)


def test_a_text_for_a_zero_shot_separator_is_refused(kit, zero_shot):
    target = prepare(
        kit, f"[{{name: bird, audio: {kit / 'bird'}}}, rain]", f"model.name={zero_shot}"
    )
    with pytest.raises(QueryError, match=r"query 'rain': .*reads no text"):
        load_flow(target, "r")


@pytest.mark.slow
@pytest.mark.check
def test_the_second_look_at_a_target_loads_no_torch(kit, zero_shot):
    queries = f"[{{name: bird, audio: {kit / 'bird'}}}]"
    for name in (str(zero_shot), "zeroshot-asp", "mini"):
        first = find_ids(prepare(kit, queries, f"model.name={name}"))
        code = (
            "import sys\n"
            "from separator.config import read_config\n"
            "from separator.run.prepare import prepare_target\n"
            "from separator.storage import Storage\n"
            "from pathlib import Path\n"
            "target = prepare_target(read_config(Path(sys.argv[1]), sys.argv[2:]), Storage())\n"
            "print([i.id for a in target.list_assets() for i in a.items])\n"
            "print(sorted({'torch', 'ray', 'scipy'} & set(sys.modules)))\n"
        )
        given = [f"input.uri={kit / 'in'}", f"output.uri={kit / 'out'}", "model.device=cpu"]
        given += ["model.precision=fp32", f"queries={queries}", f"model.name={name}"]
        command = [sys.executable, "-c", code, "configs/local.yaml", *given]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=120)
        assert done.stdout == f"{first}\n[]\n", done.stderr
