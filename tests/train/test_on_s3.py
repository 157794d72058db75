"""A training writes to the store that `storage.*` names."""

import pytest

from jobs.train import main as train
from tests.helpers.training import list_train_arguments, start_training


@pytest.fixture
def arguments(moto_bucket, sounds_list, encoder_file) -> list[str]:
    """Nothing but `storage.*` tells where the store is."""
    return [
        *list_train_arguments(f"{moto_bucket.uri}/runs", sounds_list, encoder_file),
        f"storage.endpoint_url={moto_bucket.settings.endpoint_url}",
        "storage.region=us-east-1",
    ]


def test_a_bucket_that_is_not_there_is_one_line_and_2(arguments, capsys):
    assert train([*arguments, "output=s3://absent-bucket/runs"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "output='s3://absent-bucket/runs': " in line and "no such bucket" in line


@pytest.mark.slow
def test_a_training_on_s3_goes_on_where_it_was(arguments, moto_bucket):
    for num_steps, begin in ((4, ""), (6, "going on from step 4, with another optim.num_steps\n")):
        process = start_training([*arguments, f"optim.num_steps={num_steps}", "keep=1"])
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0, out
        assert begin in out
        model_uri = out.rpartition("model: ")[2].strip()
        assert moto_bucket.storage.read(model_uri)
    found = [entry.uri for entry in moto_bucket.storage.list(f"{moto_bucket.uri}/runs/")]
    assert sum(uri.endswith("model.safetensors") for uri in found) == 1
