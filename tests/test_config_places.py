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
        ("s3://bkt/x", "s3://bkt", True),
        ("s3://bkt-2/x", "s3://bkt", False),
        ("/a", "/", True),
        ("file:///a/%FF/b", "/a", True),
        ("/a", "file:///a/%FF", False),
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


@pytest.mark.parametrize("name", ["file:///out/%FF", "/out/a\nb", "s3://bucket/\x7f"])
def test_an_output_whose_name_is_no_clean_text_is_refused(name):
    """Its URI would be percent-decoded, with `%2E%2E` of an asset's path: out of the output."""
    with pytest.raises(RequestError, match="holds a control character or is not UTF-8") as caught:
        read_config(Path("configs/local.yaml"), ["input.uri=/in", f"output.uri={name}"])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "key", ["model.name", "model.detector", "detect.model", "storage.ca_bundle", "input.exclude"]
)
@pytest.mark.parametrize("uri", ["https://me:hunter2@host/x", "https://host/x?sig=hunter2"])
def test_a_secret_in_any_setting_is_refused_and_not_shown(key, uri):
    """Runs keep their config in runs/, and messages show it."""
    given = ["input.uri=/in", "output.uri=/out", f"{key}={uri}"]
    with pytest.raises(
        RequestError, match=rf"{key}.*holds a password or is a signed link"
    ) as caught:
        read_config(Path("configs/local.yaml"), given)
    assert "hunter2" not in str(caught.value)
