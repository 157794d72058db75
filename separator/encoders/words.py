"""Split texts into word stems for the mini encoder. Pure functions on strings."""

import re

# Words that tell no sound from another.
FILLERS = frozenset(
    re.findall(
        r"\w+",
        """
        a an the of in on at by with and or to from is are was were be being been it its this
        his her their my your our that some someone somebody something there here s one two while
        as for into off out up down over sound sounds noise noises hear heard hearing recording
        recorded audio
        """,
    )
)
# Longest first; at least three letters must remain.
SUFFIXES = ("ings", "ing", "ers", "er", "ed", "es", "s", "e")
VOWELS = set("aeiouy")


def stem(word: str) -> str:
    """Cut the ending off a word: barks, barking and barked become bark."""
    for suffix in SUFFIXES:
        base = word.removesuffix(suffix)
        if base != word and len(base) >= 3 and VOWELS & set(base):
            word = base
            break
    # running -> runn -> run; bell, hiss and buzz keep their double letters.
    if len(word) > 3 and word[-1] == word[-2] and word[-1] in "bdgkmnpt":
        word = word[:-1]
    return word[:-1] + "i" if word.endswith("y") and len(word) > 3 else word


def split_words(text: str) -> list[str]:
    """Split a text into the stems of its words, without fillers."""
    return [stem(word) for word in drop_fillers(text).split()]


def drop_fillers(text: str) -> str:
    """Return the words of a text in lower case, without fillers, digits and punctuation."""
    words = re.findall(r"[^\W\d_]+", text.lower().replace("'s", ""))
    return " ".join(word for word in words if word not in FILLERS)


def split_parts(text: str) -> list[str]:
    """Split a text where it may go on to another sound: "a dog and rain" into two."""
    return [part for part in re.split(r"\b(?:and|plus|or)\b|[,;&+/]", text.lower()) if part]


def collect_words(texts: list[str]) -> list[str]:
    """Collect the sorted vocabulary of an encoder that is trained on these texts."""
    return sorted({word for text in texts for word in split_words(text)})
