"""Outputs that cannot be written are refused in one line, before the work."""

import pytest

from jobs.cli import main
from jobs.train_encoder import is_own
from separator.errors import RequestError
from separator.model.registry import BUNDLED
from separator.train.outputs import check_file
from tests.helpers.training import write_encoder

# What each command wants behind the list of sounds, and what it would write into OUT.
COMMANDS = {
    "train-encoder": (["OUT/encoder.safetensors", "LIST"], ["--steps", "1"]),
    "evaluate": (["mini", "LIST", "OUT"], []),
    "mine": (["mini-zeroshot", "LIST", "OUT/mined.parquet"], []),
}


@pytest.mark.parametrize("place", ["a-file", "a-file/below", "/proc/none"])
def test_check_file_refuses_a_folder_that_cannot_be(tmp_path, place):
    (tmp_path / "a-file").touch()
    with pytest.raises(RequestError, match="cannot be"):
        check_file(tmp_path / place / "out.parquet")


def test_check_file_makes_the_folder_alone(tmp_path):
    check_file(tmp_path / "a/b/out.parquet")
    assert not list((tmp_path / "a/b").iterdir())
    with pytest.raises(RequestError, match="is a folder"):
        check_file(tmp_path / "a/b")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_refuse_a_file_in_the_place_of_the_folder(
    command, tmp_path, sounds_list, monkeypatch, capsys
):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # whoever comes so far ends with code 1
    (taken := tmp_path / "taken").touch()
    named, more = COMMANDS[command]
    words = [each.replace("OUT", str(taken)) for each in named]
    words = [each.replace("LIST", str(sounds_list)) for each in words]
    assert main([command, *words, *more]) == 2
    assert "cannot be made, a file has its name" in capsys.readouterr().err.splitlines()[-1]


def test_train_encoder_overwrites_only_what_it_wrote(tmp_path, sounds_list, capsys):
    out = tmp_path / "sub/encoder.safetensors"
    words = ["train-encoder", str(out), str(sounds_list), "--steps", "1", "--batch", "2"]
    assert main(words) == 0 and is_own(out) and main(words) == 0
    out.write_bytes(BUNDLED.read_bytes())
    assert main(words) == 2 and "exists; --force overwrites it" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0 and is_own(out)
    assert is_own(write_encoder(tmp_path / "own.safetensors"))
    (tmp_path / "notes.safetensors").write_text("mine")
    assert not is_own(tmp_path / "notes.safetensors") and not is_own(tmp_path / "none")
