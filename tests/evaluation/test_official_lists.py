"""The official lists, where they are at hand, are those that the protocols expect."""

from collections import Counter

import numpy as np
import pytest

from separator.config_file import read_settings
from separator.evaluation.protocol import ProtocolSettings
from separator.evaluation.protocol_cases import read_table
from separator.storage import Storage
from tests.helpers.official_lists import VARIABLE, find_official_lists
from tests.helpers.protocols import CONFIGS, WRITERS

FOLDERS = {
    "dcase2024-task9": "dcase2024_task9",
    "clipsep-music": "clipsep",
    "clipsep-vggsound": "clipsep",
}


@pytest.fixture(scope="module")
def official():
    folder = find_official_lists()
    if folder is None:
        pytest.skip(f"the official lists are not here: set {VARIABLE}")
    return folder


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "voicebank-demand"])
def test_official_lists_have_the_hashes_and_rows_of_the_protocol(official, name):
    given = ["model=mini", "data=x", "lists=y"]
    protocol = read_settings(ProtocolSettings, CONFIGS / f"{name}.yaml", given).protocol
    lists = str(official / FOLDERS.get(name, "audiosep"))
    tables = [t for t in (protocol.cases, protocol.classes, protocol.noises) if t.file]
    assert tables
    for table in tables:
        rows, note = read_table(Storage(), lists, table)
        assert (len(rows), note) == (table.num_rows, ""), table.file


def test_audiosets_list_has_ten_rows_of_each_class(official):
    with (official / "audiosep/audioset_eval.csv").open(newline="") as file:
        counts = Counter(
            line.split("class_id=")[1].split("/")[0].split(",")[0]
            for line in file
            if "class_id=" in line
        )
    assert len(counts) == 527 and set(counts.values()) == {10}


def test_levels_of_dcases_list_have_the_mean_that_the_baseline_reports(official):
    given = ["model=mini", "data=x", "lists=y"]
    protocol = read_settings(ProtocolSettings, CONFIGS / "dcase2024-task9.yaml", given).protocol
    rows, _ = read_table(Storage(), str(official / "dcase2024_task9"), protocol.cases)
    assert np.mean([float(row["snr"]) for row in rows]) == pytest.approx(5.708 - 5.673, abs=1e-3)
