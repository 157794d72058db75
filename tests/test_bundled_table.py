"""The table of the bundled benchmark in README and docs is that of its stored result."""

import json

import pandas as pd
import pytest

from benchmarks.bundled import CONFIG, PAGES, RESULT, lay_out, put_in, summarize
from separator.config_file import read_settings
from separator.evaluation.protocol import ProtocolSettings


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_show_the_stored_result(page):
    text = page.read_text()
    assert put_in(text, lay_out(json.loads(RESULT.read_text()))) == text


def test_figures_are_means_over_the_cases_of_each_set():
    rows = [
        {"model": "mini", "query": "caption", "kind": "rain", "set": kind, "sdri_db": sdri_db,
         "under_db": under_db}
        for kind, sdri_db, under_db in (("pairs", 4.0, 1.0), ("pairs", 5.0, 1.0),
                                        ("three", 2.0, 1.0), ("absent", -9.0, 20.0),
                                        ("absent", -9.0, 30.0), ("absent", -9.0, 31.0))
    ]  # fmt: skip
    protocol = read_settings(ProtocolSettings, CONFIG, []).protocol
    (found,) = summarize(protocol, pd.DataFrame(rows))
    assert (found["two sounds"], found["three"], found["absent"]) == (4.5, 2.0, 30.0)
    about = {"date": "2026-11-26", "machine": "a machine", "seconds": 5.0}
    lines = lay_out({**about, "rows": [found]}).splitlines()
    assert lines[0] == "2026-11-26, a machine, fp32; 6 mixtures of 5 s:"
    assert lines[-1] == "| `mini`, caption | 4.5 dB | 2.0 dB | 30.0 dB |"
