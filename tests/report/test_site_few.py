"""The page in Chromium, of an output that holds nothing yet, or a single failure."""

from pathlib import Path

import pytest

from separator.results.paths import Layout
from separator.storage import Storage
from tests.helpers.browser import opened
from tests.helpers.report_library import make_record, write_rows, write_run_file, write_site_at

pytestmark = pytest.mark.browser
FAILED = {"status": "failed", "error_code": "no_audio", "error_detail": "no audio stream"}


def make_page(folder: Path, records: list[dict]) -> str:
    layout = Layout(str(folder), "flac")
    write_rows(layout, records)
    write_run_file(layout, "/in")
    write_site_at(layout, "/in", 100, Storage())
    return f"file://{folder}/report/index.html"


def test_page_without_stems_says_so_in_place_of_filters_that_match_nothing(browser, tmp_path):
    with opened(browser, make_page(tmp_path, [])) as page:
        assert page.inner_text("#empty") == "This output has no stems yet."
        assert page.inner_text("#shown") == "0 stems"
        page.click("#to-overview")
        page.wait_for_selector(".tiles")
        assert "0 tracks" in page.inner_text(".tiles")


def test_page_of_one_failure_counts_in_the_singular(browser, tmp_path):
    with opened(
        browser, make_page(tmp_path, [make_record(Path("/a.mp4"), "", "rain", **FAILED)])
    ) as page:
        assert page.inner_text("#shown") == "1 stem"
        assert page.inner_text("#chosen") == "All assets of the output are here: 1."
        page.click("#to-overview")
        page.wait_for_selector(".tiles")
        assert "1 query" in page.inner_text(".tiles")
        assert page.inner_text("#view-overview summary >> nth=0") == "no_audio 1 row"
