"""What a protocol leaves: with all units done before, so that no Ray is needed."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from separator.api import load_model
from separator.config_file import read_settings
from separator.encoders.clip import read_clip
from separator.errors import EncoderMissing
from separator.evaluation.over_units import name_part
from separator.evaluation.protocol import ProtocolSettings
from separator.evaluation.protocol_queries import make_tasks, make_units
from separator.evaluation.protocol_scores import ProtocolScorer, make_scorer
from separator.evaluation.run_protocol import list_cases, load_one, run_protocol
from separator.model.checkpoint import write_safetensors
from separator.model.resunet import NetworkConfig, ResUNet
from tests.helpers.protocols import CONFIGS, WRITERS, write_csv
from tests.helpers.tiny_clip import write_openai


def do_units(settings: ProtocolSettings, names: dict[str, list[str]]) -> None:
    """Score all units in this process, as an actor does, and keep their parts."""
    cases, _ = list_cases(settings)
    cases = cases[: settings.limit or None]
    folder = Path(settings.output) / "parts"
    folder.mkdir(parents=True)
    for name, queries in names.items():
        model = load_one(settings, name)
        scorer = make_scorer(settings, name)
        for query in queries:
            source = settings.protocol.queries[query]
            tasks = make_tasks(model, source, query, cases, settings.pictures)
            identity = [model.checkpoint_sha256, model.encoder_id, "fp32"]
            for unit in make_units(tasks, settings.protocol, settings.more_metrics, identity):
                name_part(folder, unit).write_text(json.dumps(scorer(unit.work)))


def test_protocol_leaves_tables_rows_classes_and_pictures(tmp_path):
    WRITERS["esc50"](tmp_path / "data", tmp_path / "lists")
    words = ["model=mini", f"data={tmp_path / 'data'}", f"lists={tmp_path / 'lists'}",
             f"output={tmp_path / 'out'}", "pictures=2", "limit=2", "device=cpu"]  # fmt: skip
    settings = read_settings(ProtocolSettings, CONFIGS / "esc50.yaml", words)
    do_units(settings, {"mini": ["label"]})
    said: list[str] = []
    table = run_protocol(settings, said.append)
    assert "1 of 1 are there already" in said
    rows = pd.read_parquet(tmp_path / "out/scores.parquet")
    assert list(rows["asked"]) == ["dog", "chirping birds"] and "picture" not in rows
    (line,) = [line for line in table.splitlines() if line.startswith("mini ")]
    shown = [float(word) for word in line.split()[1:]]
    expected = rows[["sdri_db", "si_sdr_db", "sdr_db"]].mean()
    np.testing.assert_allclose(shown, expected, atol=0.0051)
    assert "published: AudioSep's README" in table and "10.04" in table
    assert "published (as others' papers quote them): DP-LASS" in table
    assert "note: esc50_eval.csv is not the official list (3 rows, 2000 there)" in table
    assert "not the whole set: the first 2 of 3 cases" in table
    assert "the mixture as the estimate gains 0 dB: pass" in table
    assert (tmp_path / "out/table.txt").read_text() == f"{table}\n"
    classes = pd.read_parquet(tmp_path / "out/classes.parquet")
    assert list(classes["kind"]) == ["chirping birds", "dog"]
    assert classes["SDRi"].iloc[1] == pytest.approx(rows["sdri_db"].iloc[0])
    pictures = sorted((tmp_path / "out/pictures").iterdir())
    assert [path.name for path in pictures] == ["0-label-00000.png", "0-label-00001.png"]
    for path in (*pictures, tmp_path / "out/scores.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_sets_on_s3_give_the_rows_of_a_folder_also_by_their_sounds(moto_bucket, tmp_path):
    """Their credentials are only in `storage.*`: lists, sounds of cases, and example sounds."""
    WRITERS["esc50"](tmp_path / "data", tmp_path / "lists")
    write_csv(tmp_path / "own.csv", [["idx", "sound"], [0, "segment-0.wav"]])
    for path in tmp_path.rglob("*.*"):
        moto_bucket.storage.upload(path, f"{moto_bucket.uri}/{path.relative_to(tmp_path)}")
    rows = []
    for number, root in enumerate((tmp_path, moto_bucket.uri)):
        words = ["model=mini", f"data={root}/data", f"lists={root}/lists", f"also={root}/own.csv",
                 f"output={tmp_path / str(number)}", "query=sound", "device=cpu",
                 f"storage.endpoint_url={moto_bucket.settings.endpoint_url}"]  # fmt: skip
        settings = read_settings(ProtocolSettings, CONFIGS / "esc50.yaml", words)
        do_units(settings, {"mini": ["sound"]})
        run_protocol(settings, lambda _: None)
        rows.append(pd.read_parquet(tmp_path / str(number) / "scores.parquet"))
    assert rows[1]["asked"][0] == f"{moto_bucket.uri}/data/segment-0.wav"
    pd.testing.assert_frame_equal(*(each.drop(columns="asked") for each in rows))


@pytest.mark.slow
def test_bundled_asks_each_model_as_it_can_be_asked(tmp_path):
    words = [f"output={tmp_path / 'out'}", "limit=1", "protocol.generated.seconds=1",
             "query=caption,sound", "device=cpu"]  # fmt: skip
    settings = read_settings(ProtocolSettings, CONFIGS / "bundled.yaml", words)
    do_units(settings, {"mini": ["caption", "sound"], "mini-zeroshot": ["sound"]})
    said: list[str] = []
    table = run_protocol(settings, said.append)
    assert "mini-zeroshot takes no texts: not asked by caption" in said
    for begin in ("mini caption", "mini sound", "mini-zeroshot sound", "nothing done"):
        assert len([line for line in table.splitlines() if line.startswith(begin)]) == 1
    assert len(pd.read_parquet(tmp_path / "out/scores.parquet")) == 3


def write_clip_model(folder: Path) -> Path:
    """Write a small separator that takes texts and images, beside the CLIP that it names."""
    encoder = read_clip(write_openai(folder / "home"))
    net = ResUNet(NetworkConfig(widths=(4, 4, 4, 4, 4, 4), n_fft=256, hop=128))
    write_safetensors(net, folder / "seeing.safetensors", encoder.encoder_id)
    return folder / "seeing.safetensors"


@pytest.mark.slow
@pytest.mark.check
def test_one_table_compares_words_sounds_and_images_for_models_that_take_them(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    seeing = write_clip_model(tmp_path)
    WRITERS["audiocaps"](tmp_path / "data", tmp_path / "lists")
    colours = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), np.uint8)
    for number, pixels in enumerate(colours):
        Image.fromarray(pixels).save(tmp_path / f"data/{number}.png")
    sounds = "segment-0.wav;segment-1.wav"
    own = [[i, f"some sound {i}", sounds, f"{i}.png"] for i in (0, 2)]
    rows = [["idx", "paraphrase", "sound", "image"], *own]
    words = [f"model=[mini,{seeing}]", f"data={tmp_path / 'data'}", f"lists={tmp_path / 'lists'}",
             f"also={write_csv(tmp_path / 'own.csv', rows)}", f"output={tmp_path / 'out'}",
             "query=label,caption,paraphrase,sound,image", "device=cpu"]  # fmt: skip
    settings = read_settings(ProtocolSettings, CONFIGS / "audiocaps.yaml", words)
    texts = ["label", "caption", "paraphrase"]
    asked = {"mini": [*texts, "sound"], str(seeing): [*texts, "image"]}
    do_units(settings, asked)
    said: list[str] = []
    table = run_protocol(settings, said.append)
    assert "mini takes no images: not asked by image" in said
    assert f"{seeing} takes no example sounds: not asked by sound" in said
    found = pd.read_parquet(tmp_path / "out/scores.parquet")
    for name, queries in asked.items():
        for query in queries:
            own = found[(found["model"] == name) & (found["query"] == query)]
            assert len(own) == 2
            label = f"{name} {query}"[-31:]
            (line,) = [line for line in table.splitlines() if line.startswith(f"{label} ")]
            shown = float(line[len(label) :].split()[0])
            assert shown == pytest.approx(own["sdri_db"].mean(), abs=0.0051)
    assert list(found[found["query"] == "image"]["asked"].str[-5:]) == ["0.png", "2.png"]
    picture = found[found["query"] == "image"]["sdr_db"].to_numpy()
    model = load_model(seeing, device="cpu", precision="fp32")
    for number, value in zip((0, 2), picture, strict=True):
        paths = [tmp_path / f"data/{part}-{number}.wav" for part in ("mixture", "segment")]
        mixture, target = (soundfile.read(path, dtype="float32")[0] for path in paths)
        query = {"name": "x", "image": str(tmp_path / f"data/{number}.png")}
        stem = model.separate(mixture[None], 32_000, [query])[0, 0]
        expected = 10 * np.log10(np.mean(target**2) / np.mean((target - stem) ** 2))
        assert value == pytest.approx(expected, abs=1e-3)


def test_more_metrics_are_columns_of_the_table_and_embeddings_are_not_kept(tmp_path):
    WRITERS["esc50"](tmp_path / "data", tmp_path / "lists")
    words = ["model=mini", f"data={tmp_path / 'data'}", f"lists={tmp_path / 'lists'}",
             f"output={tmp_path / 'out'}", "more=bss,clap,fad", "device=cpu"]  # fmt: skip
    settings = read_settings(ProtocolSettings, CONFIGS / "esc50.yaml", words)
    do_units(settings, {"mini": ["label"]})
    lines = run_protocol(settings, print).splitlines()
    header = ["SDRi", "SI-SDR", "SDR", "SDR", "(BSS)", "SIR", "SAR", "CLAPScore", "CLAPScore_A"]
    assert [*header, "FAD"] in [line.split() for line in lines]
    rows = pd.read_parquet(tmp_path / "out/scores.parquet")
    assert not [name for name in rows.columns if "embedding" in name]
    (line,) = [line for line in lines if line.startswith("mini ")]
    shown = [float(word) for word in line.split()[1:]]
    means = rows[["bss_sdr_db", "bss_sir_db", "bss_sar_db", "clap_score", "clap_score_a"]].mean()
    np.testing.assert_allclose(shown[3:8], means, atol=0.0051)
    (mixture,) = [line for line in lines if line.startswith("nothing done")]
    assert shown[8] > 0 and float(mixture.split()[-1]) > 0


def test_model_without_an_encoder_of_sounds_needs_a_judge(tmp_path):
    WRITERS["esc50"](tmp_path / "data", tmp_path / "lists")
    words = ["model=mini-zeroshot", f"data={tmp_path / 'data'}", f"lists={tmp_path / 'lists'}",
             f"output={tmp_path / 'out'}", "more=fad", "device=cpu"]  # fmt: skip
    settings = read_settings(ProtocolSettings, CONFIGS / "esc50.yaml", words)
    with pytest.raises(EncoderMissing, match="which clap and fad need; name a model that has one"):
        make_scorer(settings, "mini-zeroshot")
    judged = read_settings(ProtocolSettings, CONFIGS / "esc50.yaml", [*words, "judge=mini"])
    scorer = make_scorer(judged, "mini-zeroshot")
    assert isinstance(scorer, ProtocolScorer) and scorer.meter and not scorer.has_own_meter
