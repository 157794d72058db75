"""Draw inputs for tests of rules that hold for every input: the same ones in each test run."""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# `make test-all` draws more.
TIMES = int(os.environ.get("SEPARATOR_EXAMPLES", "1"))

# What names of files, objects and rows are made of, where something has gone wrong before.
PIECES = [
    "a", "b.wav", "é", "日本", "x" * 300, "/", "//", "..", ".", "%", "%00", "%0A", "%2F", "%FF",
    "\n", "\t", " ", "\x7f", "\udcff", "\ud800", "\\", ":", "*", "?", "#", "@", "[", "]", "~",
    "$HOME", "track-0", "record.json", "remux", ".parts", "?X-Amz-Signature=s", "user:pw@",
    "\u2028", "\N{GRINNING FACE}",
]  # fmt: skip
SCHEMES = [
    "", "/", "in/", "file://", "file:///", "file://localhost/", "s3://", "s3://bucket/",
    "s3://bucket/x/", "http://", "://", "S3://bucket/", "file:/",
]  # fmt: skip

any_text = st.text(st.characters(), max_size=20)  # lone surrogates too
names = st.lists(st.sampled_from(PIECES) | any_text, max_size=6).map("".join)
uris = st.builds("{}{}".format, st.sampled_from(SCHEMES), names)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)


def examples(number: int) -> settings:
    """Try that many inputs, always the same; no test of a rule is a test of speed."""
    return settings(
        max_examples=number * TIMES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
