"""SIGKILL of any process of a run at any time, over a library of many small files of all kinds."""

import random
import shutil
import time
from pathlib import Path

import pytest

from tests.helpers.job import run_job, start_job
from tests.helpers.kills import kill_driver, kill_one
from tests.helpers.many import EDITS, Tree, check_same, make_wanted

NUM_KILLS = 8
LONGEST_S = 30.0  # until a kill: about as long as an undisturbed run


def disturb(config: Path, out: Path, wanted: Tree, num_kills: int, seed: int) -> None:
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


@pytest.mark.slow
def test_kills_at_random_times_change_nothing(tmp_path):
    out, config = tmp_path / "out", tmp_path / "a.yaml"
    wanted = make_wanted(tmp_path / "library", out, config, 30)
    disturb(config, out, wanted, NUM_KILLS, seed=15)
