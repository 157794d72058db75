import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from separator.encoders.cache import FileCache, encode_cached, name_entry, unpack
from separator.encoders.encoder import CONDITION_SIZE, TextEncoder
from separator.errors import EncoderError

TEXTS = ["a dog", "rain", "говорит человек"]


class CountingEncoder:
    """Draw conditions from the text's hash, and count the texts of each call."""

    def __init__(self, encoder_id: str = "counting:1") -> None:
        self.encoder_id = encoder_id
        self.calls: list[list[str]] = []

    def load(self) -> TextEncoder:
        return self

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        self.calls.append(texts)
        return np.stack([self.draw(text) for text in texts])

    def draw(self, text: str) -> np.ndarray:
        seed = hashlib.sha256((self.encoder_id + text).encode()).digest()
        vector_D = np.random.default_rng(list(seed)).standard_normal(CONDITION_SIZE, np.float32)
        return vector_D / np.linalg.norm(vector_D)


def refuse() -> TextEncoder:
    raise AssertionError("the encoder was loaded")


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "made" / "on demand" / "conditions.safetensors")


def encode(encoder: CountingEncoder, texts: list[str], cache: FileCache) -> np.ndarray:
    return encode_cached(encoder.load, encoder.encoder_id, texts, cache.read, cache.write)


def test_encode_cached_returns_cached_conditions_bit_for_bit(
    cache: FileCache,
) -> None:
    encoder = CountingEncoder()
    fresh = encode(encoder, TEXTS, cache)
    assert np.array_equal(fresh, encoder.encode_texts(TEXTS))
    again = encode_cached(refuse, encoder.encoder_id, TEXTS[::-1], cache.read, refuse_write)
    assert again.dtype == np.float32
    assert again.tobytes() == fresh[::-1].tobytes()
    again[:] = 0  # a writable copy


def refuse_write(data: bytes) -> None:
    raise AssertionError("the cache was written")


def test_encode_cached_encodes_each_new_text_once(cache: FileCache) -> None:
    encoder = CountingEncoder()
    encode(encoder, ["a dog"], cache)
    conditions = encode(encoder, ["rain", "a dog", "rain", "wind"], cache)
    assert encoder.calls == [["a dog"], ["rain", "wind"]]
    expected = [encoder.draw(text) for text in ["rain", "a dog", "rain", "wind"]]
    assert np.array_equal(conditions, expected)


def test_encode_cached_keeps_conditions_of_different_encoders_apart(cache: FileCache) -> None:
    first, second = CountingEncoder("e:1"), CountingEncoder("e:2")
    a, b = encode(first, TEXTS, cache), encode(second, TEXTS, cache)
    assert not np.array_equal(a, b)
    assert np.array_equal(encode_cached(refuse, "e:1", TEXTS, cache.read, refuse_write), a)
    assert np.array_equal(encode_cached(refuse, "e:2", TEXTS, cache.read, refuse_write), b)


def test_cache_file_is_safetensors_with_readable_labels(cache: FileCache) -> None:
    encoder = CountingEncoder()
    conditions = encode(encoder, TEXTS, cache)
    with safe_open(str(cache.path), "numpy") as file:
        labels = {name: json.loads(label) for name, label in file.metadata().items()}
        for text, condition_D in zip(TEXTS, conditions, strict=True):
            name = hashlib.sha256(f"counting:1\0{text}".encode()).hexdigest()
            assert labels[name] == {"encoder": "counting:1", "text": text}
            assert np.array_equal(file.get_tensor(name), condition_D)
        assert len(file.keys()) == len(TEXTS)


def label(text: str = "a dog", encoder_id: str = "counting:1") -> dict[str, str]:
    about = {"encoder": encoder_id, "text": text}
    return {name_entry(encoder_id, text): json.dumps(about)}


def entry(values: np.ndarray) -> dict[str, np.ndarray]:
    return {name_entry("counting:1", "a dog"): values}


GOOD = np.full(CONDITION_SIZE, CONDITION_SIZE**-0.5, np.float32)
DAMAGED = {
    "empty": b"",
    "text": b"not a cache at all",
    "page": b"<html>503</html>" * 1000,
    "half": save(entry(GOOD), label())[:1000],
    "header cut": save(entry(GOOD), label())[:50],
    "huge header": b"\xff" * 8 + b"{}",
    "no labels": save(entry(GOOD)),
    "label of another text": save(entry(GOOD), label("rain")),
    "label of another encoder": save(
        entry(GOOD), {name_entry("counting:1", "a dog"): json.dumps({"encoder": "e", "text": "t"})}
    ),
    "label not JSON": save(entry(GOOD), {name_entry("counting:1", "a dog"): "a dog"}),
    "label a list": save(entry(GOOD), {name_entry("counting:1", "a dog"): "[]"}),
    "short": save(entry(GOOD[:-1]), label()),
    "matrix": save(entry(GOOD[None]), label()),
    "float64": save(entry(GOOD.astype(np.float64)), label()),
    "float16": save(entry(GOOD.astype(np.float16)), label()),
    "not finite": save(entry(GOOD * np.float32("nan")), label()),
    "bfloat16": save(entry(GOOD.astype(np.float16)), label()).replace(b'"F16"', b'"BF16"'),
}


def test_unpack_reads_the_undamaged_form_of_the_damaged_caches() -> None:
    assert list(unpack(save(entry(GOOD), label()))) == list(entry(GOOD))


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_cache_is_replaced_with_a_warning(
    data: bytes, cache: FileCache, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write(data)
    encoder = CountingEncoder()
    with caplog.at_level(logging.WARNING):
        conditions = encode(encoder, ["a dog"], cache)
    assert "damaged" in caplog.text
    assert np.array_equal(conditions, [encoder.draw("a dog")])
    caplog.clear()
    encode_cached(refuse, "counting:1", ["a dog"], cache.read, refuse_write)
    assert not caplog.records


def test_unpack_of_a_changed_header_byte_returns_no_wrong_condition(cache: FileCache) -> None:
    encoder = CountingEncoder()
    encode(encoder, ["a dog"], cache)
    data = cache.read()
    assert data is not None
    header_bytes = 8 + int.from_bytes(data[:8], "little")
    for position in range(header_bytes):
        for value in (0, 0x22, 0x5B, 0xFF):
            changed = bytearray(data)
            changed[position] = value
            found = unpack(bytes(changed))
            for name, (_, condition_D) in found.items():
                assert name == name_entry("counting:1", "a dog")
                assert np.array_equal(condition_D, encoder.draw("a dog"))


def test_encode_cached_refuses_an_encoder_of_another_id(cache: FileCache) -> None:
    encoder = CountingEncoder("e:2")
    with pytest.raises(EncoderError, match=r"'e:1' is expected, but 'e:2'"):
        encode_cached(encoder.load, "e:1", TEXTS, cache.read, cache.write)
    assert cache.read() is None


def test_encode_cached_refuses_conditions_of_another_width(cache: FileCache) -> None:
    class Narrow(CountingEncoder):
        def encode_texts(self, texts: list[str]) -> np.ndarray:
            return super().encode_texts(texts)[:, :128]

    with pytest.raises(EncoderError, match=r"\(3, 128\)"):
        encode(Narrow(), TEXTS, cache)


def test_encode_cached_of_no_texts_loads_no_encoder(cache: FileCache) -> None:
    conditions = encode_cached(refuse, "e:1", [], cache.read, refuse_write)
    assert conditions.shape == (0, CONDITION_SIZE)


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "conditions.safetensors")
    cache.write(b"old")
    with pytest.raises(TypeError):
        cache.write("not bytes")  # pyright: ignore[reportArgumentType]
    assert cache.read() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["conditions.safetensors"]


def test_unusable_cache_file_is_a_warning_and_the_conditions_are_computed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    (tmp_path / "conditions.safetensors").mkdir()
    for path in (tmp_path / "taken" / "c.safetensors", tmp_path / "conditions.safetensors"):
        caplog.clear()
        cache = FileCache(path)
        assert encode(CountingEncoder(), ["a dog"], cache).shape == (1, 512)
        assert any("cannot be written" in record.message for record in caplog.records)
