"""The page in Chromium: from a folder and from a server, with keys, with names of all sorts."""

import json
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from jobs.cli import main
from separator.results.verdicts import read_verdicts
from separator.storage import Storage
from tests.helpers.report_library import HELL, NAMES, PATIENCE_MS, Made

ROOT = Path(__file__).parents[2]
AXE = ROOT / ".axe/node_modules/axe-core/axe.min.js"
SHOTS = ROOT / ".shots"  # kept for people who want to look
SIZES = {"desk": (1280, 800), "phone": (390, 844)}
pytestmark = pytest.mark.browser


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def opened(browser, address: str, size: str = "desk", scheme="light"):
    """A page; at its end nothing has been said on its console, and nothing asked for elsewhere."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True
    )
    page, said = context.new_page(), []
    page.set_default_timeout(PATIENCE_MS)
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda d: (said.append(f"dialog: {d.message}"), d.dismiss()))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    start = address.partition("/report/")[0]
    inside = (start, "data:", "blob:")
    page.on("request", lambda r: r.url.startswith(inside) or said.append(f"outside: {r.url}"))
    try:
        page.goto(address)
        page.wait_for_selector("#body tr, #view-overview section", state="attached")
        yield page
        assert [each for each in said if "ERR_ABORTED" not in each] == []
    finally:
        context.close()


@pytest.fixture(params=["file", "http"])
def address(request, site: Made):
    if request.param == "file":
        yield f"file://{site.output}/report/index.html"
        return
    with served(site.output) as root:
        yield f"{root}/report/index.html"


def get_times(page) -> list[float]:
    return page.eval_on_selector_all("audio", "all => all.map(a => a.currentTime)")


def get_muted(page) -> list[bool]:
    return page.eval_on_selector_all("audio", "all => all.map(a => a.muted)")


def list_names(page) -> list[str]:
    return page.eval_on_selector_all("#body tr td.stem a", "all => all.map(a => a.textContent)")


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
        after = get_times(page)
        assert after[0] >= before[1] - 0.05 and max(after) - min(after) < 0.5
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
        ids[0]: ("accept", "good <b>"), ids[1]: ("reject", ""),
    }  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing_serious(browser, site, size, scheme):
    if not AXE.exists():
        pytest.fail("axe-core is not there: `make browser` fetches it")
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
            page.add_script_tag(content=AXE.read_text())
            answer = page.evaluate("axe.run({ preload: false, resultTypes: ['violations'] })")
            found += [
                (view, each["id"], node["html"][:200], node.get("failureSummary", "")[:300])
                for each in answer["violations"]
                if each["impact"] in ("serious", "critical")
                for node in each["nodes"]
            ]
        assert found == []
