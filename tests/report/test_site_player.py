"""The player of the page in Chromium: keys after a click, and stems that are left early."""

import pytest

from tests.helpers.browser import choose_stem, is_playing, list_ids, opened, served
from tests.helpers.report_library import PATIENCE_MS

pytestmark = pytest.mark.browser


def wait_for_sounds(page, stem_id: str) -> None:
    """Wait until the panel shows this stem and all that its player plays is loaded."""
    page.wait_for_selector(f"tr[aria-current][data-id='{stem_id}']")
    page.wait_for_function(
        """() => {
            const sounds = [...document.querySelectorAll('.player audio')];
            return sounds.length > 0 && sounds.every(sound => sound.readyState >= 3);
        }"""
    )


def test_space_plays_after_a_click_and_presses_what_the_keyboard_has_come_to(browser, address):
    with opened(browser, address) as page:
        first, second, *_ = list_ids(page)
        steps = [
            ("[data-verdict=accept]", first),
            (f"tr[data-id='{second}'] a", second),
            ("[data-kind=residual]", second),
        ]
        for place, shown in steps:
            page.wait_for_selector(".player")
            page.click(place)
            wait_for_sounds(page, shown)
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


def test_a_stem_left_before_its_sounds_came_keeps_none_of_them(browser, site):
    """On a server sounds are fetched as a whole: what comes late would stay in memory for good."""
    with served(site.output) as root, opened(browser, f"{root}/report/index.html") as page:
        first, second, third, *_ = list_ids(page)
        wait_for_sounds(page, first)
        page.evaluate(
            """() => {
                const { createObjectURL, revokeObjectURL } = URL;
                window.kept = new Set();
                URL.createObjectURL = blob => {
                    const address = createObjectURL(blob);
                    window.kept.add(address);
                    return address;
                };
                URL.revokeObjectURL = address => {
                    window.kept.delete(address);
                    revokeObjectURL(address);
                };
            }"""
        )
        late = []
        page.route("**/*.m4a", lambda route: late.append(route))
        choose_stem(page, second)
        page.wait_for_selector(".player")
        lanes = page.locator(".player audio").count()
        for _ in range(PATIENCE_MS // 20):
            if len(late) == lanes:
                break
            page.wait_for_timeout(20)
        assert len(late) == lanes
        page.route("**/*.m4a", lambda route: route.continue_())
        choose_stem(page, third)
        for route in late:
            route.continue_()
        wait_for_sounds(page, third)
        sounds = page.eval_on_selector_all(".player audio", "all => all.map(a => a.src).sort()")
        assert page.evaluate("[...window.kept].sort()") == sounds
