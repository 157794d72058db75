"""The failure tree: one code each, and which failures a later run tries again."""

from separator import errors
from separator.errors import SeparatorError, list_passing_codes


def list_classes(root: type[SeparatorError] = SeparatorError) -> list[type[SeparatorError]]:
    below = [found for child in root.__subclasses__() for found in list_classes(child)]
    return [kind for kind in (root, *below) if kind.__module__ == errors.__name__]


def test_codes_are_unique_and_drawn_in_the_docstring():
    classes = list_classes()
    codes = [kind.code for kind in classes]
    assert len(set(codes)) == len(codes) > 40
    drawn = dict(
        line.split("── ")[-1].split()[:2]
        for line in (errors.__doc__ or "").splitlines()
        if "──" in line
    )
    for kind in classes[1:]:
        assert drawn[kind.__name__] == kind.code + "*" * kind.may_pass


def test_passing_codes_are_those_that_the_first_release_retried():
    assert list_passing_codes() == {
        "storage_busy", "throttled", "timed_out", "unreachable", "token_expired", "access_denied",
        "disk_full", "object_changed", "worker_crashed", "decoder_hung", "storage_error",
    }  # fmt: skip
