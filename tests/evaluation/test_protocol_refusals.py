"""What a protocol cannot score is refused in one line, before anything is computed."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from separator.config_file import read_settings
from separator.errors import RequestError
from separator.evaluation.protocol import ProtocolSettings
from separator.evaluation.run_protocol import list_cases, run_protocol
from tests.helpers.protocols import CONFIGS, WRITERS, write_csv

# A sound of each set that a case needs, and its list.
FILES = {
    "audiocaps": ("segment-1.wav", "audiocaps_eval.csv"),
    "audioset": ("class_id=1/class_id=1,index=003,source.wav", "class_labels_indices.csv"),
    "clipsep-music": ("data/set/audio/musi0.wav", "music-solo-test.csv"),
    "clipsep-vggsound": ("data/set/audio/vggs0.wav", "vggsound-test-good.csv"),
    "clotho": ("mixture-1.wav", "clotho_eval.csv"),
    "dcase2024-task9": ("2_12-hq.wav", "lass_synthetic_validation.csv"),
    "esc50": ("segment-0.wav", "esc50_eval.csv"),
    "music": ("mixture-2.wav", "music_eval.csv"),
    "vggsound": ("data/s0_wav/-a0_000030+++b0_000001.wav", "vggsound_eval.csv"),
    "voicebank-demand": ("noisy_testset_wav/p257_010.wav", ""),
}
OTHER = [["file", "labels", "start"], ["a.wav", "Dog", "3"]]


def read(name: str, folder: Path, *more: str) -> ProtocolSettings:
    given = ["model=mini", f"data={folder / 'data'}", f"lists={folder / 'lists'}",
             f"output={folder / 'out'}"]  # fmt: skip
    return read_settings(ProtocolSettings, CONFIGS / f"{name}.yaml", [*given, *more])


def refuse(name: str, folder: Path, *more: str) -> str:
    """Run a protocol that must be refused; return the one line."""
    with pytest.raises(RequestError) as caught:
        run_protocol(read(name, folder, *more), print)
    assert "\n" not in str(caught.value) and not (folder / "out").exists()
    return str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_missing_file_is_named_with_how_many_are_there(name, tmp_path):
    WRITERS[name](tmp_path / "data", tmp_path / "lists")
    num_there = len([path for path in (tmp_path / "data").rglob("*") if path.is_file()])
    gone, _ = FILES[name]
    (tmp_path / "data" / gone).unlink()
    said = refuse(name, tmp_path)
    assert f"files are missing ({gone}); {num_there - 1} files are there" in said


@pytest.mark.parametrize("name", WRITERS)
def test_other_sampling_rate_is_told_with_the_right_one(name, tmp_path):
    WRITERS[name](tmp_path / "data", tmp_path / "lists")
    for path in (tmp_path / "data").rglob("*.wav"):
        soundfile.write(path, np.zeros(100), 22_050)
    said = refuse(name, tmp_path)
    rate_hz = read(name, tmp_path).protocol.rate_hz
    assert f".wav: 22050 Hz; the files of this protocol have {rate_hz}: convert them all" in said


@pytest.mark.parametrize("name", [name for name, (_, listed) in FILES.items() if listed])
def test_list_of_another_set_is_told(name, tmp_path):
    WRITERS[name](tmp_path / "data", tmp_path / "lists")
    _, listed = FILES[name]
    write_csv(tmp_path / "lists" / listed, OTHER)
    said = refuse(name, tmp_path)
    assert listed in said
    assert "is this the list of another set?" in said or "row 1 has 3 values; 4 are needed" in said


@pytest.mark.parametrize("name", [name for name, (_, listed) in FILES.items() if listed])
def test_missing_list_says_what_lists_is(name, tmp_path):
    WRITERS[name](tmp_path / "data", tmp_path / "lists")
    (tmp_path / "lists" / FILES[name][1]).unlink()
    assert "no such file; lists=... is the folder of the official lists" in refuse(name, tmp_path)


@pytest.mark.parametrize("name", WRITERS)
def test_fewer_rows_than_the_official_set_are_told(name, tmp_path):
    WRITERS[name](tmp_path / "data", tmp_path / "lists")
    settings = read(name, tmp_path)
    cases, notes = list_cases(settings)
    official = settings.protocol.cases.num_rows
    assert f"{len(cases)} cases; the official set has {official}" in notes


def spoil_nothing(folder: Path) -> None:
    pass


def lose_column(folder: Path) -> None:
    (folder / "lists/audiocaps_eval.csv").write_bytes(b"idx,caption\r\n0,a\r\n1\r\n")


def empty_list(folder: Path) -> None:
    (folder / "lists/audiocaps_eval.csv").write_bytes(b"idx,caption\r\n")


@pytest.mark.parametrize(
    ("spoil", "more", "message"),
    [
        (lose_column, [], "row 2 has 1 values; 2 are needed: idx, caption"),
        (empty_list, [], "audiocaps_eval.csv: no rows in it"),
        (spoil_nothing, ["query=tags"], "query='tags': must be one of caption, label, paraphrase"),
        (spoil_nothing, ["query=image"], "image is needed: add it by a table of your own, also="),
        (spoil_nothing, ["data=''"], "data is not set: the folder of the sounds; add data="),
        (spoil_nothing, ["data=/none/here"], "data='/none/here': no such folder"),
        (
            spoil_nothing,
            ["more=bleu"],
            "more='bleu': must be one of bss, clap, dnsmos, fad, speech",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(spoil, more, message, tmp_path):
    WRITERS["audiocaps"](tmp_path / "data", tmp_path / "lists")
    spoil(tmp_path)
    with pytest.raises(RequestError, match=message) as caught:
        list_cases(read("audiocaps", tmp_path, *more))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["0", "zz"], "1 of its 2 rows are not in the list, source='zz' for one"),
        (["0", "0"], "has the same source twice"),
    ],
)
def test_rows_of_an_own_table_that_fit_nothing_are_told(keys, message, tmp_path):
    """The list of DCASE's validation names each source several times."""
    WRITERS["dcase2024-task9"](tmp_path / "data", tmp_path / "lists")
    own = tmp_path / "own.csv"
    listed = (tmp_path / "lists").rglob("*.csv")
    name = next(listed).read_text().splitlines()[1].split(",")[0]
    own.write_text("source,paraphrase\n" + "".join(f"{k if k != '0' else name},x\n" for k in keys))
    assert message in refuse("dcase2024-task9", tmp_path, f"also={own}", "query=paraphrase")


def test_count_of_frames_that_is_no_number_is_told(tmp_path):
    WRITERS["clipsep-music"](tmp_path / "data", tmp_path / "lists")
    path = tmp_path / "lists/music-solo-test.csv"
    path.write_text(path.read_text().replace(",2,", ",two,"))
    assert "num_frames='two' in the list: must be a number" in refuse("clipsep-music", tmp_path)
