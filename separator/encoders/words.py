"""Texts as lists of known word stems: what the mini encoder reads. Pure functions on strings."""

import re

# Words that say nothing about which sound is meant.
FILLERS = frozenset(
    re.findall(
        r"\w+",
        """
        a an the of in on at by with and or to from is are was were be being been it its this
        that some someone somebody something there here s one two while as for into off out up
        down over sound sounds noise noises hear heard hearing recording recorded audio
        """,
    )
)
# Longest first; what is left must keep three letters.
SUFFIXES = ("ings", "ing", "ers", "er", "ed", "es", "s", "e")
VOWELS = set("aeiouy")


def stem(word: str) -> str:
    """The word without its ending: barks, barking and barked are one; not linguistics."""
    for suffix in SUFFIXES:
        base = word.removesuffix(suffix)
        if base != word and len(base) >= 3 and VOWELS & set(base):
            word = base
            break
    # running -> runn -> run; but bell, hiss and buzz keep their pairs in every form.
    if len(word) > 3 and word[-1] == word[-2] and word[-1] in "bdgkmnpt":
        word = word[:-1]
    return word[:-1] + "i" if word.endswith("y") and len(word) > 3 else word


def split_words(text: str) -> list[str]:
    """The stems of a text's words, fillers left out."""
    words = re.findall(r"[^\W\d_]+", text.lower().replace("'s", ""))
    return [stem(word) for word in words if word not in FILLERS]


def collect_words(texts: list[str]) -> list[str]:
    """Every stem of the texts, sorted: the vocabulary of an encoder trained on them."""
    return sorted({word for text in texts for word in split_words(text)})
