import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import separator
from separator.encoders.cache import FileCache, encode_cached
from separator.encoders.clap import ClapEncoder, load_clap
from separator.encoders.clap_audio import RATE_HZ
from separator.encoders.clap_network import import_clap_module
from separator.errors import EncoderError, EncoderMissing
from separator.model.checkpoint import compute_encoder_id
from tests.helpers.tiny_clap import make_noise

TEXTS = ["a dog barking", "rain", "an emergency siren in the distance", "犬が吠える"]


def test_encode_texts_returns_one_unit_vector_per_text(encoder: ClapEncoder) -> None:
    conditions = encoder.encode_texts(TEXTS)
    assert conditions.shape == (4, 512)
    assert conditions.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(conditions.astype(np.float64), axis=1), 1, atol=1e-6)
    similarity = conditions @ conditions.T
    assert similarity[~np.eye(4, dtype=bool)].max() < 0.99
    assert encoder.encode_texts([]).shape == (0, 512)


def test_encode_texts_is_independent_of_the_other_texts(encoder: ClapEncoder) -> None:
    together = encoder.encode_texts(TEXTS)
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    assert together.tobytes() == alone.tobytes()
    assert together[::-1].tobytes() == encoder.encode_texts(TEXTS[::-1]).tobytes()


def test_encode_texts_equals_padded_roberta_of_transformers(
    encoder: ClapEncoder, clap_state: dict[str, Tensor], tokenizer_path: Path
) -> None:
    """The referee pads to full length, as AudioSep does, and applies the projection by hand."""
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizerFast

    config = RobertaConfig(
        vocab_size=320,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=256,
        max_position_embeddings=66,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=1,
        hidden_act="gelu",
    )
    branch = {
        name.removeprefix("text_branch."): tensor
        for name, tensor in clap_state.items()
        if name.startswith("text_branch.") and not name.endswith("position_ids")
    }
    roberta = RobertaModel(config).double().eval()
    roberta.load_state_dict(branch)
    tokenizer = RobertaTokenizerFast.from_pretrained(str(tokenizer_path))
    tokens = tokenizer(
        TEXTS, padding="max_length", truncation=True, max_length=64, return_tensors="pt"
    )
    layers = {name: tensor.double() for name, tensor in clap_state.items() if "text_proj" in name}
    with torch.no_grad():
        x = roberta(**tokens).pooler_output
        x = F.linear(x, layers["text_projection.0.weight"], layers["text_projection.0.bias"])
        x = F.linear(
            F.relu(x), layers["text_projection.2.weight"], layers["text_projection.2.bias"]
        )
        expected = F.normalize(x, dim=-1).numpy()
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected, atol=2e-6)


def test_encode_texts_cuts_long_texts_where_the_positions_end(encoder: ClapEncoder) -> None:
    words = "a dog barking and " * 200
    long, longer = encoder.encode_texts([words, words + "rain"])
    assert np.isfinite(long).all()
    assert np.array_equal(long, longer)
    assert not np.array_equal(long, encoder.encode_texts([words[:40]])[0])


def test_load_clap_makes_the_same_encoder_of_both_kinds_of_file(
    encoder: ClapEncoder, clap_state: dict[str, Tensor], tokenizer_path: Path
) -> None:
    # AudioSep's prefix; newer checkpoints hold no position_ids.
    audiosep = {f"query_encoder.model.{name}": tensor for name, tensor in clap_state.items()}
    del audiosep["query_encoder.model.text_branch.embeddings.position_ids"]
    state = {name.removeprefix("query_encoder.model."): audiosep[name] for name in audiosep}
    other = load_clap(state, tokenizer_path)
    assert other.encoder_id == encoder.encoder_id == compute_encoder_id(clap_state)
    assert other.encode_texts(TEXTS).tobytes() == encoder.encode_texts(TEXTS).tobytes()
    audio = make_noise(3)
    assert np.array_equal(other.encode_audio(audio, RATE_HZ), encoder.encode_audio(audio, RATE_HZ))


@pytest.mark.parametrize(
    "name",
    [
        "text_branch.embeddings.word_embeddings.weight",
        "text_branch.encoder.layer.0.intermediate.dense.weight",
        "audio_branch.patch_embed.proj.weight",
    ],
)
def test_load_clap_names_a_missing_tensor(
    name: str, clap_state: dict[str, Tensor], tokenizer_path: Path
) -> None:
    state = {key: tensor for key, tensor in clap_state.items() if key != name}
    with pytest.raises(EncoderError, match=f"{name} is missing"):
        load_clap(state, tokenizer_path)


def test_load_clap_names_tensors_that_do_not_fit(
    clap_state: dict[str, Tensor], tokenizer_path: Path
) -> None:
    state = clap_state | {
        "audio_branch.patch_embed.fusion_model.x": torch.ones(1),
        "text_projection.0.bias": torch.ones(7),
    }
    del state["text_branch.encoder.layer.1.output.dense.bias"]
    with pytest.raises(EncoderError) as caught:
        load_clap(state, tokenizer_path)
    assert "3 tensors do not fit" in str(caught.value)
    assert "text_branch.encoder.layer.1.output.dense.bias is missing" in str(caught.value)
    assert "audio_branch.patch_embed.fusion_model.x is not part of" in str(caught.value)
    assert "text_projection.0.bias has the shape (7,) instead of (512,)" in str(caught.value)


def test_load_clap_shows_a_prefix_left_on_the_names(clap_state: dict[str, Tensor]) -> None:
    state = {f"query_encoder.model.{name}": tensor for name, tensor in clap_state.items()}
    with pytest.raises(EncoderError, match=r"under a prefix \(found query_encoder\.model\."):
        load_clap(state)


def test_import_of_a_missing_package_says_how_to_install_it() -> None:
    with pytest.raises(EncoderMissing, match=r"make dev.*uv pip install .* '\.\[clap\]'"):
        import_clap_module("laion_clap_absent")


def test_cached_condition_equals_the_fresh_one(encoder: ClapEncoder, tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "conditions.safetensors")
    fresh = encode_cached(lambda: encoder, encoder.encoder_id, TEXTS, cache.read, cache.write)
    assert fresh.tobytes() == encoder.encode_texts(TEXTS).tobytes()
    encoder_id = encoder.encoder_id
    again = encode_cached(lambda: pytest.fail(), encoder_id, TEXTS, cache.read, cache.write)
    assert again.tobytes() == fresh.tobytes()


LAZY_AND_OFFLINE = """
import sys
from pathlib import Path

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise SystemExit(f"reached for the network: {args}")

sys.addaudithook(refuse)
import separator.encoders.cache, separator.encoders.clap, separator.encoders.encoder
import separator.queries, separator.encoders.tokenizer
heavy = {"laion_clap", "transformers", "librosa", "torchaudio", "huggingface_hub"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert "ray" not in sys.modules and "separator.model.engine" not in sys.modules
path = list(sys.path)
encoder = separator.encoders.clap.load_clap(separator.encoders.clap.read_clap_file(sys.argv[1]))
assert "laion_clap.clap_module.model" in sys.modules
assert not {"laion_clap", "laion_clap.training", "sklearn"} & set(sys.modules)
assert sys.path == path
sys.stdout.buffer.write(encoder.encode_texts(["a dog barking"]).tobytes())
"""


@pytest.mark.slow  # imports torch and transformers once more
@pytest.mark.check
def test_load_clap_needs_no_network_and_imports_late(
    encoder: ClapEncoder, clap_file: Path, tokenizer_path: Path
) -> None:
    """Runs in a process of its own, without HF_HUB_OFFLINE."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env["SEPARATOR_HOME"] = str(tokenizer_path.parent)
    done = subprocess.run(
        [sys.executable, "-c", LAZY_AND_OFFLINE, clap_file], env=env, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == encoder.encode_texts(["a dog barking"]).tobytes()


LIGHT = """
import sys
import separator.encoders.cache, separator.queries, separator.encoders.tokenizer
assert not {"torch", "transformers"} & set(sys.modules)
"""


def test_queries_and_cache_do_not_import_torch() -> None:
    subprocess.run([sys.executable, "-c", LIGHT], check=True)


def test_laion_clap_is_imported_in_one_module_only() -> None:
    """By name in an import statement, or by the name of the package in a string."""
    root = Path(separator.__file__).parents[1]
    pattern = re.compile(r"(import|from) (laion_clap|clap_module)|[\"'](laion_clap|clap_module)\b")
    paths = [path for name in ("separator", "jobs") for path in (root / name).rglob("*.py")]
    found = [path.name for path in paths if pattern.search(path.read_text())]
    assert found == ["clap_network.py"]
    importers = [p.name for p in paths if "clap_network import" in p.read_text()]
    assert sorted(importers) == ["clap.py", "clip.py"]
