"""Files where folders have to be are refused before any work is done."""

import pytest

from separator.errors import RequestError
from separator.results.paths import Layout
from separator.results.refuse import refuse_files
from separator.storage import Storage


@pytest.mark.parametrize("name", ["out", "out/stems", "out/manifest", "out/runs"])
def test_refuse_files_names_the_file(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(RequestError, match=rf"output\.uri=.*{name} is a file.*another output\.uri"):
        refuse_files(Storage(), Layout(str(tmp_path / "out"), "flac"))
    assert path.read_text() == "mine"


def test_refuse_files_names_a_file_above_the_output(tmp_path):
    (tmp_path / "disk").write_text("mine")
    with pytest.raises(RequestError, match=r"/disk is a file"):
        refuse_files(Storage(), Layout(str(tmp_path / "disk/a/b"), "flac"))


def test_refuse_files_accepts_folders_and_what_is_not_there_yet(tmp_path):
    refuse_files(Storage(), Layout(str(tmp_path / "a/b"), "flac"))
    (tmp_path / "out/manifest").mkdir(parents=True)
    refuse_files(Storage(), Layout(str(tmp_path / "out"), "flac"))
