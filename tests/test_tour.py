"""docs/tour.ipynb: kept without outputs, and run from start to end as a newcomer does."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.shown import read_players

TOUR = Path(__file__).parents[1] / "docs/tour.ipynb"


def read_tour() -> nbformat.NotebookNode:
    return nbformat.read(TOUR, as_version=4)


def test_tour_is_kept_without_outputs_and_without_a_machine():
    tour = read_tour()
    nbformat.validate(tour)
    codes = [cell for cell in tour.cells if cell.cell_type == "code"]
    assert len(codes) > 5
    for cell in codes:
        assert not cell.outputs and cell.execution_count is None
    assert set(tour.metadata) == {"kernelspec", "language_info"}
    text = "\n".join(cell.source for cell in tour.cells)
    assert not re.search(r"/home/|/root|/tmp|/work|://(?!\s|`)", text.replace("s3://", ""))
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (TOUR.parent / link).is_file(), link


@pytest.mark.slow
def test_tour_runs(tmp_path):
    tour = read_tour()
    NotebookClient(tour, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [each for cell in tour.cells if cell.cell_type == "code" for each in cell.outputs]
    shown = [each.data["text/html"] for each in outputs if "text/html" in each.get("data", {})]
    stems, example, files, table = shown
    players, _ = read_players(stems)
    assert [player.label.split(",")[0] for player in players] == [
        "the sound itself",
        "a-person-speaking",
        "siren",
        "residual",
    ]
    assert len(read_players(example)[0]) == 3 and len(read_players(files)[0]) == 1
    printed = "".join(each.text for each in outputs if each.output_type == "stream")
    assert "saved/siren.flac" in printed and "saved/residual/all.flac" in printed
    start_s, stop_s = map(float, re.findall(r"^([\d.]+) s to ([\d.]+) s, score", printed, re.M)[0])
    assert abs(start_s - 4) < 0.5 and abs(stop_s - 7) < 0.5
    (code,) = [
        each.data["text/plain"]
        for each in outputs
        if each.output_type == "execute_result" and each.data["text/plain"].isdigit()
    ]
    assert code == "0"
    statuses = dict(re.findall(r"<td>([^<]+\.wav)</td>\s*<td>siren</td>\s*<td>(\w+)</td>", table))
    assert statuses == {"street.wav": "ok", "quiet rain.wav": "absent"}
    assert len(nbformat.writes(tour)) < 4_000_000
