"""An output that the first release wrote, and the library that it was made of.

The manifest names s3://archive; the tests put both into a bucket of that name.
"""

import json
from pathlib import Path

from separator.config import JobConfig, read_config
from separator.rows import Asset
from separator.stages.listing import Listing
from separator.stages.work import make_work
from separator.storage import Storage

FOLDER = Path(__file__).parents[1] / "data" / "first_release"
BUCKET = "archive"


def upload(bucket) -> Storage:
    """Fill s3://archive on the server of a test bucket."""
    if BUCKET not in [each["Name"] for each in bucket.admin.list_buckets()["Buckets"]]:
        bucket.admin.create_bucket(Bucket=BUCKET)
    for part, folder in (("in", "library"), ("out", "out")):
        bucket.storage.clear(f"s3://{BUCKET}/{part}")
        for path in sorted(p for p in (FOLDER / folder).rglob("*") if p.is_file()):
            name = path.relative_to(FOLDER / folder)
            bucket.storage.upload(path, f"s3://{BUCKET}/{part}/{name}")
    return bucket.storage


def read_first_config(*overrides: str) -> JobConfig:
    return read_config(FOLDER / "config.yaml", list(overrides))


def read_first_sha256() -> str:
    path = FOLDER / "out/stems/talk.wav/record.json"
    return json.loads(path.read_text())["records"][0]["checkpoint_sha256"]


def list_assets_of(storage: Storage, config: JobConfig) -> list[Asset]:
    """List the library with the weights of the first release."""
    return list(Listing(storage, config, make_work(config, read_first_sha256(), "bf16", {})))
