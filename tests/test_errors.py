"""The failure tree: one code each, and which failures a later run tries again."""

import re
from pathlib import Path

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


def test_table_of_the_docs_holds_every_code_and_whether_it_is_retried():
    text = (Path(__file__).parents[1] / "docs/errors.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (\w+) \|$", text, re.MULTILINE)
    assert len(rows) == sum(line.startswith("| `") for line in text.splitlines())
    told = {code: retried for code, _, _, retried in rows}
    assert len(told) == len(rows), "a code stands there twice"
    wanted = {kind.code: "yes" if kind.may_pass else "no" for kind in list_classes()}
    missing, unknown = sorted(wanted.keys() - told), sorted(told.keys() - wanted)
    assert not missing, f"docs/errors.md has no row for: {', '.join(missing)}"
    assert not unknown, f"separator/errors.py has no such code: {', '.join(unknown)}"
    wrong = [code for code, retried in wanted.items() if told[code] != retried]
    assert not wrong, f"docs/errors.md: 'retried' is wrong for: {', '.join(wrong)}"
