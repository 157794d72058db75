"""Test that each kind of damage is a typed error, and that no code in a file runs."""

import io
import os
import pickle
import random
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from separator.errors import (
    CheckpointError,
    CheckpointMismatch,
    CheckpointMissing,
    CheckpointTruncated,
    CheckpointUnsafe,
    ChecksumMismatch,
    SeparatorError,
)
from separator.model.checkpoint import (
    hash_weights,
    read_encoder_state,
    write_safetensors,
)
from separator.model.resunet import ResUNet
from separator.model.zero_shot_files import read_separator
from tests.helpers.checkpoints import make_net, write_lightning


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_read_separator_of_cut_file_raises_truncated(
    files: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    whole = files[kind].read_bytes()
    cuts = {0, 1, 3, 7, 8, 9, 40, 300, 3000, *range(0, len(whole), len(whole) // 12)}
    # Also inside the names that a pickle imports: a cut name is no attempt to run code.
    cuts |= {whole.find(name) + 5 for name in (b"torch._utils", b"_rebuild_tensor_v2")} - {4}
    for cut in sorted(cuts | {len(whole) - n for n in (1, 2, 10, 22, 100, 5000)}):
        (tmp_path / "cut").write_bytes(whole[:cut])
        with pytest.raises(CheckpointTruncated) as caught:
            read_separator(tmp_path / "cut")
        assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_read_separator_of_flipped_bytes_raises_typed_error(
    files: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    whole, rng = files[kind].read_bytes(), random.Random(3)
    outcomes = set()
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(4):
            # The beginning holds the header or the pickle's instructions.
            damaged[rng.randrange(min(len(whole), 30_000))] = rng.randrange(256)
        (tmp_path / "x").write_bytes(damaged)
        try:
            read_separator(tmp_path / "x")
        except SeparatorError as error:
            outcomes.add(type(error))
    assert outcomes & {CheckpointTruncated, CheckpointMismatch}


def test_read_separator_detects_changed_weight(files: dict[str, Path], tmp_path: Path) -> None:
    damaged = bytearray(files["safetensors"].read_bytes())
    damaged[-1000] ^= 1
    (tmp_path / "x").write_bytes(damaged)
    with pytest.raises(ChecksumMismatch, match="hash to"):
        read_separator(tmp_path / "x")


class RunsCode:
    def __init__(self, marker: Path) -> None:
        self.command = f"touch {marker}"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("where", ["state_dict", "epoch", "alone"])
@pytest.mark.parametrize("container", ["zip", "legacy", "pickle2", "pickle4", "zip4"])
def test_read_separator_refuses_code_and_does_not_run_it(
    tmp_path: Path, container: str, where: str
) -> None:
    marker, path = tmp_path / "ran", tmp_path / "x.ckpt"
    evil = RunsCode(marker)
    content = evil if where == "alone" else {"state_dict": {"base.x": [1.0]}, where: evil}
    if container.startswith("pickle"):
        path.write_bytes(pickle.dumps(content, protocol=int(container[-1])))
    else:
        torch.save(
            content,
            path,
            _use_new_zipfile_serialization=container != "legacy",
            pickle_protocol=4 if container == "zip4" else 2,
        )
    for read in (read_separator, read_encoder_state):
        with pytest.raises(CheckpointUnsafe, match=r"posix\.system; .*the state dict alone"):
            read(path)
    assert not marker.exists()
    # Loaded without a check, the same file runs its code, so the test can fail.
    if container == "pickle4":
        pickle.loads(path.read_bytes())
        assert marker.exists()


def zip_of_text() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/readme.txt", "hello" * 100)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:f8cda0\nsize 1264844076\n",
        b"<!doctype html><title>404</title>",
        random.Random(1).randbytes(5000),
        b"\x80" + random.Random(2).randbytes(5000),
        b"\xff" * 8 + b"{" + b"x" * 100,
        zip_of_text(),
    ],
    ids=["empty", "lfs", "html", "random", "pickle", "header", "zip"],
)
def test_read_separator_of_other_file_raises_truncated(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(CheckpointTruncated, match=r"x\.ckpt"):
        read_separator(tmp_path / "x.ckpt")


def test_read_separator_of_absent_file_raises_missing(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.ckpt", tmp_path):
        with pytest.raises(CheckpointMissing):
            read_separator(path)


def spoil(state: dict[str, torch.Tensor], how: str) -> None:
    first = "base.bn0.weight"
    if how == "missing":
        del state[first], state["film.conv_block7a->conv_block1->beta1.bias"]
    elif how == "unexpected":
        state["base.encoder_block9.weight"] = torch.ones(2)
    elif how == "misshaped":
        state["base.pre_conv.weight"] = torch.ones(4, 2, 1, 1)
    elif how == "int":
        state[first] = state[first].int()
    elif how == "sparse":
        state["base.after_conv.bias"] = torch.zeros(3).to_sparse()
    elif how == "bins":
        state[first] = torch.ones(1000)
    elif how == "other":
        state.clear()
        state["layer1.weight"] = torch.ones(2)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", r"2 missing \(first: base\.bn0\.weight\)"),
        ("unexpected", r"1 unexpected \(first: base\.encoder_block9\.weight\)"),
        ("misshaped", r"1 misshaped \(first: base\.pre_conv\.weight float\[4, 2, 1, 1\] for"),
        ("int", r"1 misshaped \(first: base\.bn0\.weight int\[1025\] for float\[1025\]"),
        ("sparse", r"1 missing \(first: base\.after_conv\.bias\)"),
        ("bins", r"n_fft=1998"),
        ("other", r"holds no separator.*layer1\.weight"),
    ],
)
def test_read_separator_describes_mismatch(
    tmp_path: Path, net: ResUNet, how: str, message: str
) -> None:
    state = dict(net.state_dict())
    spoil(state, how)
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointMismatch, match=message):
        read_separator(tmp_path / "x.ckpt")


@pytest.mark.parametrize("content", [[1, 2], torch.ones(3), {}, {1: 2}, {"state_dict": 3}])
def test_read_separator_without_state_dict_raises_mismatch(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointMismatch):
        read_separator(tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"format": "separator/2"}, CheckpointMismatch),
        ({"config": "nonsense"}, CheckpointMismatch),
        ({"config": "[1]"}, CheckpointMismatch),
        ({"config": '{"hop": "x"}'}, CheckpointMismatch),
        ({"config": '{"hop": 0}'}, CheckpointMismatch),
        ({"sha256": "0" * 64}, ChecksumMismatch),
        ({"sha256": None}, ChecksumMismatch),
    ],
)
def test_read_separator_checks_metadata(
    tmp_path: Path, net: ResUNet, change: dict[str, str | None], error: type[SeparatorError]
) -> None:
    good = {"format": "separator/1", "config": "{}", "sha256": hash_weights(net.state_dict())}
    path = tmp_path / "x.safetensors"
    save_file(net.state_dict(), path, good)
    assert read_separator(path).sha256 == good["sha256"]
    bad = {k: v for k, v in (good | change).items() if v is not None}
    save_file(net.state_dict(), path, bad)
    with pytest.raises(error):
        read_separator(path)


@pytest.mark.parametrize(
    "config",
    [
        '{"hop": 1}',
        '{"hop": 320.5}',
        '{"hop": true}',
        '{"hop": Infinity}',
        '{"hop": 1e999}',
        '{"rate_hz": NaN}',
        '{"rate_hz": 1}',
        '{"rate_hz": 1000000000000}',
        f'{{"rate_hz": {"9" * 9_999}}}',
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
    ids=range(11),
)
def test_read_separator_refuses_senseless_settings_in_one_line(
    tmp_path: Path, net: ResUNet, config: str
) -> None:
    metadata = {"format": "separator/1", "config": config}
    save_file(net.state_dict(), tmp_path / "x", metadata)
    with pytest.raises(CheckpointMismatch) as caught:
        read_separator(tmp_path / "x")
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        b'{"__metadata__": {"format": ' + b"[" * 100_000,
        b'{"__metadata__": ' + b'{"a": ' * 100_000,
        b'{"x": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [1e99], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [9223372036854775807, 9], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 18446744073709551615]}}',
    ],
    ids=["brackets", "braces", "infinity", "float", "overflow", "offsets"],
)
def test_read_separator_of_hostile_header_raises_truncated(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "x").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 8)
    for read in (read_separator, read_encoder_state):
        with pytest.raises(CheckpointTruncated):
            read(tmp_path / "x")


def test_read_separator_does_not_unfold_repeated_values(tmp_path: Path, net: ResUNet) -> None:
    """A file of a few bytes must not claim gigabytes: one stored value, repeated by strides."""
    state = {name: torch.zeros(()).expand(t.shape) for name, t in net.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointMismatch, match=r"holds no separator|missing"):
        read_separator(tmp_path / "x.ckpt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_checkpoint_with_non_finite_weights_is_refused(tmp_path: Path, value: float) -> None:
    net = make_net()
    torch.nn.init.constant_(net.get_parameter("base.after_conv.bias")[1:2], value)
    write_lightning(net, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=r"1 tensors \(first: base\.after_conv\.bias\)") as e:
        read_separator(tmp_path / "x.ckpt")
    assert e.value.code == "bad_checkpoint"
    with pytest.raises(CheckpointError):
        write_safetensors(net, tmp_path / "x.safetensors", None)
    assert not (tmp_path / "x.safetensors").exists()
