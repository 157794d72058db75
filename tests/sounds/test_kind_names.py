"""What else people call the sounds of each class."""

from collections import defaultdict

from separator.encoders.words import collect_words, split_words
from separator.sounds.catalog import CLASSES
from separator.sounds.kind_names import list_contexts, list_synonyms
from separator.sounds.real import make_row
from separator.sounds.recorded_kinds import list_known, read_recorded_kinds
from separator.sounds.recordings import HELD_OUT, read_recordings


def test_synonyms_are_no_paraphrases_and_fit_one_group():
    known = list_known()
    groups = {text: kind.group for kind in known.values() for text in kind.captions}
    paraphrases = {text for kind in known.values() for text in kind.paraphrases}
    assert not paraphrases & set(groups)
    for name, sound in known.items():
        synonyms = list_synonyms(name)
        assert len(set(synonyms)) == len(synonyms) >= 30 and not paraphrases & set(synonyms)
        for text in synonyms:
            assert groups.setdefault(text, sound.group) == sound.group, text
            assert split_words(text), text


def test_paraphrases_say_what_no_training_text_says():
    """As the mini encoder reads them: stems of the words it knows, in any order. In training a
    caption stands alone or with a context."""
    kinds = list_known()
    texts = [
        text for name, kind in kinds.items() for text in (*kind.captions, *list_synonyms(name))
    ]
    known = frozenset(collect_words(texts))
    told = {frozenset(split_words(text)) for text in texts}
    contexts = [known.intersection(split_words(context)) for context in list_contexts()]
    told |= {words | context for words in told for context in contexts}
    for name, kind in kinds.items():
        for text in kind.paraphrases:
            words = known.intersection(split_words(text))
            assert words and words not in told, (name, text)


def test_recorded_kinds_are_none_of_the_generator_and_have_recordings_enough():
    seconds: defaultdict[str, float] = defaultdict(float)
    for recording in read_recordings():
        seconds[recording.kind] += recording.seconds
    for name, kind in read_recorded_kinds().items():
        assert name not in CLASSES and kind.captions[0] == name
        assert seconds[name] >= 30, name


def test_contexts_name_no_class():
    labels = {word for kind in list_known().values() for word in split_words(kind.captions[0])}
    for context in list_contexts():
        assert not labels & set(split_words(context)), context


def test_only_rows_for_training_get_synonyms():
    recordings = {r.package in HELD_OUT: r for r in read_recordings() if r.kind == "drums"}
    synonyms = set(list_synonyms("drums"))
    assert synonyms <= set(make_row(recordings[False], [])["captions"])
    assert not synonyms & set(make_row(recordings[True], [])["captions"])
