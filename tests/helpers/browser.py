"""Open pages in Chromium as a reader does, watch what they ask for, and check them by axe-core."""

from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.helpers.report_library import PATIENCE_MS
from tests.helpers.servers import running

ROOT = Path(__file__).parents[2]
AXE = ROOT / ".axe/node_modules/axe-core/axe.min.js"
SHOTS = ROOT / ".shots"  # kept for people who want to look
SIZES = {"desk": (1280, 800), "phone": (390, 844)}


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    with running(server) as address:
        yield address


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
    page.on("requestfailed", lambda r: said.append(f"failed: {r.url}: {r.failure}"))
    start = address.partition("/report/")[0]
    inside = (start, "data:", "blob:")
    page.on("request", lambda r: r.url.startswith(inside) or said.append(f"outside: {r.url}"))
    try:
        page.goto(address)
        page.wait_for_selector("#body tr, #view-overview section", state="attached")
        yield page
        strange = [each for each in said if "ERR_ABORTED" not in each]
        assert not strange, strange
    finally:
        context.close()


def choose(page, asset: str, name: str) -> None:
    """Click a row of the list, and wait until all of its panel is there."""
    page.click(f"#body tr:has-text('{asset}') a:has-text('{name}')")
    page.wait_for_selector(f".panel .where:has-text('{asset}')")
    page.wait_for_function(f"document.querySelector('.panel h2')?.textContent.includes('{name}')")
    page.wait_for_selector(".columns", state="attached")


def list_ids(page) -> list[str]:
    """List the ids of the stems in the list, once one of them is shown."""
    page.wait_for_selector("tr[aria-current]")
    return page.eval_on_selector_all("#body tr", "all => all.map(a => a.dataset.id)")


def choose_stem(page, stem_id: str) -> None:
    """Click a stem, and wait until it is the one that is shown."""
    page.click(f"tr[data-id='{stem_id}'] a")
    page.wait_for_selector(f"tr[aria-current][data-id='{stem_id}']")


def is_playing(page) -> bool:
    return page.eval_on_selector_all(".player audio", "all => all.some(a => !a.paused)")


def list_names(page) -> list[str]:
    return page.eval_on_selector_all("#body tr td.stem a", "all => all.map(a => a.textContent)")


def list_serious(page) -> list[tuple[str, str, str]]:
    """List what axe-core finds serious or critical in a page: rule, element, reason."""
    if not AXE.exists():
        pytest.fail("axe-core is not there: `make browser` fetches it")
    page.add_script_tag(content=AXE.read_text())
    answer = page.evaluate("axe.run({ preload: false, resultTypes: ['violations'] })")
    return [
        (each["id"], node["html"][:200], node.get("failureSummary", "")[:300])
        for each in answer["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
