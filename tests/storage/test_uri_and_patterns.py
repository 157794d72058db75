"""Names, patterns and settings: nothing is opened."""

import itertools
import os
import random
import unicodedata

import pytest

from separator.errors import RequestError
from separator.storage import StorageSettings, is_within, join_uri, parse_uri
from separator.storage.patterns import find_folders, make_selector
from separator.storage.uri import name_file

NAMES = ["a.mp4", "A.MP4", "x.wav", "d/b.mp4", "d/e/c.mp4", ".h.mp4", "d/._a.mp4", ".t/a.mp4"]


@pytest.mark.parametrize(
    ("include", "exclude", "found"),
    [
        ([], [], ["a.mp4", "A.MP4", "x.wav", "d/b.mp4", "d/e/c.mp4"]),
        (["*.mp4"], [], ["a.mp4", "A.MP4", "d/b.mp4", "d/e/c.mp4"]),
        (["*.MP4", "*.wav"], ["a*"], ["x.wav", "d/b.mp4", "d/e/c.mp4"]),
        (["d/*.mp4"], [], ["d/b.mp4"]),
        (["d/**"], [], ["d/b.mp4", "d/e/c.mp4"]),
        (["d/"], [], ["d/b.mp4", "d/e/c.mp4"]),
        (["**/c.mp4", "**/a.mp4"], [], ["a.mp4", "A.MP4", "d/e/c.mp4"]),
        (["d/**/*.mp4"], ["**/e/*"], ["d/b.mp4"]),
        (["?.mp4"], [], ["a.mp4", "A.MP4", "d/b.mp4", "d/e/c.mp4"]),
        (["[a-b].mp4"], [], ["a.mp4", "A.MP4", "d/b.mp4"]),
        (["[!a].mp4"], [], ["d/b.mp4", "d/e/c.mp4"]),
        ([".*"], [], [".h.mp4", "d/._a.mp4"]),
        ([".t/*"], [], [".t/a.mp4"]),
        (["**/.*"], [], [".h.mp4", "d/._a.mp4"]),
        (["a.mp"], [], []),
    ],
)
def test_make_selector_applies_patterns(include, exclude, found):
    is_wanted = make_selector(include, exclude)
    assert [name for name in NAMES if is_wanted(name)] == found


def test_make_selector_escapes_brackets_and_dots():
    assert make_selector(["[1].mp4"], [])("1.mp4")
    assert not make_selector(["[1].mp4"], [])("[1].mp4")
    assert make_selector(["[[]1].mp4"], [])("[1].mp4")
    assert not make_selector(["a.b"], [])("axb")
    assert make_selector(["a\\b"], [])("a\\b")
    assert make_selector(["*\n*"], [])("a\nb")
    assert make_selector(["[a&&b]"], [])("&") and make_selector(["[a~~b||]"], [])("|")
    assert make_selector(["[!--]x"], [])("ax") and not make_selector(["[!--]x"], [])("-x")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_make_selector_takes_accents_in_both_forms(form):
    """macOS writes them apart from their letters; people type one character."""
    pattern = unicodedata.normalize(form, "é*/한국/été.mp4")
    for other in ("NFC", "NFD"):
        name = unicodedata.normalize(other, "École/한국/Été.mp4")
        assert make_selector([pattern], [])(name) and not make_selector([], [pattern])(name)
    assert find_folders([unicodedata.normalize(form, "한국/2026/*")]) == [""]


@pytest.mark.parametrize("pattern", ["", "/abs/*.mp4", "a**", "x/**y", "[2026-11-21]*", "a[z-a]"])
def test_make_selector_refuses_invalid_patterns(pattern):
    with pytest.raises(RequestError, match=r"pattern|whole folders|bad character range"):
        make_selector([pattern], [])


def test_parse_uri():
    place = parse_uri("s3://bucket/a b/%20?#.wav")
    assert (place.bucket, place.key) == ("bucket", "a b/%20?#.wav")
    assert place.uri == "s3://bucket/a b/%20?#.wav"
    assert parse_uri("s3://bucket").key == ""
    assert parse_uri("/a/b c.wav").uri == "/a/b c.wav"
    assert parse_uri("file:///a/b%20c.wav").uri == "/a/b c.wav"
    assert parse_uri("file://localhost/a").uri == "/a"
    assert parse_uri("rel/x.wav").uri == os.path.abspath("rel/x.wav")  # noqa: PTH100
    assert join_uri("s3://b/x/", "y", "z") == "s3://b/x/y/z"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("", "not a URI or a path"),
        ("/a\0b", "not a URI or a path"),
        ("s3://bucket/a\0b", "not a URI or a path"),
        ("s3://bucket/\ud800", "is not valid text"),
        ("/a/\ud800", "is not valid text"),
        ("file:///a%00b", "names no file"),
        ("file://", "names no file"),
        ("file://elsewhere/a", "another machine"),
        ("s3://../a", "is not a bucket name"),
        ("ftp://host/a", "unknown scheme"),
    ],
)
def test_parse_uri_refuses_what_names_nothing(uri, said):
    with pytest.raises(RequestError, match=said):
        parse_uri(uri)


@pytest.mark.parametrize("name", [b"/a/\xff\xfe.wav", b"/a/new\nline", b"/a/\x01", "/ü".encode()])
def test_name_file_keeps_names_that_are_not_text(name):
    uri = name_file(os.fsdecode(name))
    assert uri.encode("utf-8").decode().isprintable()
    assert os.fsencode(parse_uri(uri).path) == name


def test_a_place_has_one_name_also_with_dots_and_links(tmp_path, monkeypatch):
    (tmp_path / "real/inside").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real/inside")
    monkeypatch.chdir(tmp_path / "real")
    for given, wanted in (
        ("../real/a.wav", "real/a.wav"),
        ("..", ""),
        (f"file://{tmp_path}/real/../b/", "b/"),
        (f"{tmp_path}/link/../a.wav", "real/a.wav"),  # as the kernel goes
        (f"{tmp_path}/gone/../a.wav", "a.wav"),
        (f"{tmp_path}/link/b/../a.wav", "link/a.wav"),  # a link stays where nothing goes above it
        ("a..b", "real/a..b"),
    ):
        assert parse_uri(given).uri == (f"{tmp_path}/{wanted}" if wanted else str(tmp_path))
    assert parse_uri("/../..").uri == "/"
    assert not is_within("../out", ".")


def test_a_path_from_home_is_no_folder_named_tilde(tmp_path, monkeypatch):
    """Shells leave the tilde of `output.uri=~/stems` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_uri("~/a b/").uri == f"{tmp_path}/a b/"
    for own in ("./~/x", "~x", "/~/x", "file:///~/x", "s3://bucket/~/x"):
        assert parse_uri(own).key.endswith(own.rpartition("~")[1] + own.rpartition("~")[2])


def test_shown_uri_is_one_line():
    assert parse_uri("s3://bucket/a\nb").shown == "s3://bucket/a\\nb"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"endpoint_url": "localhost:9000"}, "endpoint_url='localhost:9000'"),
        ({"endpoint_url": "https://me:hunter2@host"}, "holds a password"),
        ({"endpoint_url": "https://host/?key=hunter2"}, "must look like https://host:port"),
        ({"checksums": "never"}, "checksums='never'"),
        ({"anonymous": True, "profile": "x"}, "choose one"),
        ({"part_bytes": 1}, "part_bytes=1"),
        ({"attempts": 0}, "attempts=0"),
        ({"timeout_s": 0}, "timeout_s=0"),
    ],
)
def test_settings_refuse_invalid_values(settings, message):
    with pytest.raises(RequestError, match=message) as caught:
        StorageSettings(**settings)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("include", "wanted"),
    [
        ([], [""]),
        (["*.mp4"], [""]),
        (["2026/11/*.mp4"], ["2026/11/"]),
        (["2026/11/"], ["2026/11/"]),
        (["2026/**", "2026/11/x.mp4", "2025-12/a"], ["2025-12/", "2026/"]),
        (["2026/11/*", "*.wav"], [""]),
        (["2026/1*/x"], ["2026/"]),
        (["**/2026/x", "2026/x"], [""]),
        (["News/2026/*"], [""]),  # or news/, or NEWS/
        (["2026/news/x"], ["2026/"]),
        (["2026/../x", "[2]/x", "1?/x"], [""]),
    ],
)
def test_find_folders(include, wanted):
    assert find_folders(include) == wanted


def test_find_folders_covers_every_match_once():
    """Every name that is meant is below one of the folders, and below one only."""
    rng = random.Random(0)
    parts = ["1", "12", "*", "**", "a", "A", "1?", "[1]", ".1", "2"]
    names = [
        "/".join(p) for n in (1, 2, 3) for p in itertools.product(("1", "12", "a", "2"), repeat=n)
    ]
    for _ in range(500):
        patterns = [
            "/".join(rng.choices(parts, k=rng.randint(1, 3))) for _ in range(rng.randint(1, 3))
        ]
        is_wanted, folders = make_selector(patterns, []), find_folders(patterns)
        for name in filter(is_wanted, names):
            assert sum(name.startswith(folder) for folder in folders) == 1, (patterns, name)
