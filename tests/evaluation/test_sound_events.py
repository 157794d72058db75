"""Sets of sound events: counting held against PSDS-eval, the command on clips in DESED's layout."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from jobs.cli import main
from separator.errors import RequestError
from separator.evaluation.presence import Counts, count_overlapping
from separator.evaluation.sound_events import (
    EventClass,
    find_columns,
    find_events,
    find_stop,
    read_events,
)
from separator.model.zero_shot_files import read_labels
from separator.storage import Storage
from separator.train.sound_lists import read_whole
from tests.helpers.golden_zs import make_small_detector, write_detector

DESED = Path(__file__).parents[2] / "configs/eval/desed.yaml"
HZ = 44_100
CLASSES = {"Cat": EventClass(["81-85"]), "Dog": EventClass(["74-79"])}


def draw_events(rng: np.random.Generator, most: int) -> list[tuple[float, float]]:
    """Events of one class, which do not overlap: stretches between pairs of cuts."""
    cuts = np.sort(rng.uniform(0, 10, 2 * int(rng.integers(most + 1))))
    return [(float(a), float(b)) for a, b in cuts.reshape(-1, 2)]


def test_count_overlapping_counts_as_psds_eval_does():
    from psds_eval import PSDSEval

    rng = np.random.default_rng(1)
    rows: dict[str, list] = {"truth": [], "found": []}
    ours = {"Cat": Counts(), "Dog": Counts()}
    for clip in range(60):
        for label in ours:
            truth, found = draw_events(rng, 3), draw_events(rng, 3)
            if clip % 2:  # parts of the events, so that half of them are near misses
                found = [(a + (b - a) * rng.uniform(0, 0.6), b) for a, b in truth]
            ours[label] += count_overlapping(found, truth)
            rows["truth"] += [(f"{clip}.wav", *times, label) for times in truth]
            rows["found"] += [(f"{clip}.wav", *times, label) for times in found]
    columns = ["filename", "onset", "offset", "event_label"]
    tables = {name: pd.DataFrame(each, columns=columns) for name, each in rows.items()}
    clips = pd.DataFrame({"filename": [f"{i}.wav" for i in range(60)], "duration": 10.0})
    with warnings.catch_warnings(action="ignore"):
        referee = PSDSEval(ground_truth=tables["truth"], metadata=clips)
        mean, by_class = referee.compute_macro_f_score(tables["found"])
    assert 0.2 < mean < 0.9
    for label, counts in ours.items():
        assert counts.f1 == pytest.approx(by_class[label], abs=1e-12)


def test_read_events_takes_the_official_list():
    data = (
        b"filename\tonset\toffset\tevent_label\r\nb.wav\t0.5\t2.0\tCat\r\na.wav\t\t\t\r\n"
        b"b.wav\t3\t4\tCat\r\nb.wav\t0\t10.0\tDog\r\n"
    )
    found = read_events("x.tsv", data, CLASSES)
    assert found == {"b.wav": {"Cat": [(0.5, 2.0), (3.0, 4.0)], "Dog": [(0.0, 10.0)]}, "a.wav": {}}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav\t1\t2\tZebra", "x.tsv, line 2: 'Zebra' is none of the classes Cat, Dog"),
        ("a.wav\t2\t1\tCat", "x.tsv, line 2: onset='2', offset='1': must be seconds"),
        ("a.wav\t\t1\tCat", "x.tsv, line 2: onset=''"),
        ("a.wav\tnan\tinf\tCat", "x.tsv, line 2: onset='nan'"),
        ("", "x.tsv: has no rows"),
    ],
)
def test_read_events_names_the_line_that_is_wrong(row, message):
    head = "filename\tonset\toffset\tevent_label\n"
    with pytest.raises(RequestError, match=f"^{message}"):
        read_events("x.tsv", (head + row).encode(), CLASSES)
    with pytest.raises(RequestError, match=r"^x\.tsv: no column filename"):
        read_events("x.tsv", b"filename,onset\n", CLASSES)


def test_find_columns_takes_numbers_of_audioset_and_names():
    asked = ["310", "388-390", "Siren"]
    for known in (read_labels(527), sorted(read_labels(527)), sorted(read_labels(527)[300:])):
        names = [known[column] for column in find_columns("Alarm", asked, known)]
        assert names == [*(read_labels(527)[i] for i in (310, 388, 389, 390)), "Siren"]
    assert find_columns("Alarm", ["siren"], ["alarm", "siren"]) == [1]
    with pytest.raises(RequestError, match=r"Alarm: 310: .*class 310, 'Car alarm': .*has 2 labels"):
        find_columns("Alarm", ["310"], ["alarm", "siren"])
    with pytest.raises(RequestError, match="Alarm: 520-527: AudioSet has 527 labels"):
        find_columns("Alarm", ["520-527"], read_labels(527))
    with pytest.raises(RequestError, match="no label 'bell'"):
        find_columns("Alarm", ["bell"], ["alarm", "siren"])


@pytest.mark.parametrize("labels", [[], ["402-388"]])
def test_find_columns_refuses_a_class_of_no_label(labels):
    with pytest.raises(RequestError, match=r"classes\.Alarm: labels=.* name no label"):
        find_columns("Alarm", labels, read_labels(527))


def test_events_are_runs_of_rows_up_to_the_official_end():
    for num_samples in (320_000, 319_999, 123_457, 320, 319):
        expected = np.ceil(num_samples // 320 * 1.024) * 10 / 1024
        assert find_stop(num_samples) == pytest.approx(expected)
    score_N = np.array([0.5, 0.51, 0.9, 0.2, 0.6, 0.1, 0.7], np.float32)
    assert find_events(score_N, 0.5, 0.25, 1.2) == [(0.25, 0.75), (1.0, 1.2)]


def write_desed(folder: Path) -> tuple[Path, Path]:
    """Write three clips in the layout of DESED's public evaluation set: stereo, short, long."""
    rng = np.random.default_rng(3)
    sounds, table = folder / "audio/eval/public", folder / "public.tsv"
    sounds.mkdir(parents=True)
    lines = ["filename\tonset\toffset\tevent_label"]
    for name, seconds in (("Ya.wav", 10.0), ("Yb.wav", 4.2), ("Yc.wav", 11.5)):
        t = np.arange(round(seconds * HZ)) / HZ
        tone = np.sin(2 * np.pi * rng.uniform(200, 4_000) * t) * (np.sin(3 * t) > 0)
        noise = 0.1 * rng.standard_normal((len(t), 2))
        soundfile.write(sounds / name, (0.4 * tone[:, None] + noise) * [1.0, 0.5], HZ)
        lines += [f"{name}\t0.3\t3.9\tSpeech", f"{name}\t1.0\t4.0\tCat"]
    table.write_text("\n".join(lines))
    return sounds, table


def call(capsys, *argv: object) -> tuple[int, str, str]:
    code = main(["evaluate", *map(str, argv), "device=cpu"])
    return code, *capsys.readouterr()


def test_the_command_names_what_is_missing(tmp_path, capsys):
    sounds, table = write_desed(tmp_path)
    model = write_detector(tmp_path / "d.ckpt", make_small_detector())
    asked = [DESED, f"model={model}", f"lists={table}", f"output={tmp_path / 'out'}"]
    other = sounds.parent / "other"
    other.mkdir()
    (other / "Ya.wav").write_bytes((sounds / "Yc.wav").read_bytes())
    _, _, said = call(capsys, *asked, f"data={sounds.parent}")
    assert "two files are called Ya.wav" in said.splitlines()[-1]
    (sounds / "Yb.wav").unlink()
    for given, message in (
        (f"data={sounds}", f"{sounds}: 1 of 3 clips of the list are not there, Yb.wav for one"),
        (f"data={tmp_path / 'none'}", "no such folder"),
        (f"lists={tmp_path / 'none.tsv'}", "no such file; lists=... is the list of the events"),
        ("detector=stsed", "here the model is the detector"),
    ):
        code, shown, said = call(capsys, *asked, f"data={sounds}", given)
        assert code == 2 and not shown and message in said.splitlines()[-1]
    assert not (tmp_path / "out/scores.parquet").exists()


@pytest.mark.slow
@pytest.mark.check
def test_desed_has_the_figures_of_plain_numpy(shared_ray, tmp_path, capsys):
    from separator import load_detector

    sounds, table = write_desed(tmp_path)
    model = write_detector(tmp_path / "d.ckpt", make_small_detector())
    out = tmp_path / "out"
    limits = {"Speech": 0.83, "Cat": 0.885}
    edits = [f"classes.{name}.threshold={value}" for name, value in limits.items()]
    asked = [f"model={model}", f"lists={table}", f"data={sounds}", f"output={out}", *edits]
    code, shown, said = call(capsys, DESED, *asked)
    assert code == 0, said
    assert "not the whole set, which has 692 clips" in shown and "HTS-AT" in shown
    rows = pd.read_parquet(out / "scores.parquet")
    assert len(rows) == 30

    detector = load_detector(model)
    for name, columns in (("Speech", range(8)), ("Cat", range(81, 86))):
        own, expected = rows[rows["class"] == name], Counts()
        for clip in ("Ya.wav", "Yb.wav", "Yc.wav"):
            sound_T = read_whole(Storage(), str(sounds / clip), 32_000)[:320_000]
            whole_T = np.zeros(320_000, np.float32)
            whole_T[: len(sound_T)] = sound_T
            score = detector.detect(whole_T[None], 32_000).framewise[:, list(columns)].max(1)
            fine = np.repeat(score > limits[name], 32)  # as the official code has its rows
            fine = fine[: int(np.ceil(len(sound_T) // 320 * 1.024))]
            edges = np.flatnonzero(np.diff([0, *fine, 0])).reshape(-1, 2) * 10 / 1024
            truth = (0.3, 3.9) if name == "Speech" else (1.0, 4.0)
            expected += count_overlapping([(float(a), float(b)) for a, b in edges], [truth])
        assert expected.hits + expected.false_alarms
        found = Counts(*(int(own[key].sum()) for key in ("hits", "false_alarms", "misses")))
        assert found == expected
        line = next(line for line in shown.splitlines() if line.startswith(name))
        assert float(line.split()[1]) == pytest.approx(100 * expected.f1, abs=0.006)
    again = call(capsys, DESED, *asked)
    assert again[0] == 0 and again[1] == shown
    assert "1 of 1 are there already" in again[2]
