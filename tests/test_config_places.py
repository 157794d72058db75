"""Input and output may not lie inside each other, however they are named."""

from pathlib import Path

import pytest

from separator.config import read_config
from separator.errors import RequestError
from separator.storage import is_within


@pytest.mark.parametrize(
    ("uri", "folder", "within"),
    [
        ("/a/b", "/a", True),
        ("/a", "/a/", True),
        ("/ab", "/a", False),
        ("s3://bkt/x/y", "s3://bkt/x", True),
        ("s3://bkt/x", "/x", False),
    ],
)
def test_a_place_within_another(uri, folder, within):
    assert is_within(uri, folder) == within


def test_output_may_not_lead_into_the_input_by_a_link(tmp_path):
    (tmp_path / "in/stems").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "in/stems")
    (tmp_path / "also").symlink_to(tmp_path / "in")
    for place, library in (("out", "in"), ("in/new", "also"), ("out/new", "also")):
        given = [f"input.uri={tmp_path / library}", f"output.uri={tmp_path / place}"]
        with pytest.raises(RequestError, match="lies inside input"):
            read_config(Path("configs/local.yaml"), given)
    given = [f"input.uri={tmp_path / 'out'}", f"output.uri={tmp_path / 'in'}"]
    with pytest.raises(RequestError, match="lies in the stems"):
        read_config(Path("configs/local.yaml"), given)
    read_config(Path("configs/local.yaml"), ["input.uri=/out/films", "output.uri=/out"])
