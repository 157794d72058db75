"""Read further captions of each class of sounds, and phrases that say nothing about a sound.

Lists for training and the table of classes contain the further captions; lists of held-out sounds
keep the captions that their class defines.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_suffix(".json")


@cache
def _read() -> dict[str, Any]:
    return json.loads(PATH.read_text())


def list_synonyms(class_name: str) -> list[str]:
    """List captions of a class that it does not define itself; none of them is a paraphrase."""
    return _read()["kinds"].get(class_name, [])


def list_kinds() -> list[str]:
    return list(_read()["kinds"])


def list_contexts() -> list[str]:
    """List phrases that fit any caption: places, times, how loud, how often."""
    return _read()["contexts"]
