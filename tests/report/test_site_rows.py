"""The page in Chromium, of rows of all kinds: failed before their tracks were known, renditions of
sounds without a picture; narrow windows, and addresses that are none."""

from pathlib import Path

import pytest
import soundfile

from separator.media.mux import NewTrack, put_tracks
from separator.media.probe import probe
from separator.results.paths import Layout
from tests.helpers.browser import choose, list_names, opened
from tests.helpers.job import make_once
from tests.helpers.report_library import (
    Made,
    make_record,
    read_made,
    write_asset,
    write_rows,
    write_run_file,
    write_site,
)

pytestmark = pytest.mark.browser


def write_mix(root: Path, layout: Layout, record: dict) -> dict:
    """Write a mix of an asset, and the asset with it, as the job does."""
    asset = Path(record["asset_uri"])
    mix_uri = layout.stem(asset.name, 0, "rendition", "softer")
    Path(mix_uri).parent.mkdir(parents=True, exist_ok=True)
    sound, rate_hz = soundfile.read(asset)
    soundfile.write(mix_uri, 0.5 * sound, rate_hz)
    remux = root / "out/stems" / asset.name / "remux" / "softer.mka"
    remux.parent.mkdir(parents=True)
    media = probe(asset)
    put_tracks(asset, media, [NewTrack(Path(mix_uri), replaces=media.tracks[0])], remux)
    values = {
        "kind": "rendition",
        "asset_etag": record["asset_etag"],
        "stem_uri": mix_uri,
        "remux_uri": str(remux),
        "num_samples": len(sound),
        "duration_s": 2.0,
    }
    return make_record(asset, str(root), "softer", **values)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    def make(folder):
        made = Made(folder, [])
        records = write_asset(folder, "talk.wav", 2.0, ["siren", "rain"])
        records.append(write_mix(folder, made.layout, records[0]))
        failed = {
            "status": "failed",
            "error_code": "media_unreadable",
            "error_detail": "moov atom not found",
            "track_index": -1,
            "loudness_lufs": None,
            "energy_share": None,
        }
        for name in ("siren", "rain"):
            records.append(make_record(folder / "library/broken.mp4", str(folder), name, **failed))
        write_rows(made.layout, records)
        write_run_file(made.layout, str(folder / "library"))
        write_site(made)

    return read_made(make_once(tmp_path_factory, "report-rows", make))


@pytest.fixture
def address(made) -> str:
    return f"file://{made.output}/report/index.html"


def test_a_mix_of_a_sound_without_a_picture_is_played_as_a_sound(browser, address):
    with opened(browser, address) as page:
        choose(page, "talk.wav", "softer")
        page.wait_for_selector(".remux audio")
        assert page.query_selector("video") is None
        assert page.inner_text(".remux figcaption") == "The asset with this mix as its sound"
        page.eval_on_selector(".remux audio", "a => a.play()")
        page.wait_for_function("document.querySelector('.remux audio').currentTime > 0.1")
        links = page.eval_on_selector_all(".links a", "all => all.map(a => a.textContent)")
        assert links == ["Whole mix", "Remuxed file"]
        choose(page, "talk.wav", "siren")
        page.wait_for_selector(".links a:has-text('Whole stem')")


def test_a_row_that_failed_names_no_track_and_takes_no_verdict(browser, address):
    with opened(browser, address) as page:
        assert "track" not in page.inner_text("#body")
        choose(page, "broken.mp4", "siren")
        assert page.inner_text(".panel .where") == "broken.mp4"
        names = page.eval_on_selector_all(".sibling", "all => all.map(a => a.textContent)")
        assert sorted(names) == ["rain", "siren"]
        assert page.inner_text(".sound .note") == "media_unreadable: moov atom not found"
        assert page.query_selector("[data-verdict]") is None
        page.keyboard.press("a")
        assert page.inner_text("#review-count") == ""
        page.fill("#note", "why?")
        page.keyboard.press("Tab")
        assert page.inner_text("#body tr[aria-current] .mark") == "note"
        choose(page, "talk.wav", "siren")
        assert page.inner_text(".panel .where") == "talk.wav, track 0, 0:02.0"
        page.keyboard.press("a")
        assert page.inner_text("#review-count") == "1 accepted, 0 rejected"


def test_a_verdict_on_a_row_that_has_failed_since_can_be_taken_back(browser, address, made):
    failed = next(row["fingerprint"] for row in made.records if row["status"] == "failed")
    with opened(browser, address) as page:
        kept = {failed: {"verdict": "accept", "note": "", "reviewed_at": "2026-01-01"}}
        page.evaluate(
            "([key, kept]) => localStorage.setItem(key, JSON.stringify(kept))",
            [f"separator-review:{made.output}", kept],
        )
        page.goto(f"{address}?again#stem={failed}")
        page.wait_for_selector("[data-verdict=accept][aria-pressed=true]")
        page.keyboard.press("a")
        assert page.inner_text("#review-count") == ""


def test_renditions_are_called_what_they_are(browser, address):
    with opened(browser, address) as page:
        assert page.inner_text("#shown") == "5 stems and renditions"
        assert page.inner_text("#body tr:has-text('softer') .tag") == "rendition"
        groups = page.eval_on_selector_all(
            "#filter-query optgroup",
            "all => all.map(g => [g.label, ...[...g.children].map(o => o.textContent).sort()])",
        )
        assert groups == [["Queries", "rain", "siren"], ["Renditions", "softer"]]
        page.select_option("#filter-query", label="softer")
        assert list_names(page) == ["softer"]
        page.evaluate("location.hash = 'overview'")
        tiles = page.eval_on_selector_all(
            ".tiles > div", "all => all.map(a => [...a.children].map(b => b.textContent))"
        )
        assert ["Stems", "2", "2 queries"] in tiles and ["Renditions", "1", "new mixes"] in tiles
        tables = page.eval_on_selector_all(
            "section:has(.queries)",
            """all => all.map(a => [a.querySelector('h2').textContent,
               ...[...a.querySelectorAll('tbody th')].map(b => b.textContent[0])])""",
        )
        assert tables == [["Queries", "r", "s"], ["Renditions", "s"]]


@pytest.mark.parametrize("width", [320, 400, 700, 1000])
def test_the_box_of_ranges_stays_in_the_window(browser, address, width):
    with opened(browser, address) as page:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"{address}?narrow#stems")
        page.click(".ranges summary")
        box = page.eval_on_selector(
            "#ranges", "e => { const b = e.getBoundingClientRect(); return [b.left, b.right]; }"
        )
        room = page.eval_on_selector(
            "#list", "e => { const b = e.getBoundingClientRect(); return [b.left, b.right]; }"
        )
        assert room[0] <= box[0] and box[1] <= room[1] <= width
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.fill("#loudness-most", "0")


@pytest.mark.parametrize("hash", ["%", "stem=%", "overview%"])
def test_an_address_that_is_none_shows_the_stems(browser, address, hash):
    with opened(browser, f"{address}#{hash}") as page:
        assert len(list_names(page)) == 5
        page.wait_for_selector("tr[aria-current]")
        assert page.is_hidden("#view-overview")
