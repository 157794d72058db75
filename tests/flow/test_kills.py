"""SIGKILL of any process of a run at any time, over a library of many small files of all kinds."""

import json
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.helpers import media_files as make
from tests.helpers.job import check_whole, read_tree, run_job, start_job, write_config, write_sound
from tests.helpers.kills import kill_driver, kill_one

NUM_KILLS = 8
LONGEST_S = 30.0  # until a kill: about as long as an undisturbed run
KINDS = [("man", "siren"), ("rain", "bell"), ("woman", "drums")]
EDITS = [
    "output.residual=per_query",
    "output.renditions=[{name: quiet, gains_db: {siren: -inf}, loudness_lufs: -30}]",
    "output.remux=replace",
    "run.span_s=2",
]
OF_RUNS = ("run_id", "created_at")


def make_many(folder: Path, number: int) -> None:
    """Films in two containers and sounds, of half a second; some are of three spans."""
    picture = make.write_picture(folder.with_name("picture.mp4"), 0.5)
    for i in range(number):
        sound = folder.with_name(f"{i}.wav")
        write_sound(sound, KINDS[i % 3], 5.0 if i % 10 == 4 else 0.5, i)
        (path := folder / str(i % 4)).mkdir(parents=True, exist_ok=True)
        if i % 3 == 0:
            sound.rename(path / sound.name)
            continue
        codec, suffix = [("flac", "mkv"), ("aac", "mp4")][i % 3 - 1]
        film = path / f"{i}.{suffix}"
        make.start("-i", picture, "-i", sound, "-c:v", "copy", "-c:a", codec, film)


def read_comparable(out: Path) -> dict[str, object]:
    """The tree, with commit files as JSON and without what differs from run to run."""
    tree: dict[str, object] = dict(read_tree(out))
    for name in [name for name in tree if name.endswith("record.json")]:
        content = json.loads((out / name).read_text())
        for record in content["records"]:
            for key in OF_RUNS:
                del record[key]
        tree[name] = content
    return tree


def disturb(config: Path, out: Path, wanted: dict[str, object], num_kills: int, seed: int) -> None:
    """Kill as often; whenever a run comes to its end its output is looked at and thrown away."""
    rng, told = random.Random(seed), []
    while len(told) < num_kills:
        process = start_job(config, *EDITS)
        for _ in range(2):  # more often, and Ray gives a task up: that is another test
            time.sleep(rng.uniform(0, LONGEST_S) * rng.choice([0.3, 1.0]))
            kind = rng.choice(["driver", "driver", "actor", "worker"])
            if process.poll() is not None or len(told) == num_kills:
                break
            if kind == "driver":
                kill_driver(process)
                told.append(kind)
                break
            if kill_one(process, kind):
                told.append(kind)
        _, err = process.communicate(timeout=1_500)
        # A busy machine may not start Ray in time: that is said, and loses nothing.
        has_said = process.returncode == 1 and "Ray does not start" in err
        assert process.returncode in (0, -9) or has_said, (told, err[-3_000:])
        if process.returncode == 0:
            check_same(out, wanted, told)
            shutil.rmtree(out)
    run_job(config, *EDITS)
    check_same(out, wanted, told)


def check_same(out: Path, wanted: dict[str, object], told: list[str]) -> None:
    check_whole(out)
    found = read_comparable(out)
    assert found.keys() == wanted.keys(), told
    assert [name for name in wanted if found[name] != wanted[name]] == [], told


@pytest.mark.slow
def test_kills_at_random_times_change_nothing(tmp_path):
    library, out = tmp_path / "library", tmp_path / "out"
    make_many(library, 30)
    config = write_config(tmp_path / "a.yaml", str(library), str(out))
    run_job(config, *EDITS)
    wanted = read_comparable(out)
    assert len(wanted) == 30 * 7 and any("/remux/" in name for name in wanted)
    shutil.rmtree(out)  # the same place, for the records name it
    disturb(config, out, wanted, NUM_KILLS, seed=15)
