"""The page in Chromium, of outputs of all kinds: renditions under a picture, presence, absent
queries, an output on S3."""

import subprocess
from pathlib import Path

import pytest
import soundfile

from separator.media.mux import NewTrack, put_tracks
from separator.media.probe import probe
from separator.results.paths import Layout
from separator.storage import Storage
from tests.helpers.browser import choose, list_names, opened, served
from tests.helpers.job import make_once
from tests.helpers.media_files import write_picture
from tests.helpers.report_library import (
    RATE_HZ,
    Made,
    make_record,
    make_tone,
    read_made,
    write_asset,
    write_rows,
    write_run_file,
    write_site,
    write_site_at,
)

SPANS = {"short.wav": [(0.5, 1.25), (2.0, 2.5)], "long.wav": [(40.0, 44.0), (80.0, 81.0)]}
SECONDS = {"short.wav": 3.0, "long.wav": 90.0}
pytestmark = pytest.mark.browser


def write_rendition(root: Path, layout: Layout) -> dict:
    """Write a film, a mix of its sound, and the film with the mix, as the job does."""
    film = write_picture(root / "picture.mp4", 2.0).parent / "library/film.mp4"
    tone = make_tone(2.0, 400, 0, 2)
    soundfile.write(root / "tone.wav", tone, RATE_HZ)
    inputs = ["-i", root / "picture.mp4", "-i", root / "tone.wav", "-c:v", "copy", "-c:a", "aac"]
    subprocess.run(["ffmpeg", "-v", "error", *inputs, film], check=True)
    mix_uri = layout.stem("film.mp4", 0, "rendition", "softer")
    Path(mix_uri).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(mix_uri, 0.5 * tone, RATE_HZ)
    remux = root / "out/stems/film.mp4/remux/softer.mp4"
    remux.parent.mkdir(parents=True)
    media = probe(film)
    put_tracks(film, media, [NewTrack(Path(mix_uri), replaces=media.tracks[0])], remux)
    values = {
        "kind": "rendition", "asset_etag": Storage().stat(str(film)).etag, "stem_uri": mix_uri,
        "remux_uri": str(remux), "num_samples": len(tone), "duration_s": 2.0,
    }  # fmt: skip
    return make_record(film, str(root), "softer", **values)


def write_presence(root: Path) -> list[dict]:
    records = []
    for name, spans in SPANS.items():
        (record,) = write_asset(root, name, SECONDS[name], ["siren"])
        found = [{"start_s": start, "stop_s": stop, "score": 0.9} for start, stop in spans]
        records.append(record | {"presence": found, "presence_score": 0.9})
    absent = {
        "status": "absent", "presence": [], "presence_score": 0.1, "presence_share": 0.0,
        "duration_s": 3.0, "loudness_lufs": None, "energy_share": None,
        "track_index": 1, "track_language": "fr",
        "asset_etag": records[0]["asset_etag"],
    }  # fmt: skip
    return [*records, make_record(root / "library/short.wav", str(root), "dog", **absent)]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Made:
    def make(folder):
        made = Made(folder, [])
        records = write_presence(folder)
        write_rows(made.layout, [*records, write_rendition(folder, made.layout)])
        write_run_file(made.layout, str(folder / "library"))
        write_site(made)

    return read_made(make_once(tmp_path_factory, "report-outputs", make))


@pytest.fixture(params=["file", "http"])
def address(request, outputs):
    if request.param == "file":
        yield f"file://{outputs.output}/report/index.html"
        return
    with served(outputs.output) as root:
        yield f"{root}/report/index.html"


def test_a_remuxed_film_is_shown_with_its_rendition_and_plays(browser, address):
    with opened(browser, address) as page:
        choose(page, "film.mp4", "softer")
        assert page.inner_text(".panel h2 .tag") == "rendition"
        page.wait_for_function("document.querySelector('video').readyState >= 2")
        size = page.eval_on_selector("video", "v => [v.videoWidth, v.videoHeight]")
        assert size == [64, 48]
        assert page.get_attribute("video", "src") == "../stems/film.mp4/remux/softer.mp4"
        page.eval_on_selector("video", "v => v.play()")
        page.wait_for_function("document.querySelector('video').currentTime > 0.3")
        assert page.eval_on_selector("video", "v => v.error") is None
        lanes = page.eval_on_selector_all(".lane", "all => all.map(a => a.dataset.kind)")
        assert lanes == ["mixture", "rendition"]
        links = page.eval_on_selector_all(".links a", "all => all.map(a => a.textContent)")
        assert "Remuxed file" in links


def list_marks(page, timeline: str) -> list[tuple[float, float]]:
    """Measure where the marks of a time line lie on the screen, as shares of its width."""
    script = """line => {
      const box = line.getBoundingClientRect();
      return [...line.querySelectorAll('.span')].map((mark) => {
        const own = mark.getBoundingClientRect();
        return [(own.left - box.left) / box.width, (own.right - box.left) / box.width];
      });
    }"""
    return [tuple(each) for each in page.eval_on_selector(timeline, script)]


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_presence_is_drawn_at_its_place_on_the_time_line(browser, outputs, size):
    with opened(browser, f"file://{outputs.output}/report/index.html", size) as page:
        choose(page, "short.wav", "siren")
        wanted = [(start / 3, stop / 3) for start, stop in SPANS["short.wav"]]
        page.wait_for_selector(".player .timeline .span")
        found = list_marks(page, ".player .timeline")
        assert [pytest.approx(each, abs=0.01) for each in found] == wanted
        titles = page.eval_on_selector_all(".player .span", "all => all.map(a => a.title)")
        assert titles == ["present 0:00.5 to 0:01.3", "present 0:02.0 to 0:02.5"]


def test_presence_of_a_long_track_is_on_both_time_lines(browser, address):
    """On that of the whole track, and, as far as it lies within, on that of the preview."""
    with opened(browser, address) as page:
        choose(page, "long.wav", "siren")
        page.wait_for_selector("figure.track .timeline .span")
        wanted = [(start / 90, stop / 90) for start, stop in SPANS["long.wav"]]
        found = list_marks(page, "figure.track .timeline")
        assert [pytest.approx(each, abs=0.01) for each in found] == wanted
        low, high = map(float, page.eval_on_selector(".seek", "e => [e.min, e.max]"))
        (mark,) = list_marks(page, ".player .timeline")
        assert low == 0 and high == pytest.approx(10, abs=0.01)
        assert mark == pytest.approx((0.3, 0.7), abs=0.01)  # 40 to 44 s of 37 to 47 s


def test_an_absent_query_is_a_row_without_a_player(browser, address):
    with opened(browser, address) as page:
        assert page.inner_text("#body tr:has-text('dog') .tag") == "absent"
        page.select_option("#filter-status", "absent")
        assert list_names(page) == ["dog"]
        choose(page, "short.wav", "dog")
        assert "sounds nowhere in this track" in page.inner_text(".panel .note")
        assert page.query_selector(".player, .panel audio") is None
        page.click("button[type=reset]")
        page.wait_for_function("document.querySelectorAll('#body tr').length === 4")
        page.evaluate("location.hash = 'overview'")
        page.wait_for_selector("#view-overview section")
        assert page.inner_text("#view-overview").lower().count("absent") >= 1


def test_rows_name_their_track_where_a_file_has_several(browser, outputs):
    with opened(browser, f"file://{outputs.output}/report/index.html") as page:
        shown = page.eval_on_selector_all(
            "#body tr",
            """rows => rows.map((row) => ['a', '.path', '.track-name']
               .map((part) => row.querySelector(part)?.textContent ?? ''))""",
        )
        choose(page, "short.wav", "siren")
        names = page.eval_on_selector_all(".sibling", "all => all.map(a => a.textContent)")
        assert sorted(names) == ["dog track 1 (fr)", "siren track 0"]
    assert sorted(map(tuple, shown)) == [
        ("dog", "short.wav", "track 1 (fr)"),
        ("siren", "long.wav", ""),
        ("siren", "short.wav", "track 0"),
        ("softer", "film.mp4", ""),
    ]


def test_a_page_on_s3_is_opened_from_there(browser, moto, moto_bucket, tmp_path):
    """By static hosting: no request outside the output, sounds play, pictures load."""
    storage, layout = moto_bucket.storage, Layout(f"{moto_bucket.uri}/out", "flac")
    (record,) = write_asset(tmp_path, "a.wav", 3.0, ["siren"])
    uri = layout.stem("a.wav", 0, "stem", "siren")
    storage.upload(Path(record["stem_uri"]), uri)
    write_rows(layout, [record | {"stem_uri": uri}], storage)
    write_run_file(layout, str(tmp_path / "library"), storage)
    write_site_at(layout, str(tmp_path / "library"), 10, storage)
    for entry in storage.list(layout.root_uri):
        key = entry.uri.removeprefix(f"{moto_bucket.uri}/")
        moto_bucket.admin.put_object_acl(Bucket=moto_bucket.name, Key=key, ACL="public-read")
    with opened(browser, f"{moto}/{moto_bucket.name}/out/report/index.html") as page:
        page.wait_for_selector(".player")
        page.wait_for_function(
            "[...document.querySelectorAll('audio')].every(a => a.readyState >= 3)"
        )
        page.click(".play")
        page.wait_for_function("document.querySelectorAll('audio')[1].currentTime > 0.3")
        page.wait_for_function(
            "[...document.querySelectorAll('.spectrogram')].every(i => i.naturalWidth === 640)"
        )
        page.wait_for_selector(".links a")
        (link,) = page.eval_on_selector_all(".links a", "all => all.map(a => a.href)")
        assert page.request.get(link).body() == Path(record["stem_uri"]).read_bytes()
