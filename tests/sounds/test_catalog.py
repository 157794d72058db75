"""All classes together: finished sounds, their levels, captions of one group only."""

import json

import numpy as np
import pytest
import soundfile

from jobs.sounds import main
from separator.errors import RequestError
from separator.sounds.bank import FOLDER_VARIABLE
from separator.sounds.catalog import CLASSES, make_sound
from separator.sounds.kind_names import list_synonyms


def test_classes_are_thirty_or_more_and_share_no_caption_between_groups():
    assert len(CLASSES) >= 30
    groups: dict[str, str] = {}
    for sound in CLASSES.values():
        assert len(sound.captions) >= 5 and len(sound.paraphrases) >= 4
        for caption in (*sound.captions, *sound.paraphrases):
            assert groups.setdefault(caption, sound.group) == sound.group, caption


@pytest.mark.parametrize("name", ["man", "piano", "siren", "rain", "dog", "hum"])
def test_make_sound_depends_on_its_arguments_and_keeps_its_level(name, monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    sound = make_sound(name, 3, 64_000)
    assert sound.shape == (64_000,) and sound.dtype == np.float32 and np.isfinite(sound).all()
    level_db = 10 * np.log10(np.mean(sound.astype(float) ** 2))
    assert np.abs(sound).max() <= 0.951 and -45 < level_db < -13
    np.testing.assert_array_equal(sound, make_sound(name, 3, 64_000))
    assert not np.array_equal(sound, make_sound(name, 4, 64_000))
    assert not np.array_equal(sound, make_sound(name, 3, 64_000, held_out=True))


def test_make_sound_refuses_an_unknown_class():
    with pytest.raises(RequestError, match="kazoo"):
        make_sound("kazoo", 0, 1_000)


@pytest.mark.slow
@pytest.mark.check
def test_sounds_command_renders_and_continues(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    arguments = [str(tmp_path), "--takes", "2", "--seconds", "1", "--classes", "owl,rain"]
    assert main([*arguments, "--processes", "1"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "sounds.jsonl").read_text().splitlines()]
    assert [row["kind"] for row in rows] == ["owl", "owl", "rain", "rain"]
    assert set(list_synonyms("owl")) < set(rows[0]["captions"])
    assert main([str(tmp_path / "kept"), *arguments[1:], "--held-out", "--processes", "1"]) == 0
    (row, *_) = (tmp_path / "kept/sounds.jsonl").read_text().splitlines()
    assert json.loads(row)["captions"] == list(CLASSES["owl"].captions)
    assert soundfile.info(tmp_path / rows[0]["audio"]).frames == 32_000
    kept = (tmp_path / rows[0]["audio"]).stat().st_mtime_ns
    (tmp_path / rows[1]["audio"]).unlink()
    assert main([*arguments, "--processes", "1"]) == 0
    assert (tmp_path / rows[0]["audio"]).stat().st_mtime_ns == kept
    assert (tmp_path / rows[1]["audio"]).exists()
    assert main([str(tmp_path), "--classes", "kazoo"]) == 2
    assert "kazoo" in capsys.readouterr().err
    # What is there is kept, so it must be of the settings that are asked for now.
    bank = tmp_path / "bank"
    assert main([*arguments, "--held-out", "--processes", "1", "--bank", str(bank)]) == 2
    assert not bank.exists(), "hours of rendering before a refusal"
    assert "the sounds there were made with {'seconds': 1.0, 'held_out': False" in (
        capsys.readouterr().err
    )
    assert (tmp_path / "sounds.jsonl").read_text().count("\n") == 4


@pytest.mark.parametrize(
    "option", [("--seconds", "nan"), ("--first-seed", "-3"), ("--processes", "0")]
)
def test_sounds_command_refuses_numbers_that_cannot_be(option, tmp_path, capsys):
    assert main([str(tmp_path / "s"), *option]) == 2
    assert option[0] in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
