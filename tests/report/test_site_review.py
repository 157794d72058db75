"""Verdicts on the page in Chromium: in two tabs, taken back, loaded, with notes."""

import json
from pathlib import Path

import pytest

from jobs.cli import main
from separator.results.verdicts import read_verdicts
from separator.storage import Storage
from tests.helpers.browser import choose_stem, list_ids, opened
from tests.helpers.report_library import Made, write_rows, write_run_file

pytestmark = pytest.mark.browser
EARLY, LATE = "2020-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"
ID = "0" * 32


def wait_for_mark(page, stem_id: str, text: str) -> None:
    page.wait_for_function(
        f"document.querySelector(`tr[data-id='{stem_id}'] .mark`).textContent === '{text}'"
    )


def pack(output, *verdicts: dict) -> str:
    about = {"format": "separator-review", "version": 1, "output": str(output)}
    return json.dumps(about | {"verdicts": verdicts})


def load(page, text: str) -> None:
    file = {"name": "x.json", "mimeType": "application/json", "buffer": text.encode()}
    page.set_input_files("#review-load", files=[file])


def save(page, path) -> str:
    with page.expect_download() as download:
        page.click("#review-save")
    download.value.save_as(path)
    return str(path)


def test_two_tabs_show_and_keep_the_verdicts_of_both(browser, address):
    with opened(browser, address) as page:
        first, second, third, *_ = list_ids(page)
        other = page.context.new_page()
        other.goto(address)
        list_ids(other)
        choose_stem(other, second)
        choose_stem(page, first)
        page.click("[data-verdict=accept]")
        wait_for_mark(other, first, "✓ accept")
        other.fill("#note", "hum")
        other.click("[data-verdict=reject]")
        wait_for_mark(page, second, "✗ reject")
        choose_stem(page, second)
        assert page.get_attribute("[data-verdict=reject]", "aria-pressed") == "true"
        other.click("[data-verdict=reject]")
        page.wait_for_selector("[data-verdict=reject][aria-pressed=false]")
        assert page.input_value("#note") == "hum"
        for each in (page, other):
            each.reload()
            list_ids(each)
            assert each.inner_text("#review-count") == "1 accepted, 0 rejected"
        # What another tab has written is read even where its event has not come yet.
        page.evaluate(
            """([id, at]) => {
              const [key] = Object.keys(localStorage);
              const own = { [id]: { verdict: "reject", note: "", reviewed_at: at } };
              localStorage.setItem(key, JSON.stringify(own));
            }""",
            [third, EARLY],
        )
        choose_stem(page, first)
        page.click("[data-verdict=reject]")
        assert page.inner_text("#review-count") == "0 accepted, 2 rejected"


def test_a_verdict_taken_back_leaves_the_output_too(browser, address, site, tmp_path, capsys):
    own = Made(tmp_path / "own", [])
    heard = {"presence": [{"start_s": 0.5, "stop_s": 1.0, "score": 0.9}], "presence_score": 0.9}
    stems = [row | heard for row in site.records if row["status"] == "ok"]
    write_rows(own.layout, [r | {"created_at": r["created_at"].isoformat()} for r in stems])
    write_run_file(own.layout, "/in")
    (tmp_path / "c.yaml").write_text(f"output: {own.output}\n")

    def bring(path: str) -> list:
        assert main(["review", "import", path, "--output", str(own.output)]) == 0
        capsys.readouterr()
        find = ["find", str(tmp_path / "c.yaml"), "--verdict", "accept", "--format", "json"]
        assert main(find) == 0
        return json.loads(capsys.readouterr().out)

    with opened(browser, address) as page:
        first, *_ = list_ids(page)
        assert page.is_disabled("#review-save")
        page.click("[data-verdict=accept]")
        assert len(bring(save(page, tmp_path / "a.json"))) == 1
        page.click("[data-verdict=accept]")
        assert page.inner_text("#review-count") == ""
        page.reload()
        list_ids(page)
        assert page.get_attribute("[data-verdict=accept]", "aria-pressed") == "false"
        assert page.is_enabled("#review-save")
        assert bring(save(page, tmp_path / "b.json")) == []
    assert read_verdicts(Storage(), own.layout)[first].verdict == ""


def test_a_verdict_taken_back_before_a_save_is_in_no_file(browser, address, tmp_path):
    with opened(browser, address) as page:
        _, second, *_ = list_ids(page)
        page.click("[data-verdict=accept]")
        page.click("[data-verdict=accept]")
        page.wait_for_selector("[data-verdict=accept][aria-pressed=false]")
        assert page.is_disabled("#review-save")
        choose_stem(page, second)
        page.click("[data-verdict=reject]")
        page.reload()
        list_ids(page)
        saved = json.loads(Path(save(page, tmp_path / "a.json")).read_text())
        assert [(row["fingerprint"], row["verdict"]) for row in saved["verdicts"]] == [
            (second, "reject")
        ]
        assert set(saved["verdicts"][0]) == {"fingerprint", "verdict", "note", "reviewed_at"}


def test_of_a_file_and_the_page_the_later_verdict_counts(browser, address, site):
    with opened(browser, address) as page:
        first, second, *_ = list_ids(page)
        page.click("[data-verdict=accept]")
        old = {"fingerprint": first, "verdict": "reject", "reviewed_at": EARLY}
        new = {"fingerprint": second, "verdict": "reject", "reviewed_at": LATE, "note": None}
        load(page, pack(site.output, old, new))
        wait_for_mark(page, second, "✗ reject")
        assert page.inner_text("#review-count") == "1 accepted, 1 rejected"
        assert page.is_hidden("#review-said")
        # One that is given here counts from now on, even if the other's clock was ahead.
        choose_stem(page, second)
        page.click("[data-verdict=accept]")
        page.reload()
        list_ids(page)
        assert page.inner_text("#review-count") == "2 accepted, 0 rejected"
        load(page, pack(site.output, new, {"fingerprint": ID, "verdict": "reject"}))
        page.wait_for_function(
            "document.querySelector('#review-count').textContent.endsWith(' 1 rejected')"
        )
        assert page.inner_text("#review-count") == "2 accepted, 1 rejected"
        load(page, pack("/another", old | {"reviewed_at": "2098-01-01T00:00:00+02:00"}))
        wait_for_mark(page, first, "✗ reject")
        assert "x.json is a review of another output: /another." in page.inner_text("#review-said")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", ""),
        ("null", ""),
        ("[]", ""),
        (
            '{"format": "separator-review", "output": "/x"}',
            ": it lacks the list `verdicts` or the text `output`",
        ),
        (pack("/x", {"fingerprint": ID}, 1), ": verdict 2 is none"),
        (pack("/x", {"fingerprint": "a"}), ": verdict 1 names no stem"),
        (
            pack("/x", {"fingerprint": ID, "verdict": "yes"}),
            ": verdict 1 is neither accept nor reject nor empty",
        ),
        (pack("/x", {"fingerprint": ID, "note": 1}), ": verdict 1 has a note that is no text"),
        (
            pack("/x", {"fingerprint": ID, "note": "n" * 10_001}),
            ": verdict 1 has a note that is too long",
        ),
        (
            pack("/x", {"fingerprint": ID, "reviewed_at": "x"}),
            ": verdict 1 has a time that is none",
        ),
        (
            pack("/x", {"fingerprint": ID, "verdict": "accept", "verdict_at": 1}),
            ": verdict 1 has a time that is none",
        ),
    ],
)
def test_a_file_that_is_no_review_is_refused_in_a_sentence(browser, site, text, why):
    with opened(browser, f"file://{site.output}/report/index.html") as page:
        list_ids(page)
        load(page, text)
        page.wait_for_selector("#review-said:not([hidden])")
        assert page.inner_text("#review-said") == f"x.json is no saved review{why}."
        assert page.inner_text("#review-count") == "" and page.is_disabled("#review-save")
        page.click("[data-verdict=accept]")
        assert page.is_hidden("#review-said")


def test_a_note_keeps_its_lines_and_takes_no_keys_of_the_page(browser, address, tmp_path):
    with opened(browser, address) as page:
        first, *_ = list_ids(page)
        row = {"fingerprint": first, "note": "one\ntwo", "reviewed_at": EARLY}
        load(page, pack("/x", row))
        wait_for_mark(page, first, "note")
        page.click("#note")
        page.keyboard.press("Control+End")
        page.keyboard.press("Enter")
        page.keyboard.type("a r j")
        # Kept while it is written: the tab may be closed now.
        page.wait_for_function("Object.values(localStorage).join().includes('a r j')")
        page.keyboard.press("Escape")
        (saved,) = json.loads(Path(save(page, tmp_path / "a.json")).read_text())["verdicts"]
        assert (saved["note"], saved["verdict"]) == ("one\ntwo\na r j", "")


def test_a_file_adds_what_the_page_has_not_and_what_is_taken_back_is_told(
    browser, address, site, tmp_path
):
    def read(name: str) -> tuple:
        (row,) = json.loads(Path(save(page, tmp_path / name)).read_text())["verdicts"]
        return row["verdict"], row["note"], {key for key in row if key.endswith("_at")}

    when, of_verdict, of_note = "reviewed_at", "verdict_at", "note_at"
    with opened(browser, address) as page:
        first, *_ = list_ids(page)
        # A verdict that was never saved is no more than one that was never given.
        page.click("[data-verdict=accept]")
        page.click("[data-verdict=accept]")
        page.fill("#note", "hum")
        page.keyboard.press("Escape")
        assert read("a.json") == ("", "hum", {when})
        old = {"fingerprint": first, "verdict": "reject", "note": "old", "reviewed_at": EARLY}
        load(page, pack(site.output, old))
        wait_for_mark(page, first, "✗ reject")
        assert page.input_value("#note") == "hum"
        assert read("b.json") == ("reject", "hum", {when, of_verdict})
        page.click("[data-verdict=reject]")
        page.fill("#note", "")
        page.keyboard.press("Escape")
        page.reload()
        list_ids(page)
        assert read("c.json") == ("", "", {when, of_verdict, of_note})
        load(page, pack(site.output, old))
        page.click("[data-verdict=accept]")
        assert read("d.json") == ("accept", "", {when, of_note})
        late = {"fingerprint": first, "note": "new", "reviewed_at": LATE}
        load(page, pack(site.output, late))
        page.wait_for_function("document.querySelector('#note').value === 'new'")
        assert read("e.json") == ("accept", "new", {when, of_verdict})
        load(page, pack(site.output, late | {"note": "", of_verdict: LATE}))
        page.wait_for_selector("[data-verdict=accept][aria-pressed=false]")
        assert read("f.json") == ("", "new", {when, of_verdict})


def test_a_verdict_leaves_the_focus_in_the_list(browser, address):
    with opened(browser, address) as page:
        first, *_ = list_ids(page)
        page.focus(f"tr[data-id='{first}'] a")
        page.keyboard.press("Enter")
        page.keyboard.press("a")
        wait_for_mark(page, first, "✓ accept")
        assert page.evaluate("document.activeElement.closest('tr')?.dataset.id") == first
