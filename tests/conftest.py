"""Fixtures that several tests share; what is costly is made once per session."""

import os
from pathlib import Path

import pytest

# No test reaches a hub; must be set before transformers is imported.
os.environ["HF_HUB_OFFLINE"] = "1"

from tests import golden


@pytest.fixture(scope="session")
def official_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden.write_official_checkpoint(tmp_path_factory.mktemp("official") / "official.ckpt")
