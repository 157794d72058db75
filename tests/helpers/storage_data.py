"""Make bytes to store, and look at what a store holds."""

import numpy as np

PART = 5 << 20


def make_bytes(count: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(count)


def list_uploads(bucket) -> list[str]:
    answer = bucket.admin.list_multipart_uploads(Bucket=bucket.name)
    return [upload["Key"] for upload in answer.get("Uploads", [])]
