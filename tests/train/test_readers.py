"""Batches that Ray tasks make ahead of the network."""

import os

import numpy as np
import pytest

from separator.train.readers import iterate_batches
from separator.train.recipe import DataSettings, OptimSettings, TrainSettings

pytestmark = pytest.mark.usefixtures("shared_ray")


class CountingExamples:
    """Say in each batch in which process it was made, and how many copies that process has read."""

    num_copies = 0

    def __setstate__(self, state: dict) -> None:
        CountingExamples.num_copies += 1

    def make_batch(self, numbers) -> dict[str, np.ndarray]:
        return {
            "number": np.array(numbers),
            "process": np.array([os.getpid()]),
            "num_copies": np.array([CountingExamples.num_copies]),
        }

    def __getstate__(self) -> dict:
        return {"any": 1}


def test_a_process_reads_the_examples_once_for_all_its_batches():
    settings = TrainSettings(
        output="out",
        encoder="mini",
        readers=2,
        data=DataSettings(lists=["a.jsonl"]),
        optim=OptimSettings(num_steps=20, batch=3),
    )
    made = list(iterate_batches(CountingExamples(), settings, 5, 1, 2))
    numbers = [batch["number"].tolist() for batch in made]
    assert numbers == [list(range(3 * i, 3 * i + 3)) for i in range(11, 40, 2)]
    processes = {int(batch["process"][0]) for batch in made}
    assert len(processes) < len(made)
    assert {int(batch["num_copies"][0]) for batch in made} == {1}
