"""An empty output, in a folder and on S3."""

import pytest

from separator.results.paths import Layout
from separator.storage import Storage


@pytest.fixture
def local_output(tmp_path):
    return Storage(), Layout(str(tmp_path / "out"), "flac")


@pytest.fixture(params=["local", "moto"])
def output(request):
    if request.param == "local":
        return request.getfixturevalue("local_output")
    bucket = request.getfixturevalue("moto_bucket")
    return bucket.storage, Layout(f"{bucket.uri}/out", "flac")
