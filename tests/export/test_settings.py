"""The settings of an export: what cannot work is refused by the name of its key."""

from pathlib import Path

import pytest

from separator.config_file import read_settings
from separator.errors import RequestError
from separator.export.settings import ExportConfig
from tests.helpers.settings import list_numbers, try_odd_numbers


@pytest.fixture
def short_config(tmp_path) -> Path:
    path = tmp_path / "export.yaml"
    path.write_text("input: /in\noutput: /out\n")
    return path


@pytest.mark.slow
@pytest.mark.check
@pytest.mark.parametrize("key", list_numbers(ExportConfig))
def test_odd_number_is_refused_by_the_name_of_its_key(key, short_config):
    sensible = {
        "split.valid": {"0", "1e-300"},
        "input.pad_s": {"0", "1e-300"},
        "split.seed": {"-1", "0", "9" * 30},  # only a text in a hash
    }
    try_odd_numbers(
        key,
        sensible.get(key, set()),
        lambda odd: read_settings(ExportConfig, short_config, [f"{key}={odd}"]),
    )


@pytest.mark.parametrize("key", ["input.where", "split.by"])
@pytest.mark.parametrize(("value", "said"), [("", "has no value"), ("' '", "is empty; give an")])
def test_empty_expression_is_refused(key, value, said, short_config):
    with pytest.raises(RequestError, match=f"{key}.*{said}"):
        read_settings(ExportConfig, short_config, [f"{key}={value}"])
