"""Verdicts that were imported into the output, on the page of the next report in Chromium."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.cli import main
from separator.results.paths import Layout
from separator.results.verdicts import Verdict, add_verdicts, read_verdicts
from separator.storage import Storage
from tests.helpers.browser import choose_stem, list_ids, opened
from tests.helpers.report_library import make_record, write_rows, write_run_file, write_site_at

pytestmark = pytest.mark.browser
EARLY = datetime(2020, 1, 1, tzinfo=UTC)


class Output:
    """An output of four stems with its report."""

    def __init__(self, folder: Path) -> None:
        self.layout, self.folder = Layout(str(folder), "flac"), folder
        self.page = f"file://{folder}/report/index.html"
        records = [
            make_record(Path(f"/in/{asset}.wav"), "", "siren", duration_s=1.0) for asset in "abcd"
        ]
        self.ids = [record["fingerprint"] for record in records]
        write_rows(self.layout, records)
        write_run_file(self.layout, "/in")

    def give(self, *verdicts: Verdict) -> None:
        """Bring verdicts into the output, and make its report."""
        add_verdicts(Storage(), self.layout, verdicts)
        write_site_at(self.layout, "/in", 100, Storage())


def read_mark(page, stem_id: str) -> str:
    return page.inner_text(f"tr[data-id='{stem_id}'] .mark")


def save(page, path: Path) -> dict[str, dict]:
    with page.expect_download() as download:
        page.click("#review-save")
    download.value.save_as(path)
    return {row["fingerprint"]: row for row in json.loads(path.read_text())["verdicts"]}


def test_verdicts_of_the_output_are_shown_and_not_saved_again(browser, tmp_path):
    output = Output(tmp_path / "out")
    first, second, third, fourth = output.ids
    only_presence = Verdict(fourth, "", presence=((0.0, 0.5),), reviewed_at=EARLY)
    output.give(
        Verdict(first, "accept", reviewed_at=EARLY, reviewer="ann"),
        Verdict(second, "", "hum", reviewed_at=EARLY),
        only_presence,
    )
    with opened(browser, output.page) as page:
        list_ids(page)
        marks = [read_mark(page, each) for each in output.ids]
        assert marks == ["✓ accept", "note", "", ""]
        assert page.inner_text("#review-count") == "1 accepted, 0 rejected"
        assert page.is_disabled("#review-save")
        choose_stem(page, third)
        page.click("[data-verdict=reject]")
        assert set(save(page, tmp_path / "a.json")) == {third}
        kept = page.evaluate("Object.values(localStorage).join()")
        assert third in kept and first not in kept
        # A later report has what others have changed in between.
        output.give(Verdict(first, "reject", reviewed_at=EARLY + timedelta(days=1)))
        page.reload()
        list_ids(page)
        assert [read_mark(page, each) for each in (first, third)] == ["✗ reject", "✗ reject"]


def test_a_note_on_a_verdict_of_the_output_leaves_its_reviewer(browser, tmp_path):
    output = Output(tmp_path / "out")
    first, second, *_ = output.ids
    given = [Verdict(each, "accept", reviewed_at=EARLY, reviewer="ann") for each in (first, second)]
    output.give(*given)
    with opened(browser, output.page) as page:
        list_ids(page)
        choose_stem(page, first)
        page.fill("#note", "hum")
        choose_stem(page, second)
        page.click("[data-verdict=accept]")
        assert read_mark(page, second) == ""
        page.reload()
        list_ids(page)
        assert [read_mark(page, each) for each in (first, second)] == ["✓ accept", ""]
        rows = save(page, tmp_path / "a.json")
    assert (rows[first]["reviewer"], rows[first]["verdict"]) == ("ann", "accept")
    assert "reviewer" not in rows[second] and rows[second]["verdict"] == ""
    assert main(["review", "import", str(tmp_path / "a.json"), "--output", str(output.folder)]) == 0
    found = read_verdicts(Storage(), output.layout)
    assert (found[first].reviewer, found[first].verdict, found[first].note) == (
        "ann",
        "accept",
        "hum",
    )
    assert found[second].verdict == ""


def test_of_this_browser_and_the_output_the_later_verdict_counts(browser, tmp_path):
    output = Output(tmp_path / "out")
    first, second, *_ = output.ids
    output.give()
    with opened(browser, output.page) as page:
        list_ids(page)
        for each in (first, second):
            choose_stem(page, each)
            page.click("[data-verdict=accept]")
        late = datetime.now(UTC) + timedelta(hours=1)
        output.give(
            Verdict(first, "reject", reviewed_at=late), Verdict(second, "reject", reviewed_at=EARLY)
        )
        page.reload()
        list_ids(page)
        assert [read_mark(page, each) for each in (first, second)] == ["✗ reject", "✓ accept"]
