"""An output with names of all sorts and its report, and Chromium to look at it."""

import shutil

import pytest

from tests.helpers.browser import served
from tests.helpers.job import make_once
from tests.helpers.report_library import PATIENCE_MS, Made, read_made, write_output, write_site

CHROMIUM = shutil.which("chromium") or ""


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Made:
    """Not to be changed."""

    def make(folder):
        write_site(write_output(folder))

    return read_made(make_once(tmp_path_factory, "report", make))


@pytest.fixture(params=["file", "http"])
def address(request, site: Made):
    """The page of `site`."""
    if request.param == "file":
        yield f"file://{site.output}/report/index.html"
        return
    with served(site.output) as root:
        yield f"{root}/report/index.html"


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM:
        pytest.fail("Chromium is not installed: `make browser` installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without its sandbox, which root may not have; it opens nothing but our own page.
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=arguments, timeout=PATIENCE_MS
        )
        yield browser
        browser.close()
