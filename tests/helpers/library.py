"""Fixtures: a small library with known contents, and the output of an undisturbed run on it."""

from pathlib import Path

import pytest

from tests.helpers.job import make_library, make_once, run_job, write_config


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    return make_once(tmp_path_factory, "library", make_library)


@pytest.fixture(scope="session")
def finished(library, tmp_path_factory) -> Path:
    """The output of a run. Not to be changed."""

    def make(folder: Path) -> None:
        config = write_config(folder / "config.yaml", str(library), str(folder / "out"))
        (folder / "console.txt").write_text(run_job(config, code=3))

    return make_once(tmp_path_factory, "finished", make)
