"""The page in Chromium after its report was made again, from a server and while it is open; and the
page on paper."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from separator.results.paths import Layout
from separator.storage import Storage
from tests.helpers.browser import choose_stem, list_ids, list_names, opened, served
from tests.helpers.report_library import make_record, write_rows, write_run_file, write_site_at

pytestmark = pytest.mark.browser
PAGE = re.compile(rb"/Type\s*/Page\b")


def make_report(output: Path, queries: Sequence[str], age_days: float = 0.0) -> None:
    """Make the report of two assets: first.wav has all queries, last.wav the last one of them."""
    layout = Layout(str(output), "flac")
    names = [*(("first", query) for query in queries), ("last", queries[-1])]
    records = [
        make_record(Path(f"/in/{asset}.wav"), "", query, duration_s=1.0) for asset, query in names
    ]
    write_rows(layout, records)
    write_run_file(layout, "/in")
    write_site_at(layout, "/in", 100, Storage())
    for path in output.rglob("*.*"):
        time = path.stat().st_mtime - age_days * 86_400
        os.utime(path, (time, time))


def test_page_from_a_server_shows_the_newest_report_after_a_reload(browser, tmp_path):
    """Browsers keep a file without another request for a tenth of its age, also over a reload."""
    make_report(tmp_path / "out", ["siren"], age_days=100)
    with served(tmp_path / "out") as root, opened(browser, f"{root}/report/index.html") as page:
        assert list_names(page) == ["siren", "siren"]
        make_report(tmp_path / "out", ["siren", "rain"])
        page.reload()
        assert sorted(list_names(page)) == ["rain", "rain", "siren"]
        for stem_id in list_ids(page):
            choose_stem(page, stem_id)
            page.wait_for_selector(".columns", state="attached")


def test_open_page_says_that_its_report_may_have_been_made_again(browser, tmp_path):
    make_report(tmp_path / "out", ["siren"])
    with opened(browser, f"file://{tmp_path}/out/report/index.html") as page:
        _, last = list_ids(page)
        make_report(tmp_path / "out", ["rain"])
        choose_stem(page, last)
        page.wait_for_selector(".files .note:has-text('reload this page')")


def test_paper_holds_the_whole_overview(browser, tmp_path):
    make_report(tmp_path / "out", [f"query {number}" for number in range(40)])
    with opened(browser, f"file://{tmp_path}/out/report/index.html#overview") as page:
        page.wait_for_selector("#view-overview section")
        tall = page.eval_on_selector("#view-overview", "e => e.scrollHeight")
        assert tall > 2_000
        num_pages = len(PAGE.findall(page.pdf(width="1280px", height="800px")))
        assert num_pages >= tall // 800
