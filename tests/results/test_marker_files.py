"""The names of marker files."""

from fractions import Fraction

import pytest

from separator.results.found import read_presence
from separator.results.marker_files import write_marker_files
from separator.results.paths import Layout, name_presence
from separator.results.verdicts import Verdict, add_verdicts
from separator.storage import Storage
from tests.helpers.export_library import write_manifest
from tests.helpers.records import make_record

SIREN = "a" * 32
STRETCH = [{"start_s": 1.0, "stop_s": 2.0, "score": 0.75}]


@pytest.mark.parametrize(
    "choice", [{}, {"query": "siren"}, {"verdict": "accept"}], ids=["all", "query", "verdict"]
)
def test_a_marker_file_has_one_name_whatever_was_asked_for(tmp_path, choice):
    """Even if all that is chosen lies in one folder of the library."""
    output = str(tmp_path / "out")
    siren = {"presence": STRETCH, "fingerprint": SIREN}
    rows = [make_record("/in/films/a.mp4", "siren") | siren]
    rows += [make_record("/in/talks/b.wav", "bell") | {"presence": STRETCH}]
    write_manifest(Storage(), name_presence(output), rows[1:])
    write_manifest(Storage(), output, rows[:1])
    add_verdicts(Storage(), Layout(output, ""), [Verdict(SIREN, "accept")])
    folder = tmp_path / "markers"
    presence = read_presence(Storage(), output, **choice)
    write_marker_files(Storage(), presence, str(folder), "csv", 0.0, Fraction(25))
    names = {str(path.relative_to(folder)) for path in folder.rglob("*.csv")}
    assert names - {"talks/b.wav.csv"} == {"films/a.mp4.csv"}
