"""Fixtures that several tests share; costly ones are made once per session."""

import os
import signal
from pathlib import Path

import pytest

# Keeps tests off the hub; must be set before huggingface_hub is imported.
os.environ["HF_HUB_OFFLINE"] = "1"
# Tests run side by side: torch's threads, which wait spinning, would take the others' cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from torch import Tensor

from separator.encoders.clap import ClapEncoder, load_clap, read_clap_file
from separator.sounds.programs import find_program, list_soundfonts
from tests.helpers import golden, golden_zs, tiny_clap

pytest_plugins = ["tests.helpers.s3"]  # S3 servers on loopback


@pytest.hookimpl(tryfirst=True)  # before pytest selects by mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "gateway" in getattr(item, "fixturenames", ()):
            item.add_marker("gateway")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("espeak"):
        missing = [name for name in ("espeak-ng", "fluidsynth") if not find_program(name)]
        if missing := missing + ["a soundfont"] * (not list_soundfonts()):
            pytest.fail(f"not installed: {', '.join(missing)}; `make sounds` installs it")


def pytest_runtest_teardown() -> None:
    # A command that was stopped leaves signals ignored; Ctrl-C still has to end the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def official_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden.write_official_checkpoint(tmp_path_factory.mktemp("official") / "official.ckpt")


@pytest.fixture(scope="session")
def htsat_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The narrower of the two official detectors, of 768 features."""
    state = golden_zs.make_state("htsat768")
    return golden_zs.write_official(tmp_path_factory.mktemp("htsat") / "htsat.ckpt", state)


# The small LAION-CLAP: importing transformers and building HTSAT takes seconds.


@pytest.fixture(scope="session")
def clap_state() -> dict[str, Tensor]:
    return tiny_clap.make_state()


@pytest.fixture(scope="session")
def tokenizer_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clap.write_tokenizer(tmp_path_factory.mktemp("home") / "roberta-base")


@pytest.fixture(scope="session")
def clap_file(tmp_path_factory: pytest.TempPathFactory, clap_state: dict[str, Tensor]) -> Path:
    return tiny_clap.write_official_file(tmp_path_factory.mktemp("clap") / "tiny.pt", clap_state)


@pytest.fixture(scope="session")
def encoder(clap_file: Path, tokenizer_path: Path) -> ClapEncoder:
    return load_clap(read_clap_file(clap_file), tokenizer_path)
