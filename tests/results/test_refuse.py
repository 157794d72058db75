"""Files where folders have to be are refused before any work is done."""

import pytest

from separator.errors import AccessDenied, RequestError
from separator.results.paths import Layout
from separator.results.refuse import refuse_files, try_writing
from separator.storage import Storage
from tests.helpers.scripted_s3 import ETAG, Answer, fail, reach, serve


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


@pytest.mark.parametrize("name", ["disk", "disk/out", "disk/out/stems"])
def test_refuse_files_names_a_link_to_nothing(tmp_path, name):
    """The disk that it leads to is not mounted."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(tmp_path / "volumes/none")
    with pytest.raises(RequestError, match=rf"/{name} is a link to nothing; mount the disk"):
        refuse_files(Storage(), Layout(str(tmp_path / "disk/out"), "flac"))
    (tmp_path / "volumes/none").mkdir(parents=True)
    refuse_files(Storage(), Layout(str(tmp_path / "disk/out"), "flac"))


@pytest.mark.usefixtures("credentials")
def test_try_writing_needs_the_right_to_list():
    """A run lists the output; AWS has a permission of its own for that."""
    answers = Answer(200, ETag=ETAG), fail(403, "AccessDenied"), Answer(204)
    with serve(*answers) as server, pytest.raises(AccessDenied):
        try_writing(reach(server), "s3://bucket/out")
    assert [command for command, _ in server.seen] == ["PUT", "GET", "DELETE"]


def test_try_writing_leaves_nothing(folder):
    storage, uri = folder
    try_writing(storage, uri)
    assert not list(storage.list(f"{uri}/"))
