"""Verdicts on the page in Chromium, by mouse and keys."""

import pytest

from tests.helpers.browser import is_playing, opened

pytestmark = pytest.mark.browser


def list_ids(page) -> list[str]:
    page.wait_for_selector("tr[aria-current]")
    return page.eval_on_selector_all("#body tr", "all => all.map(a => a.dataset.id)")


def test_space_plays_after_a_click_and_presses_what_the_keyboard_has_come_to(browser, address):
    with opened(browser, address) as page:
        _, second, *_ = list_ids(page)
        for place in ("[data-verdict=accept]", f"tr[data-id='{second}'] a", "[data-kind=residual]"):
            page.wait_for_selector(".player")
            page.click(place)
            page.wait_for_function(
                "[...document.querySelectorAll('.player audio')].every(a => a.readyState >= 3)"
            )
            page.keyboard.press(" ")
            assert is_playing(page), place
            page.keyboard.press(" ")
            assert not is_playing(page), place
        assert page.inner_text("#review-count") == "1 accepted, 0 rejected"
        page.click("[data-verdict=accept]")
        page.keyboard.press("1")  # a key after a click is no coming by keyboard
        page.keyboard.press(" ")
        assert is_playing(page)
        page.keyboard.press(" ")
        page.keyboard.press("Tab")
        page.keyboard.press(" ")
        assert page.inner_text("#review-count") == "1 accepted, 1 rejected"
        assert not is_playing(page)
