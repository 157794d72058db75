"""Find and load RoBERTa's tokenizer, and check that it works. Nothing is downloaded."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from separator.errors import EncoderMissing, TokenizerBroken
from separator.model import registry

if TYPE_CHECKING:
    from transformers import RobertaTokenizerFast

FILES = ("vocab.json", "merges.txt")
REPOSITORIES = ("roberta-base", "FacebookAI/roberta-base")
PROBES = ("a dog barking", "rain on a window")
# The ids of <s>, <pad>, </s> in RoBERTa's training; positions are counted from <pad>'s.
SPECIAL_IDS = (0, 1, 2)
# No merge makes RoBERTa's nine special tokens: <mask>, madeupword0000, ...
MAX_UNMADE = 16


def find_tokenizer(home: Path | None = None, hub_cache: Path | None = None) -> Path:
    """Return a folder with RoBERTa's tokenizer files: `home`, else the Hugging Face cache."""
    own = (registry.home() if home is None else home) / "roberta-base"
    if all((own / name).is_file() for name in FILES):
        return own
    from huggingface_hub import try_to_load_from_cache  # imported here: the import takes 0.3 s

    for repository in REPOSITORIES:
        paths = [try_to_load_from_cache(repository, name, cache_dir=hub_cache) for name in FILES]
        # None: not in the cache; another object: known not to exist in the repository.
        if isinstance(paths[0], str) and isinstance(paths[1], str):
            return Path(paths[0]).parent
    raise EncoderMissing(
        f"no tokenizer: put {' and '.join(FILES)} of roberta-base "
        f"(https://huggingface.co/FacebookAI/roberta-base) into {own}, or into the Hugging Face "
        "cache; SEPARATOR_HOME moves that folder"
    )


def load_tokenizer(folder: Path, vocabulary: int) -> "RobertaTokenizerFast":
    """Load the tokenizer in `folder`; raise unless it fits a network with `vocabulary` tokens."""
    from transformers import RobertaTokenizerFast

    folder = Path(folder)
    # transformers would look for the name of a missing folder on the hub.
    if not folder.is_dir():
        raise EncoderMissing(f"{folder}: no such folder; it should hold {' and '.join(FILES)}")
    if all((folder / name).is_file() for name in FILES):
        _check_files(folder)
    try:
        tokenizer = RobertaTokenizerFast.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise TokenizerBroken(
            f"{folder}: cannot be read ({error}); it should hold {' and '.join(FILES)}"
        ) from error
    _check_tokens(tokenizer, folder, vocabulary)
    return tokenizer


def _check_files(folder: Path) -> None:
    # transformers accepts half a merges.txt: all tokens are known, but no text reaches them. What
    # it does not accept ends in a bare Exception, which cannot be told from a bug.
    vocabulary_path, merges_path = (folder / name for name in FILES)
    try:
        tokens = json.loads(vocabulary_path.read_text(encoding="utf-8"))
        lines = merges_path.read_text(encoding="utf-8").split("\n")
    except (ValueError, RecursionError) as error:
        raise TokenizerBroken(f"{folder}: damaged ({error}); download the files again") from error
    if not isinstance(tokens, dict) or not all(type(number) is int for number in tokens.values()):
        raise TokenizerBroken(f"{vocabulary_path}: no table of tokens; download it again")
    made = set()
    for number, line in enumerate(lines, start=1):
        if line.startswith("#version") or not line:
            continue
        pair = line.split(" ")
        if len(pair) != 2 or not {*pair, "".join(pair)} <= tokens.keys():
            raise TokenizerBroken(
                f"{merges_path}, line {number}: {line[:40]!r} does not fit {vocabulary_path.name}; "
                "download both again"
            )
        made.add("".join(pair))
    unmade = [token for token in tokens if len(token) > 1 and token not in made]
    if len(unmade) > MAX_UNMADE:
        raise TokenizerBroken(
            f"{merges_path}: not whole, {len(unmade)} tokens are never made; download it again"
        )


def _check_tokens(tokenizer: "RobertaTokenizerFast", folder: Path, vocabulary: int) -> None:
    # Without files transformers 5 makes a vocabulary of five tokens, and all texts become equal.
    if len(tokenizer) != vocabulary:
        missing = [name for name in FILES if not (folder / name).is_file()]
        raise TokenizerBroken(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, the checkpoint {vocabulary}; "
            f"put {' and '.join(FILES)} of roberta-base there"
            + (f" ({', '.join(missing)} missing)" if missing else "")
        )
    ids = (tokenizer.cls_token_id, tokenizer.pad_token_id, tokenizer.sep_token_id)
    if ids != SPECIAL_IDS:
        raise TokenizerBroken(
            f"{folder}: <s>, <pad>, </s> are the tokens {ids}, RoBERTa's are {SPECIAL_IDS}"
        )
    first, second = (tokenizer(probe)["input_ids"] for probe in PROBES)
    if first == second:
        raise TokenizerBroken(
            f"{folder}: {PROBES[0]!r} and {PROBES[1]!r} both become the tokens {first}"
        )
