"""Models that separate by example sounds: conditions and magnitudes are those of their parts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from separator.api import load_htsat
from separator.encoders.latent import encode_sounds
from separator.encoders.mini import read_mini
from separator.errors import QueryError, RequestError
from separator.evaluation.benchmark import BenchmarkSettings
from separator.evaluation.by_examples import (
    EngineByExamples,
    encode,
    encode_sound,
    load_by_examples,
    transform,
)
from separator.model.engine import Engine
from separator.model.registry import BUNDLED
from tests.helpers.benchmarks import write_models
from tests.helpers.checkpoints import SMALL, make_net
from tests.helpers.golden_zs import make_small_detector, make_small_unet, write_detector

HZ = 32_000


def make_noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((1, num_samples)).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[str, str]:
    models, detector = write_models(tmp_path_factory.mktemp("models"))
    return str(models[0]), str(detector)


@pytest.fixture(scope="module")
def zero_shot(files) -> EngineByExamples:
    model, _ = load_by_examples(*files, "cpu", "fp32")
    return model


def test_condition_of_sounds_is_that_of_the_latent_processor(zero_shot, files):
    sounds = [(make_noise(5 * HZ), HZ), (make_noise(3 * HZ, 1).repeat(2, 0), HZ)]
    quiet = (1e-4 * make_noise(2 * HZ), HZ)
    expected = encode_sounds(load_htsat(files[1]), sounds).conditions[0]
    np.testing.assert_allclose(encode(zero_shot, [*sounds, quiet]), expected, rtol=1e-5, atol=1e-6)
    assert encode_sound(zero_shot, *quiet) is None
    with pytest.raises(QueryError, match="all example sounds are silent"):
        encode(zero_shot, [quiet])


def test_magnitudes_are_those_of_the_official_network(zero_shot):
    net = make_small_unet()
    pieces_PT = np.concatenate([make_noise(HZ, seed) for seed in range(2)])
    conditions_QD = np.random.default_rng(5).standard_normal((2, 64))
    found = zero_shot.estimate_magnitudes(pieces_PT, conditions_QD)
    mixture_PNF = torch.from_numpy(np.abs(transform(pieces_PT)))
    for q, condition_D in enumerate(torch.from_numpy(conditions_QD).float()):
        expected = net(mixture_PNF, condition_D.expand(2, -1)) * mixture_PNF
        np.testing.assert_allclose(found[q], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_magnitudes_of_a_network_with_another_spectrum_are_those_of_its_stems():
    net = make_net(replace(SMALL, n_fft=512, hop=160))
    model = EngineByExamples(Engine(net, "cpu", "fp32"), read_mini(BUNDLED))
    pieces_PT, conditions_QD = make_noise(HZ // 2), np.eye(512)[:2]
    stems_QPT = model.separate(pieces_PT, HZ, conditions_QD)
    found = model.estimate_magnitudes(pieces_PT, conditions_QD)
    np.testing.assert_allclose(found, np.abs(transform(stems_QPT)), rtol=1e-5, atol=1e-6)


def test_mini_hears_examples_by_its_own_encoder():
    model, detector = load_by_examples("mini", "", "cpu", "fp32")
    sound = make_noise(5 * HZ)
    condition_D = encode(model, [(sound, HZ), (make_noise(2 * HZ, 1), HZ)])
    assert condition_D.shape == (512,) and np.linalg.norm(condition_D) == pytest.approx(1)
    pieces = [
        read_mini(BUNDLED).eval().encode_audio(p, HZ) for p in np.split(sound[:, : 4 * HZ], 2, 1)
    ]
    mean_D = np.mean(pieces, 0)
    np.testing.assert_allclose(
        encode(model, [(sound, HZ)]), mean_D / np.linalg.norm(mean_D), atol=1e-5
    )
    stems = model.separate(sound.repeat(2, 0), HZ, condition_D[None])
    assert stems.shape == (1, 2, 5 * HZ) and detector is None


def test_a_separator_without_its_detector_is_refused(files, tmp_path):
    with pytest.raises(RequestError, match=r"no encoder of its own: name its detector=\.\.\."):
        load_by_examples(files[0], "", "cpu", "fp32")
    other = write_detector(tmp_path / "other.ckpt", make_small_detector(width=4))
    with pytest.raises(
        RequestError, match="takes conditions of 64 values and the detector makes 32"
    ):
        load_by_examples(files[0], str(other), "cpu", "fp32")


def test_a_separator_that_names_its_detector_takes_no_other_one(tmp_path):
    """Another one of the same size may find classes; its embedding means something else."""
    other = write_detector(tmp_path / "other.ckpt", make_small_detector(width=24))
    model, found = load_by_examples("mini-zeroshot", str(other), "cpu", "fp32")
    assert found is not None and found.latent_size == 192
    piece_1T = torch.from_numpy(make_noise(2 * HZ))
    own = load_htsat("mini-zeroshot").infer(piece_1T).latent
    np.testing.assert_allclose(model.embed(piece_1T), own.numpy(), rtol=1e-5, atol=1e-6)


def test_models_on_s3_are_fetched_with_the_settings_of_the_benchmark(
    files, moto_bucket, tmp_path, monkeypatch
):
    """Their store is only in `storage.*`, and other machines have fetched nothing yet."""
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path))
    uris = [f"{moto_bucket.uri}/{Path(file).name}" for file in files]
    for file, uri in zip(files, uris, strict=True):
        moto_bucket.storage.upload(Path(file), uri)
    settings = BenchmarkSettings([uris[0]], uris[1], device="cpu", storage=moto_bucket.settings)
    _, detector = load_by_examples(*settings.name_files(uris[0]))
    assert detector is not None and detector.latent_size == 64
