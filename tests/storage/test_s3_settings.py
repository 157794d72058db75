"""Settings of S3 that boto3 cannot use are told in one line, with where they may come from."""

import pytest

from separator.errors import RequestError, StorageError
from separator.storage import Storage, StorageSettings
from separator.storage.s3_client import get_client


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AWS_ENDPOINT_URL", "minio:9000", "Invalid endpoint: minio:9000"),
        ("AWS_DEFAULT_REGION", "us east", "us east"),
        ("AWS_RETRY_MODE", "x", "mode"),
        ("AWS_ENDPOINT_URL", "http://user:hunter2@a b", "Invalid endpoint: http://a b;"),
        ("AWS_DEFAULT_PROFILE", "nope", "storage.profile='nope': no such profile"),
        ("AWS_PROFILE", "nope", "storage.profile='nope': no such profile"),
        ("AWS_CONFIG_FILE", "broken", "broken"),
    ],
)
def test_variables_that_boto3_cannot_use_are_one_line(
    variable, value, message, credentials, monkeypatch, tmp_path
):
    (tmp_path / "broken").write_text("[profile\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    with pytest.raises(RequestError, match=message) as caught:
        Storage(StorageSettings()).read("s3://bucket/key")
    assert "\n" not in str(caught.value)


def test_an_endpoint_that_is_no_address_is_one_line(credentials):
    with pytest.raises(RequestError, match=r"http://minio_1:9; look at storage.endpoint_url"):
        Storage(StorageSettings(endpoint_url="http://minio_1:9")).read("s3://bucket/key")


@pytest.mark.parametrize(
    ("path_style", "address"),
    [
        (None, "http://store.test/bucket/key"),
        (True, "http://store.test/bucket/key"),
        (False, "http://bucket.store.test/key"),
    ],
)
def test_path_style_says_where_the_bucket_stands(path_style, address, credentials):
    settings = StorageSettings("http://store.test", "us-east-1", path_style=path_style)
    about = {"Bucket": "bucket", "Key": "key"}
    signed = get_client(settings).generate_presigned_url("get_object", Params=about)
    assert signed.partition("?")[0] == address


def test_client_follows_variables_that_are_set_later(credentials, monkeypatch):
    """A person in a notebook sets the key after the first error, and tries again."""
    settings = StorageSettings("http://store.test", "us-east-1")
    about = {"Bucket": "bucket", "Key": "key"}
    for key in ("first", "second"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        signed = get_client(settings).generate_presigned_url("get_object", Params=about)
        assert f"AWSAccessKeyId={key}" in signed or f"Credential={key}" in signed
    assert get_client(settings) is get_client(settings)


@pytest.mark.parametrize(
    ("text", "message"), [(None, "No such file"), ("", "no certificates"), ("x", "no certificates")]
)
def test_ca_bundle_that_holds_no_certificates_is_named(text, message, tmp_path, credentials):
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    settings = StorageSettings("https://127.0.0.1:9", ca_bundle=str(path), attempts=1)
    with pytest.raises(StorageError, match=f"storage.ca_bundle='{path}': .*{message}"):
        Storage(settings).read("s3://bucket/key")
