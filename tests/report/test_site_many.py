"""The page in Chromium, of more rows than are drawn at once: its place in the list, names that
several queries share, rows without a query, the run."""

import unicodedata
from pathlib import Path

import pytest

from separator.results.paths import Layout
from separator.storage import Storage
from tests.helpers.browser import list_names, list_serious, opened
from tests.helpers.job import make_once
from tests.helpers.report_library import make_record, write_rows, write_run_file, write_site_at

pytestmark = pytest.mark.browser
NUM_ASSETS, NUM_QUERIES = 5, 50


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    def make(folder):
        layout = Layout(str(folder / "out"), "flac")
        # The doubt of row n is 1 - n / 1,000: it comes as number n.
        records = []
        for number in range(NUM_ASSETS * NUM_QUERIES):
            query, asset = divmod(number, NUM_ASSETS)
            about = {"query_text": f"{'dogs' if asset else 'cats'} {number}", "duration_s": 1.0}
            about |= {"presence_score": number / 1_000, "energy_share": None}
            records.append(make_record(Path(f"/in/{asset}.wav"), "", f"q{query:02}", **about))
        failed = {"status": "failed", "error_code": "bad_request", "track_index": -1}
        nothing = {"query_text": "", "energy_share": None, "loudness_lufs": None}
        records.append(make_record(Path("/in/list.wav"), "", "", **failed, **nothing))
        write_rows(layout, records)
        write_run_file(layout, "/in")
        write_site_at(layout, "/in", 100, Storage())

    return f"file://{make_once(tmp_path_factory, 'report-many', make)}/out/report/index.html"


def find_place(page) -> int:
    """Return the number of the row that is shown, -1 where none is marked."""
    script = "all => all.findIndex(row => row.hasAttribute('aria-current'))"
    return page.eval_on_selector_all("#body tr", script)


def test_a_name_that_several_queries_share_is_one_filter_and_each_has_its_text(browser, address):
    with opened(browser, address) as page:
        assert page.inner_text("#shown") == "251 stems"
        options = page.eval_on_selector_all(
            "#filter-query option", "all => all.map(option => option.textContent)"
        )
        assert sorted(options[1:]) == [f"q{n:02}" for n in range(NUM_QUERIES)]
        page.select_option("#filter-query", label="q07")
        assert list_names(page) == ["q07"] * NUM_ASSETS
        page.fill("#search", "cats")
        assert list_names(page) == ["q07"]
        page.click("#body a")
        page.wait_for_selector(".asked")
        assert page.inner_text(".asked") == "cats 35"


def test_a_row_without_a_query_has_a_name_to_click_and_counts_as_none(browser, address):
    with opened(browser, address) as page:
        page.select_option("#filter-status", "failed")
        assert list_names(page) == ["(no query)"]
        assert list_serious(page) == []
        page.evaluate("location.hash = 'overview'")
        page.wait_for_selector("#view-overview section")
        assert f"{NUM_QUERIES} queries" in page.inner_text(".tiles")
        assert "2026-01-01 00:00:00 UTC" in page.inner_text(".run")


def test_keys_walk_on_where_the_drawn_rows_end(browser, address):
    with opened(browser, address) as page:
        page.wait_for_selector("tr[aria-current]")
        for number in range(199, 202):
            if number == 199:
                page.click("#body tr:nth-child(200) a")
            else:
                page.keyboard.press("j")
            page.wait_for_function(
                f"document.querySelector('.asked').textContent.endsWith(' {number}')"
            )
            assert find_place(page) == number
        page.keyboard.press("k")
        page.wait_for_function("document.querySelector('.asked').textContent.endsWith(' 200')")
        assert find_place(page) == 200


def test_a_narrow_window_comes_back_to_its_place_in_the_list(browser, address):
    with opened(browser, address, "phone") as page:
        page.wait_for_selector("#body tr")
        for leave in ("click", "key", "back"):
            row = page.locator("#body tr:nth-child(120)")
            row.scroll_into_view_if_needed()
            before = page.evaluate("window.scrollY")
            assert before > 1_000
            row.locator("a").click()
            page.wait_for_selector(".asked")
            assert page.evaluate("window.scrollY") < 100
            if leave == "click":
                page.click(".back")
            elif leave == "key":
                page.keyboard.press("Escape")
            else:
                page.go_back()
            page.wait_for_selector("#panel", state="hidden")
            page.wait_for_function(f"Math.abs(window.scrollY - {before}) < 5")


def test_search_finds_names_whose_accents_are_characters_of_their_own(browser, tmp_path):
    """As macOS writes them."""
    layout = Layout(str(tmp_path), "flac")
    name = unicodedata.normalize("NFD", "Café.wav")
    write_rows(layout, [make_record(Path("/in") / name, "", "siren", duration_s=1.0)])
    write_run_file(layout, "/in")
    write_site_at(layout, "/in", 100, Storage())
    with opened(browser, f"file://{tmp_path}/report/index.html") as page:
        for typed in ("café", unicodedata.normalize("NFD", "café")):
            page.fill("#search", typed)
            assert list_names(page) == ["siren"]
