import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from jobs.calibrate import main as calibrate
from jobs.convert import main
from separator.encoders.mini import MiniEncoder, pack_mini, read_mini
from separator.model.checkpoint import compute_encoder_id, write_safetensors
from separator.model.download import hash_file
from separator.model.registry import BUNDLED
from separator.model.resunet import NetworkConfig, ResUNet
from separator.model.zero_shot_files import pack_detector, read_detector, read_separator
from tests.helpers import golden_zs
from tests.helpers.golden import make_small_net

ENCODER = {"text_branch.x": torch.ones(2, 3), "audio_branch.y": torch.zeros(4)}


@pytest.fixture
def src(tmp_path: Path) -> Path:
    net = ResUNet(NetworkConfig(widths=(4, 4, 8, 8, 8, 8)))
    state = {f"ss_model.{name}": tensor for name, tensor in net.state_dict().items()}
    state |= {f"query_encoder.model.{name}": tensor for name, tensor in ENCODER.items()}
    torch.save({"state_dict": state, "optimizer_states": [torch.zeros(10**6)]}, tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


def read_metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def list_names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_fp32_keeps_every_value(
    src: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dst = tmp_path / "b.safetensors"
    assert main([str(src), str(dst)]) == 0
    before, after = read_separator(src), read_separator(dst)
    assert after.sha256 == before.sha256
    assert after.encoder_id == compute_encoder_id(ENCODER)
    assert read_metadata(dst)["source_sha256"] == hash_file(src)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and max(map(len, lines)) <= 80
    assert lines[0].endswith("largest error 0.0e+00")
    assert lines[1] == f"weights sha256 {after.sha256}"


def test_bf16_halves_the_file(
    src: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "b.safetensors", tmp_path / "c.safetensors"
    assert main([str(src), str(first)]) == 0
    # From our own format, whose record of the encoder is handed on.
    assert main([str(first), str(second), "--dtype", "bf16"]) == 0
    assert second.stat().st_size < 0.6 * first.stat().st_size
    assert read_separator(second).encoder_id == compute_encoder_id(ENCODER)
    error = re.search(r"bf16, .*largest error (\S+)", capsys.readouterr().out)
    assert error is not None and 0 < float(error[1]) <= 2**-8


def test_the_official_file_fits_the_lines(
    official_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dst = tmp_path / "b.safetensors"
    assert main([str(official_checkpoint), str(dst), "--dtype", "bf16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "bf16, 26,447,941 parameters" in lines[0] and max(map(len, lines)) <= 80
    assert read_separator(dst).encoder_id is None


def test_nothing_is_overwritten_unasked(
    src: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dst = tmp_path / "b.safetensors"
    dst.write_bytes(b"mine")
    assert main([str(src), str(dst)]) == 2
    assert dst.read_bytes() == b"mine" and "--force" in capsys.readouterr().err
    assert main([str(src), str(dst), "--force"]) == 0
    # Onto itself as well: the weights are in memory before the file is replaced.
    assert main([str(dst), str(dst), "--force"]) == 0
    assert read_separator(dst).sha256 == read_separator(src).sha256


@pytest.mark.parametrize(
    ("src_name", "dst_name", "message"),
    [
        ("a.ckpt", "b.ckpt", "must end in .safetensors"),
        ("a.ckpt", "absent/b.safetensors", "no such folder"),
        ("a.ckpt", "folder.safetensors", "is a folder"),
        ("absent.ckpt", "b.safetensors", "no such file"),
        ("text.ckpt", "b.safetensors", "begins with"),
        ("s3://bucket/a.ckpt", "b.safetensors", "s3://"),
        ("audiosepp", "b.safetensors", "did you mean"),
    ],
)
def test_bad_requests_are_one_line_and_write_nothing(
    src: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    src_name: str,
    dst_name: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "cache"))
    Path("text.ckpt").write_text("hello")
    Path("folder.safetensors").mkdir()
    before = list_names(tmp_path)
    assert main([src_name, dst_name]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err
    assert list_names(tmp_path) == before


def test_bad_options_exit_2() -> None:
    for argv in ([], ["a"], ["a", "b.safetensors", "--dtype", "int8"]):
        assert main(argv) == 2


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_detector_comes_along(dtype, tmp_path):
    detector = golden_zs.make_small_detector(num_classes=2)
    src, dst = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    packed = pack_detector(detector, ["a", "b"])
    write_safetensors(golden_zs.make_small_unet(), src, None, encoder=packed)
    assert main([str(src), str(dst), "--dtype", dtype]) == 0
    net, labels = read_detector(dst)
    assert labels == ["a", "b"]
    for one, other in zip(net.parameters(), detector.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2 if dtype == "bf16" else 0, atol=1e-30)
    # A rounded detector makes other embeddings, and so has another id.
    assert (read_separator(dst).encoder_id == packed[1]["encoder"]) == (dtype == "fp32")


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_mini_encoder_comes_along(dtype, tmp_path):
    encoder = MiniEncoder(["rain"]).eval()
    src, dst = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    write_safetensors(make_small_net(), src, encoder.encoder_id, encoder=pack_mini(encoder))
    assert main([str(src), str(dst), "--dtype", dtype]) == 0
    found = read_mini(dst)
    assert found.encoder_id == read_separator(dst).encoder_id
    assert (found.encoder_id == encoder.encoder_id) == (dtype == "fp32")
    cosine = (found.encode_texts(["rain"]) * encoder.encode_texts(["rain"])).sum()
    assert cosine == pytest.approx(1, abs=1e-3)
    # Rounded once, nothing is lost any more.
    again = tmp_path / "c.safetensors"
    assert main([str(dst), str(again), "--dtype", dtype]) == 0
    assert read_mini(again).encoder_id == found.encoder_id


def test_the_line_of_calibrate_comes_along(tmp_path):
    assert main([str(BUNDLED), str(tmp_path / "b.safetensors")]) == 0
    wanted = read_metadata(BUNDLED)["calibration"]
    assert read_metadata(tmp_path / "b.safetensors")["calibration"] == wanted


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("there.safetensors", "exists; --force overwrites it"),
        ("x.txt", "must end in .safetensors"),
        ("gone/x.safetensors", "gone: no such folder"),
    ],
)
def test_calibrate_refuses_what_it_cannot_write_before_it_listens(out, message, tmp_path, capsys):
    (tmp_path / "there.safetensors").write_text("precious")
    assert calibrate(["mini", str(tmp_path / out)]) == 2
    err = capsys.readouterr().err
    assert message in err and "listening" not in err
    assert (tmp_path / "there.safetensors").read_text() == "precious"
