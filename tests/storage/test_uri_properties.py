"""Rules of URIs that hold for every text."""

import os
import re
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from separator.errors import RequestError
from separator.storage.uri import Place, hide_secret, name_file, parse_uri
from tests.helpers.properties import PIECES, examples, names, uris


def parse(uri: str) -> Place | None:
    """The place, or None; an error is one line that can be shown."""
    try:
        return parse_uri(uri)
    except RequestError as error:
        assert str(error).isprintable(), ascii(str(error))
        return None


@examples(60)
@given(uris)
def test_parse_uri_names_one_place_or_refuses(uri):
    if (place := parse(uri)) is None:
        return
    assert place.shown.isprintable() and "\0" not in place.key
    assert place.bucket or place.key.startswith("/"), "a path that means the same in each process"
    assert parse_uri(place.uri) == place, "the name of a place leads to it"
    place.uri.encode()  # a table can hold it


@examples(60)
@given(names)
def test_a_path_and_its_file_uri_are_one_place(name):
    path = "/" + name.replace("\0", "").replace("://", "")
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:  # no file system gives such a name
        assert parse(path) is None
        return
    assert parse_uri(path) == parse_uri(f"file://{urllib.parse.quote_from_bytes(raw)}")
    assert parse_uri(path) == parse_uri(name_file(path))


@examples(60)
@given(
    st.sampled_from(["s3", "https", "file", "ftp"]),
    st.sampled_from(["", "user:", "@", "user@x:"]),
    st.sampled_from(["X-Amz-Signature", "x-amz-credential", "Signature", "AWSAccessKeyId"]),
    st.lists(st.sampled_from(["a=b", "c", "", "d=%20"])),
    st.lists(st.sampled_from(PIECES)).map("".join),
)
def test_no_secret_is_left(scheme, user, key, others, path):
    path = re.sub("[?@]", "", path)
    login = f"{user}hunter2@" if user else ""
    query = "&".join([*others, f"{key}=hunter2"])
    for uri in (f"{scheme}://{login}host/{path}?{query}", f"{scheme}://x:hunter2@host/{path}"):
        assert "hunter2" not in hide_secret(uri) != ""
        with pytest.raises(RequestError) as caught:
            parse_uri(uri)
        assert "hunter2" not in str(caught.value)
