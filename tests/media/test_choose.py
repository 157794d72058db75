"""Test the choice of tracks, and languages under their several codes."""

import pytest

from separator.errors import RequestError, TrackMissing
from separator.media.choose import choose_tracks
from separator.media.languages import CANONICAL, same_language
from separator.media.probe import Track


def make_tracks(*languages: str | None, default: int | None = None) -> list[Track]:
    return [
        Track(i, 2 * i, "aac", 48_000, 2, "stereo", None, language, None, i == default, 0, 1, 0)
        for i, language in enumerate(languages)
    ]


TRACKS = make_tracks("ger", "eng", None, "fr-CA", default=1)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("all", [0, 1, 2, 3]),
        ("first", [0]),
        ("default", [1]),
        ([2, 0], [0, 2]),
        ([0, 9], [0]),
        ({"language": ["en"]}, [1]),
        ({"language": "en"}, [1]),
        ({"language": ["fra", "deu"]}, [0, 3]),
        ({"language": ["fr-FR"]}, [3]),
        ({"language": ["it"], "fallback": "first"}, [0]),
        ({"language": ["it"], "fallback": "default"}, [1]),
        ({"language": ["it"], "fallback": {"language": ["de"]}}, [0]),
        ({"language": ["en"], "fallback": "all"}, [1]),
    ],
)
def test_choose_tracks_by_position_flag_and_language(how: object, expected: list[int]) -> None:
    assert [track.index for track in choose_tracks(TRACKS, how)] == expected


def test_choose_tracks_default_falls_back_to_first() -> None:
    assert [t.index for t in choose_tracks(make_tracks("en", "de"), "default")] == [0]


@pytest.mark.parametrize("how", [[7], {"language": ["it"]}, {"language": ["it"], "fallback": [9]}])
def test_choose_tracks_raises_when_none_matches(how: object) -> None:
    with pytest.raises(TrackMissing) as caught:
        choose_tracks(TRACKS, how)
    assert caught.value.code == "track_missing"


@pytest.mark.parametrize(
    "how",
    ["every", [], [-1], [True], ["0"], {}, {"language": []}, {"lang": ["en"]}, {"language": [1]},
     None, 0, {"language": ["it"], "fallback": "some"}],
)  # fmt: skip
def test_choose_tracks_refuses_unknown_forms(how: object) -> None:
    with pytest.raises(RequestError, match="tracks="):
        choose_tracks(TRACKS, how)


def test_same_language_compares_all_codes() -> None:
    assert same_language("de", "ger") and same_language("ger", "deu") and same_language("DE", "de")
    assert same_language("pt-BR", "por") and same_language("zh_Hant", "chi")
    assert same_language("gsw", "gsw") and not same_language("gsw", "de")
    assert not same_language("en", "de")
    assert len(set(CANONICAL.values())) == 183 and len(CANONICAL) == 2 * 183 + 20
