"""What else people call the sounds of each class."""

from separator.encoders.words import split_words
from separator.sounds.catalog import CLASSES
from separator.sounds.kind_names import list_contexts, list_synonyms
from separator.sounds.real import make_row
from separator.sounds.recordings import HELD_OUT, read_recordings


def test_synonyms_are_no_paraphrases_and_fit_one_group():
    groups = {text: sound.group for sound in CLASSES.values() for text in sound.captions}
    paraphrases = {text for sound in CLASSES.values() for text in sound.paraphrases}
    for name, sound in CLASSES.items():
        synonyms = list_synonyms(name)
        assert len(set(synonyms)) == len(synonyms) >= 30 and not paraphrases & set(synonyms)
        for text in synonyms:
            assert groups.setdefault(text, sound.group) == sound.group, text
            assert split_words(text), text


def test_contexts_name_no_class():
    labels = {word for sound in CLASSES.values() for word in split_words(sound.captions[0])}
    for context in list_contexts():
        assert not labels & set(split_words(context)), context


def test_only_rows_for_training_get_synonyms():
    recordings = {r.package in HELD_OUT: r for r in read_recordings() if r.kind == "drums"}
    synonyms = set(list_synonyms("drums"))
    assert synonyms <= set(make_row(recordings[False], [])["captions"])
    assert not synonyms & set(make_row(recordings[True], [])["captions"])
