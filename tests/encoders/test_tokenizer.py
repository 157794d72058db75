import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE

from separator.encoders.tokenizer import find_tokenizer, load_tokenizer
from separator.errors import EncoderMissing, TokenizerBroken
from tests.helpers import tiny_clap

VOCABULARY = tiny_clap.SIZES.vocabulary


def test_load_tokenizer_loads_a_working_one(tokenizer_path: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_path, VOCABULARY)
    ids = tokenizer("a dog barking")["input_ids"]
    assert (ids[0], ids[-1]) == (0, 2)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a dog barking"


@pytest.mark.parametrize("files", [[], ["tokenizer_config.json"]])
def test_load_tokenizer_refuses_a_folder_without_files(files: list[str], tmp_path: Path) -> None:
    # transformers 5 loads these without an error, and every text becomes [2, 3].
    for name in files:
        (tmp_path / name).write_text('{"tokenizer_class": "RobertaTokenizer"}')
    with pytest.raises(TokenizerBroken, match=r"has 5 tokens, the checkpoint 50265") as caught:
        load_tokenizer(tmp_path, 50_265)
    assert "vocab.json, merges.txt missing" in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_load_tokenizer_refuses_wrong_special_tokens(tmp_path: Path) -> None:
    # The same trap, with a checkpoint of five tokens.
    with pytest.raises(TokenizerBroken, match="are the tokens"):
        load_tokenizer(tmp_path, 5)


def test_load_tokenizer_refuses_one_that_maps_texts_to_the_same_tokens(tmp_path: Path) -> None:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokens = special + [f"nothing{i}" for i in range(VOCABULARY - len(special))]
    model = BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=[], unk_token="<unk>")
    Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(TokenizerBroken, match="both become the tokens"):
        load_tokenizer(tmp_path, VOCABULARY)


def test_load_tokenizer_refuses_half_a_list_of_merges(tokenizer_path: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tokenizer_path, tmp_path / "copy"))
    lines = (folder / "merges.txt").read_text().splitlines(keepends=True)
    (folder / "merges.txt").write_text("".join(lines[: len(lines) // 2]))
    with pytest.raises(TokenizerBroken, match=r"merges\.txt: not whole, 3\d tokens are never made"):
        load_tokenizer(folder, VOCABULARY)


def test_load_tokenizer_refuses_one_of_another_model(tmp_path: Path) -> None:
    folder = tiny_clap.write_tokenizer(tmp_path, VOCABULARY - 1)
    with pytest.raises(TokenizerBroken, match=rf"{VOCABULARY - 1} tokens.*{VOCABULARY}") as caught:
        load_tokenizer(folder, VOCABULARY)
    assert "missing" not in str(caught.value)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
@pytest.mark.parametrize("content", [None, "", "}{", "[1, 2]", '{"a": "b"}', "a b c", "q Q"])
def test_load_tokenizer_refuses_damaged_files(
    name: str, content: str | None, tokenizer_path: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tokenizer_path, tmp_path / "copy"))
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(TokenizerBroken, match="copy"):
        load_tokenizer(folder, VOCABULARY)


def test_load_tokenizer_does_not_look_for_a_missing_folder_on_the_hub(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", Path("roberta-base"), Path("owner/name")):
        with pytest.raises(EncoderMissing, match=f"{path}: no such folder"):
            load_tokenizer(path, VOCABULARY)


def test_find_tokenizer_prefers_the_home_folder(tokenizer_path: Path, tmp_path: Path) -> None:
    assert find_tokenizer(tokenizer_path.parent, tmp_path) == tokenizer_path


@pytest.mark.parametrize("repository", ["models--roberta-base", "models--FacebookAI--roberta-base"])
def test_find_tokenizer_finds_the_hub_cache(
    repository: str, tokenizer_path: Path, tmp_path: Path
) -> None:
    snapshot = tmp_path / "hub" / repository / "snapshots" / "abc"
    shutil.copytree(tokenizer_path, snapshot)
    refs = tmp_path / "hub" / repository / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    assert find_tokenizer(tmp_path / "home", tmp_path / "hub") == snapshot
    (snapshot / "merges.txt").unlink()
    with pytest.raises(EncoderMissing):
        find_tokenizer(tmp_path / "home", tmp_path / "hub")


def test_find_tokenizer_says_which_files_to_put_where(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "roberta-base").mkdir(parents=True)
    (home / "roberta-base" / "vocab.json").touch()  # one of the two is not enough
    with pytest.raises(EncoderMissing) as caught:
        find_tokenizer(home, tmp_path / "hub")
    for part in ("vocab.json", "merges.txt", str(home / "roberta-base"), "SEPARATOR_HOME"):
        assert part in str(caught.value)
