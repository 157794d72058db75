"""Queries: texts and names as given, made, and refused."""

import unicodedata

import numpy as np
import pytest

from separator.errors import QueryError
from separator.queries import (
    LONGEST_NAME_BYTES,
    LONGEST_TEXT,
    Query,
    check_name,
    make_name,
    parse_queries,
)


def test_parse_queries_keeps_the_order_of_texts_and_mappings() -> None:
    items = ["A person speaking", {"name": "siren", "text": "an emergency siren"}, {"text": "Rain"}]
    assert parse_queries(items) == [
        Query("a-person-speaking", "A person speaking"),
        Query("siren", "an emergency siren"),
        Query("rain", "Rain"),
    ]


def test_parse_queries_takes_a_bare_text_for_one_query() -> None:
    assert parse_queries("a dog, and rain") == [Query("a-dog-and-rain", "a dog, and rain")]
    with pytest.raises(QueryError, match=r"queries='  ': has no letter"):
        parse_queries("  ")


def test_parse_queries_takes_example_sounds() -> None:
    items = [
        {"name": "bird", "audio": "s3://queries/bird/"},
        {"name": "dog", "audio": ["a.wav", "/b.mp3"]},
        {"name": "cat", "audio": ["a.wav", "/b.mp3"], "text": None},
        "rain",
    ]
    bird, dog, cat, rain = parse_queries(items)
    assert bird == Query("bird", audio=("s3://queries/bird/",))
    assert dog.audio == cat.audio == ("a.wav", "/b.mp3") and not dog.text
    assert rain == Query("rain", "rain") and rain.key == "rain"


def test_parse_queries_takes_samples_only_where_they_can_come_from() -> None:
    pair = (np.zeros((1, 8), np.float32), 44_100)
    items = [{"name": "bird", "audio": ["a.wav", pair]}, {"name": "dog", "audio": pair}]
    bird, dog = parse_queries(items, with_samples=True)
    assert bird.audio[1][1] == dog.audio[0][1] == 44_100
    with pytest.raises(QueryError, match=r"queries\[0\].audio\[1\]=.*must be a path or a URI"):
        parse_queries(items)
    with pytest.raises(QueryError, match=r"audio\[0\]=3: .*or a pair of samples"):
        parse_queries([{"name": "bird", "audio": [3]}], with_samples=True)


def test_parse_queries_makes_a_name_where_it_is_null() -> None:
    assert parse_queries([{"name": None, "text": "rain"}]) == [Query("rain", "rain")]


def test_parse_queries_takes_rows_of_a_table_where_a_query_lacks_most_columns() -> None:
    columns = ("name", "text", "audio", "image", "video", "at_s", "classes")
    rows = [
        {"name": "x", "text": "dog"},
        {"name": "y", "audio": "a.wav"},
        {"name": "z", "video": "a.mp4", "at_s": 3},
    ]
    full = [dict.fromkeys(columns) | row for row in rows]
    assert parse_queries(full) == parse_queries(rows)
    with pytest.raises(QueryError, match=r"audio=None: must be a file"):
        parse_queries([dict.fromkeys(columns) | {"name": "x"}])


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("  a \t dog\n barking ", "a dog barking"),
        ("a\u00a0dog", "a dog"),  # no-break space
        ("\uff44\uff4f\uff47", "dog"),  # full width
        ("cafe\u0301", "caf\u00e9"),
        ("Siren", "Siren"),
        ("ﬁre", "fire"),
        ("\ufeffa si\u00adren\u200b", "a siren"),  # marks of a copied text
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),  # which belongs to the spelling
    ],
)
def test_parse_queries_normalises_texts(text: str, stored: str) -> None:
    assert parse_queries([text])[0].text == stored


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A person speaking", "a-person-speaking"),
        ("rock'n'roll / 1950s!", "rock-n-roll-1950s"),
        ("Café Müller", "cafe-muller"),
        ("cafe\u0301", "cafe"),
        ("İstanbul", "istanbul"),
        ("x\u0302 y", "x-y"),  # an accent with no composed form
        ("собака лает", "собака-лает"),
        ("йод", "йод"),  # й decomposes, but not to ascii
        ("犬が吠える", "犬が吠える"),
        ("हिन्दी गीत", "हिन्दी-गीत"),  # its vowels are combining marks
        ("ﬁre ½", "fire-1-2"),
        ("../../etc/passwd", "etc-passwd"),
        ("🚨 siren 🚨", "siren"),
        ("a.b", "a-b"),
        ("100% #1?", "100-1"),
    ],
)
def test_make_name_makes_readable_names_in_any_script(text: str, name: str) -> None:
    assert parse_queries([text])[0].name == name


@pytest.mark.parametrize("text", ["con", "NUL", "Com1", "lpt\u00b9", "aux!"])
def test_make_name_avoids_device_names_of_windows(text: str) -> None:
    name = parse_queries([text])[0].name
    assert check_name(name) == name


@pytest.mark.parametrize("letter", ["a", "я", "犬", "\U00020000", "ab "])
def test_make_name_makes_short_distinct_names_of_long_texts(letter: str) -> None:
    texts = [letter * 120, letter * 121, letter * 122 + "!"]
    names = [query.name for query in parse_queries(texts)]
    assert len(set(names)) == 3
    assert all(len(name.encode()) <= LONGEST_NAME_BYTES - 20 for name in names)


def test_make_name_makes_a_safe_name_of_every_character() -> None:
    # Each character of the basic plane stands before, between and after letters.
    for code in range(0x10000):
        text = unicodedata.normalize("NFKC", f"{chr(code)}a{chr(code)}b{chr(code)}")
        name = make_name(" ".join(text.split()))
        assert check_name(name) == name, (hex(code), name)


@pytest.mark.parametrize(
    "name", ["siren", "Siren 2", "a_b-c.d", "сирена", "犬", "x" * 100, "console", "é"]
)
def test_parse_queries_keeps_safe_names(name: str) -> None:
    assert parse_queries([{"name": name, "text": "siren"}])[0].name == name


def test_parse_queries_composes_given_names() -> None:
    assert parse_queries([{"name": "e\u0301", "text": "siren"}])[0].name == "\u00e9"


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "\t", " a", "a ", "a\u00a0", "a\nb", "a\0", "\x7f"),
        *("a/b", "a\\b", "/", "..", ".", ".hidden", "-rf", "a..b", "../a", "a."),
        *("a\u202eb", "a\u200bb", "a\u2028b", "\ud800"),
        *("con", "CON", "nul.txt", "Com1", "com1 .x", "LPT9", "lpt\u00b2", "CONIN$", "aux"),
        *("a:b", "a*", "a?", 'a"', "<a>", "a|b", "a#b", "a%2fb", "x" * 101, "я" * 51),
        *(3, True, ["a"], b"a"),
    ],
)
def test_parse_queries_refuses_unsafe_names(name: object) -> None:
    with pytest.raises(QueryError, match=r"queries\[0\]\.name"):
        parse_queries([{"name": name, "text": "siren"}])


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "at least one sound"),
        ((), "at least one sound"),
        (b"a dog", "must be a text or a list"),
        (None, "queries=None: must be a text or a list"),
        ({"text": "a dog"}, "must be a text or a list"),
        ({"a dog"}, "must be a text or a list"),
        (7, "must be a text or a list"),
        ([7], r"queries\[0\]=7: must be a text or \{name, text\}, not int; in YAML"),
        (["dog", None], r"queries\[1\]=None.*NoneType"),
        ([True], "not bool"),
        ([["dog"]], "not list"),
        ([b"dog"], "not bytes"),
        ([{"text": 3}], r"queries\[0\]\.text=3: must be a text, not int"),
        ([{"text": None}], "not NoneType"),
        ([{"name": "dog"}], r"\{'name': 'dog'\}: has no text"),
        ([{}], "has no text"),
        ([{"text": "dog", "nmae": "d"}], "unknown key 'nmae'; a query has: name, text"),
        ([{"text": "dog", 3: "d"}], "unknown key 3"),
        ([{"audio": "a.wav"}], r"queries\[0\]: has example sounds and no name"),
        ([{"name": "d", "audio": "a.wav", "text": "dog"}], "both a text and example sounds"),
        ([{"name": "d", "audio": []}], r"queries\[0\].audio=\[\]: must be a file, a folder"),
        ([{"name": "d", "audio": None}], "audio=None: must be a file"),
        ([{"name": "d", "audio": ["a.wav", 3]}], r"audio\[1\]=3: must be a path or a URI"),
        ([{"name": "d", "audio": [""]}], r"audio\[0\]: '': not a URI"),
        ([{"name": "d", "audio": "http://x/a.wav"}], "unknown scheme"),
        ([{"name": "d", "audio": "s3://k:pw@bucket/a.wav"}], r"s3://\*\*\*@bucket.*password"),
        ([{"name": "d", "audio": ["a.wav"] * 1_001}], "1001 files, at most 1,000"),
        ([{"name": "rain", "audio": "a.wav"}, "rain"], "the same file"),
        ([""], r"queries\[0\]='': has no letter"),
        (["dog", " \t\n"], r"queries\[1\]=' \\t\\n': has no letter"),
        (["?!... -"], "has no letter"),
        (["🚨"], "has no letter"),
        ([{"text": ""}], "has no letter"),
        (["a\0b"], r"control character '\\x00'"),
        (["a\ud800"], "control character"),
        (["rain", "sounds/Bird.WAV"], r"queries\[1\]='sounds/Bird.WAV': is a file's name; write"),
        (["queries.txt"], "is a file's name"),
        (["a bird.opus"], "is a file's name"),
        ([{"name": "bird", "text": "bird.wav"}], r"queries\[0\].text='bird.wav': is a file's name"),
        (["a" * 513], "513 characters, at most 512"),
        (["dog", "Dog"], r"queries\[1\]\.text='Dog': the same as queries\[0\]"),
        (["a  dog", "rain", "a dog "], r"queries\[2\].*the same as queries\[0\]"),
        (["\uff44\uff4f\uff47", "dog"], "the same as"),
        (["Straße", "STRASSE"], "the same as"),
        (["caf\u00e9", "cafe\u0301"], "the same as"),
        (["dog", {"name": "x", "text": "DOG"}], "the same as"),
        (["dog!", "dog?"], r"queries\[1\]\.name='dog': the same file as queries\[0\]='dog'"),
        ([{"name": "A", "text": "dog"}, {"name": "a", "text": "cat"}], "the same file"),
        ([{"name": "\u00e9", "text": "dog"}, {"name": "E\u0301", "text": "cat"}], "the same file"),
        (["rain", {"name": "Rain", "text": "dog"}], "the same file"),
    ],
)
def test_query_error_names_the_query_and_the_problem(items: object, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse_queries(items)  # pyright: ignore[reportArgumentType]


def test_parse_queries_accepts_the_longest_text() -> None:
    assert len(parse_queries([" " + "a" * LONGEST_TEXT + " "])[0].text) == LONGEST_TEXT


def test_query_error_shortens_a_huge_value() -> None:
    with pytest.raises(QueryError) as caught:
        parse_queries("a" * 1_000_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("item", "files"),
    [
        ({"name": "dog", "image": "dog.jpg"}, ("dog.jpg",)),
        ({"name": "dog", "image": ["s3://own/a.png", "b.png"]}, ("s3://own/a.png", "b.png")),
        ({"name": "x", "video": "a.mp4", "at_s": 3}, ("a.mp4",)),
    ],
)
def test_parse_queries_takes_images_and_videos(item, files):
    (query,) = parse_queries([item])
    assert query.files == files and query.kind in item and not query.audio
    assert query.at_s == item.get("at_s")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"image": "a.png"}, "has images and no name"),
        ({"name": "x", "image": []}, "must be a file, a folder, or a list of them"),
        ({"name": "x", "image": "a.png", "video": "a.mp4"}, "has image and video; make two"),
        ({"name": "x", "image": "a.png", "text": "x"}, "both a text and images"),
        ({"name": "x", "image": "a.png", "at_s": 1}, "seconds from the start of a video"),
        ({"name": "x", "video": "a.mp4", "at_s": -1}, "seconds from the start of a video"),
        ({"name": "x", "video": "a.mp4", "at_s": float("nan")}, "at_s=nan: must be seconds"),
        ({"name": "x", "video": "a.mp4", "at_s": float("inf")}, "at_s=inf: must be seconds"),
        ({"name": "x", "video": "a.mp4", "at_s": True}, "at_s=True: must be seconds"),
        ({"name": "x", "text": "dog", "at_s": 1}, "at_s is a time in a video; there is none"),
    ],
)
def test_parse_queries_refuses_images_in_one_line(item, message):
    with pytest.raises(QueryError, match=message):
        parse_queries([item])
