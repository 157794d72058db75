"""The page in Chromium: from a folder and from a server, with keys, with names of all sorts."""

import json

import pytest

from jobs.cli import main
from separator.results.verdicts import read_verdicts
from separator.storage import Storage
from tests.helpers.browser import SHOTS, SIZES, list_names, list_serious, opened
from tests.helpers.report_library import HELL, NAMES, Made

pytestmark = pytest.mark.browser


def get_times(page) -> list[float]:
    return page.eval_on_selector_all("audio", "all => all.map(a => a.currentTime)")


def get_muted(page) -> list[bool]:
    return page.eval_on_selector_all("audio", "all => all.map(a => a.muted)")


def test_sounds_play_in_step_and_switching_keeps_the_position(browser, address):
    with opened(browser, address) as page:
        page.wait_for_selector(".player")
        page.wait_for_function(
            "[...document.querySelectorAll('audio')].every(a => a.readyState >= 3)"
        )
        assert get_muted(page) == [True, False, True]
        page.click(".play")
        page.wait_for_function("document.querySelectorAll('audio')[1].currentTime > 0.3")
        before = get_times(page)
        page.keyboard.press("1")
        assert get_muted(page) == [False, True, True]
        assert get_times(page)[0] >= before[1] - 0.05
        # A busy browser may start a sound late: who switches to it goes on where he was.
        page.eval_on_selector_all("audio", "all => { all[2].currentTime = 0; }")
        before = get_times(page)
        page.keyboard.press("3")
        assert get_times(page)[2] >= before[0] - 0.05
        assert page.eval_on_selector_all("audio", "all => all.every(a => !a.paused || a.ended)")
        page.keyboard.press(" ")
        page.wait_for_function("[...document.querySelectorAll('audio')].every(a => a.paused)")
        page.fill("#search", "")
        page.eval_on_selector(".seek", "e => { e.value = 2; e.dispatchEvent(new Event('input')); }")
        page.wait_for_function(
            "[...document.querySelectorAll('audio')].every(a => Math.abs(a.currentTime - 2) < 0.1)"
        )


def test_filters_and_order(browser, address):
    with opened(browser, address) as page:
        assert len(list_names(page)) == 13
        page.fill("#search", "frog")
        assert list_names(page) == ["rain", "siren"]
        page.select_option("#filter-query", label="siren")
        assert list_names(page) == ["siren"]
        page.click("button[type=reset]")
        page.wait_for_function("document.querySelectorAll('#body tr').length === 13")
        page.select_option("#filter-status", "failed")
        assert list_names(page) == ["siren"]
        page.click("button[type=reset]")
        page.wait_for_function("document.querySelectorAll('#body tr').length === 13")
        page.click("th:nth-child(2) .sort")
        names = list_names(page)
        assert names[0] == HELL and names[-1] == "siren"
        assert page.get_attribute("th:nth-child(2)", "aria-sort") == "ascending"
        page.click("th:nth-child(2) .sort")
        assert list_names(page)[-1] == HELL
        page.click(".ranges summary")
        page.fill("#doubt-most", "0.4")
        assert len(list_names(page)) < 12
        page.fill("#search", "nothing of that name")
        assert page.is_visible("#empty") and not page.is_visible("#table")


def test_names_are_shown_as_text_and_links_work(browser, address):
    with opened(browser, address) as page:
        paths = page.eval_on_selector_all("#body .path", "all => all.map(a => a.textContent)")
        assert {*NAMES, "broken.mp4"} == set(paths)
        assert page.query_selector("#list img, #list b, #list script") is None
        page.click(f"#body tr:has-text({json.dumps('<img src')}) a")
        page.wait_for_function("document.querySelector('.panel h2').textContent.includes('<img')")
        page.wait_for_selector(".links a")
        page.click(".columns summary")
        assert "the sound of <img" in page.inner_text(".columns")
        links = page.eval_on_selector_all(".links a", "all => all.map(a => a.href)")
        answer = page.request.get(links[0]) if links[0].startswith("http") else None
        assert answer is None or answer.ok
        assert page.inner_text(".siblings") and page.query_selector(".panel img[onerror]") is None


def test_keys_walk_judge_and_write(browser, address):
    with opened(browser, address) as page:
        page.wait_for_selector("tr[aria-current]")
        first = page.get_attribute("tr[aria-current]", "data-id")
        page.keyboard.press("j")
        page.wait_for_function(
            f"document.querySelector('tr[aria-current]').dataset.id !== '{first}'"
        )
        page.keyboard.press("k")
        page.wait_for_selector(f"tr[aria-current][data-id='{first}']")
        page.keyboard.press("a")
        assert page.get_attribute("[data-verdict=accept]", "aria-pressed") == "true"
        page.keyboard.press("a")
        assert page.get_attribute("[data-verdict=accept]", "aria-pressed") == "false"
        page.keyboard.press("n")
        page.keyboard.type("a j r")
        assert page.input_value("#note") == "a j r"


def test_verdicts_survive_a_reload_and_are_imported(browser, address, site, tmp_path):
    with opened(browser, address) as page:
        page.wait_for_selector("tr[aria-current]")
        ids = page.eval_on_selector_all("#body tr", "all => all.map(a => a.dataset.id)")
        page.click("[data-verdict=accept]")
        page.fill("#note", "good <b>")
        page.keyboard.press("Tab")
        page.click(f"tr[data-id='{ids[1]}'] a")
        page.click("[data-verdict=reject]")
        page.reload()
        page.wait_for_selector("#body tr")
        assert page.inner_text("#review-count") == "1 accepted, 1 rejected"
        page.select_option("#filter-verdict", "reject")
        assert len(list_names(page)) == 1
        with page.expect_download() as download:
            page.click("#review-save")
        path = tmp_path / "review.json"
        download.value.save_as(path)
        page.evaluate("localStorage.clear()")
    content = json.loads(path.read_text())
    assert content["output"] == str(site.output)
    own = Made(tmp_path / "own", [])
    (own.output / "manifest").mkdir(parents=True)
    for name in ("manifest", "runs"):
        (own.output / name).mkdir(exist_ok=True)
        for each in (site.output / name).iterdir():
            (own.output / name / each.name).write_bytes(each.read_bytes())
    assert main(["review", "import", str(path), "--output", str(own.output)]) == 0
    found = read_verdicts(Storage(), own.layout)
    assert {key: (v.verdict, v.note) for key, v in found.items()} == {
        ids[0]: ("accept", "good <b>"),
        ids[1]: ("reject", ""),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing_serious(browser, site, size, scheme):
    SHOTS.mkdir(exist_ok=True)
    with opened(browser, f"file://{site.output}/report/index.html", size, scheme) as page:
        found = []
        for view in ("stems", "stem", "overview"):
            if view == "stem":
                page.click("#body tr:nth-child(2) a")
                page.wait_for_selector(".player")
                page.wait_for_selector(".links a")
            elif view == "overview":
                page.evaluate("location.hash = 'overview'")
                page.wait_for_selector("#view-overview section")
            page.screenshot(path=SHOTS / f"{size}-{scheme}-{view}.png")
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"{view} is wider than the window by {wide} px"
            found += [(view, *each) for each in list_serious(page)]
        assert found == []
