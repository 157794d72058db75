"""From a query's text to the classes of a detector."""

import pytest

from separator.detect.classes import Classes, NoClasses, match_classes, names_several
from separator.detect.synonyms import read_table
from separator.errors import QueryError
from separator.model.zero_shot_files import LABELS_FILE
from separator.sounds.catalog import CLASSES
from separator.sounds.kind_names import list_kinds, list_synonyms
from separator.sounds.recorded_kinds import list_known

AUDIOSET = LABELS_FILE.read_text().splitlines()
KINDS = list(CLASSES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("an emergency siren", {"Siren", "Police car (siren)", "Ambulance (siren)"}),
        ("dog", {"Dog", "Bark", "Bow-wow"}),
        ("the barking of a big dog", {"Dog", "Bark"}),
        ("Police car", {"Police car (siren)"}),
        ("a chainsaw in the forest", {"Chainsaw"}),
        ("a person speaking", {"Speech", "Male speech, man speaking"}),
        ("a crow", {"Crow"}),
        ("a cock crowing", {"Chicken, rooster", "Crowing, cock-a-doodle-doo"}),
        ("the radio", {"Radio"}),
        ("the sound of a fly", {"Fly, housefly"}),
        ("some chimes", {"Chime"}),
    ],
)
def test_text_finds_the_classes_that_it_means(text, expected):
    found = match_classes(text, AUDIOSET)
    assert isinstance(found, Classes) and expected <= set(found.labels)
    assert list(found.labels) == [label for label in AUDIOSET if label in found.labels]


@pytest.mark.parametrize(
    ("text", "expected", "how"),
    [
        ("a car alarm", ("Car alarm",), "synonym"),
        ("rock music", ("Rock music",), "name"),
        ("a man speaking", ("Male speech, man speaking",), "synonym"),
        ("a bicycle bell", ("Bicycle bell",), "synonym"),
        ("a crow cawing", ("Crow", "Caw"), "synonym"),  # and no rooster's crowing
        ("piano music", ("Piano", "Electric piano"), "synonym"),  # and no other music
        ("cannon fire", ("Gunshot, gunfire", "Artillery fire"), "synonym"),  # that crackles not
        ("typing on a keyboard", ("Typing", "Typewriter", "Computer keyboard"), "synonym"),
        ("a dripping tap", ("Drip",), "synonym"),  # and no guitar
    ],
)
def test_longer_phrase_hides_the_words_in_it(text, expected, how):
    assert match_classes(text, AUDIOSET) == Classes(text, expected, how)


def test_text_without_a_class_says_so_and_guesses_nothing():
    assert match_classes("something odd", AUDIOSET) == NoClasses("something odd", ())
    found = match_classes("guitr", AUDIOSET)
    assert isinstance(found, NoClasses) and "Guitar" in found.near and "near: Guitar" in str(found)
    for text in ("a country house", "a radio play", "a crow in a tree", "the blue hour"):
        assert isinstance(match_classes(text, AUDIOSET), NoClasses), text
    assert isinstance(match_classes("", AUDIOSET), NoClasses)
    # A synonym of classes that this detector lacks.
    assert isinstance(match_classes("a dog barking", ["siren"]), NoClasses)


def test_classes_set_by_hand_come_first_and_are_checked():
    found = match_classes("dog", AUDIOSET, ["Growling", "Bark"])
    assert found == Classes("dog", ("Bark", "Growling"), "set")
    with pytest.raises(QueryError, match="no class 'Barc'; did you mean 'Bark'"):
        match_classes("dog", AUDIOSET, ["Barc"])


def test_table_names_only_classes_that_exist():
    named = {name for _, classes in read_table() for name in classes}
    assert named <= {*AUDIOSET, *KINDS}
    assert set(KINDS) <= named


def test_every_name_of_audioset_finds_itself():
    for label in AUDIOSET:
        found = match_classes(label, AUDIOSET)
        assert isinstance(found, Classes) and label in found.labels, label


def test_captions_of_the_generator_find_their_own_kind():
    """Synonyms, too, and paraphrases, with which nothing was trained."""
    texts = [
        (k, text)
        for k, kind in CLASSES.items()
        for text in (*kind.captions, *list_synonyms(k), *kind.paraphrases)
    ]
    found = [match_classes(text, KINDS) for _, text in texts]
    own = [isinstance(f, Classes) and k in f.labels for f, (k, _) in zip(found, texts, strict=True)]
    assert sum(own) > 0.99 * len(texts)
    # What is found may hold more than that kind ("a woman laughing"), but never only others.
    others = [
        t
        for f, o, (_, t) in zip(found, own, texts, strict=True)
        if isinstance(f, Classes) and not o
    ]
    assert others == []


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a running engine", ("engine",)),
        ("running", ("footsteps",)),
        ("kitty", ("cat",)),
        ("watching television", ()),
        ("breaking news", ()),
        ("he clears his throat", ("cough",)),
        ("his", ()),
        ("organ music", ("organ",)),
        ("a steam train", ("train",)),  # and no hiss of a tape
        ("gun fire", ()),
        ("machine gun firing", ()),
        ("the siren of the fire brigade", ("siren",)),
        ("a police officer talking", ("man", "woman")),
    ],
)
def test_synonyms_of_kinds_are_found_where_they_say_enough(text, labels):
    found = match_classes(text, KINDS)
    assert (found.labels if isinstance(found, Classes) else ()) == labels


def test_kinds_that_a_detector_of_ours_does_not_know_are_not_taken_for_others():
    """Kinds of recordings: their phrases stand in for parts of them that mean another kind."""
    texts = ["chopping wood", "a wolf pack howls together", "a crowd cheering", "he saw a dog"]
    found = [match_classes(text, KINDS) for text in texts]
    assert [f.labels if isinstance(f, Classes) else () for f in found] == [(), (), (), ("dog",)]
    heard = match_classes("a crowd cheering", AUDIOSET)
    assert isinstance(heard, Classes) and {"Crowd", "Cheering"} & set(heard.labels)


@pytest.mark.parametrize(
    "text",
    [
        "a dog and rain",
        "rain, a piano",
        "Drums & guitar",
        "cat + dog",
        "wolves and a saw",
        "rain or thunder",
        "dog/cat",
    ],
)
def test_names_several_finds_texts_of_several_kinds(text):
    assert names_several(text, list_kinds())


def test_names_several_lets_texts_of_one_kind_pass():
    texts = [
        text
        for name, kind in list_known().items()
        for text in (*kind.captions, *kind.paraphrases, *list_synonyms(name))
    ]
    texts += ["thunder and lightning", "a man speaking, close and loud", "barks, a dog barking", ""]
    assert [text for text in texts if names_several(text, list_kinds())] == []
