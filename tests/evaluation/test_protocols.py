"""Each protocol on a small set in its official layout gives what plain numpy gives."""

import sys
from pathlib import Path

import numpy as np
import pytest

from separator.api import Separator, load_model
from separator.config_file import read_settings
from separator.errors import EncoderMissing
from separator.evaluation.protocol import ProtocolSettings
from separator.evaluation.protocol_files import read_protocol as read_protocol_file
from separator.evaluation.protocol_queries import make_tasks
from separator.evaluation.protocol_scores import ProtocolScorer, make_scorer
from separator.evaluation.protocol_tables import check_rows, compute_figures, lay_out_protocol
from separator.evaluation.run_protocol import add_figures, hash_published, list_cases
from separator.model.download import hash_file
from separator.model.registry import BUNDLED
from separator.storage import Storage
from tests.helpers.outside import install_bandpass
from tests.helpers.plain_protocols import HEARD, compute_expected
from tests.helpers.protocols import CONFIGS, WRITERS

# Both sides resample, each with a filter of its own.
WITHIN = {"voicebank-demand": 0.05}


@pytest.fixture(scope="module")
def mini() -> Separator:
    return load_model("mini", device="cpu", precision="fp32")


def read_protocol(name: str, folder: Path, *more: str) -> ProtocolSettings:
    WRITERS[name](folder / "data", folder / "lists")
    given = ["model=mini", f"data={folder / 'data'}", f"lists={folder / 'lists'}"]
    return read_settings(ProtocolSettings, CONFIGS / f"{name}.yaml", [*given, *more])


def score_all(settings: ProtocolSettings, model: Separator) -> list[dict]:
    cases, _ = list_cases(settings)
    query = settings.chosen_queries[0]
    tasks = make_tasks(model, settings.protocol.queries[query], query, cases, 0)
    scorer = ProtocolScorer(model, settings.protocol, settings.more_metrics, Storage())
    return [{"model": "mini", **row} for row in scorer(tasks)]


@pytest.mark.parametrize("name", HEARD)
def test_protocol_gives_what_plain_numpy_gives(name, mini, tmp_path):
    settings = read_protocol(name, tmp_path)
    rows = score_all(settings, mini)
    expected = compute_expected(name, mini, tmp_path / "data", tmp_path / "lists")
    figures = compute_figures(settings.protocol, rows)
    for figure, own in zip(settings.protocol.figures, figures, strict=True):
        close = pytest.approx(expected[figure.name], abs=WITHIN.get(name, 2e-3))
        assert own == close, figure.name
    checks = check_rows(settings.protocol, rows, {}, True)
    assert len(checks) >= 3 and not [line for line in checks if "DEVIATION" in line]


def test_voicebank_demand_scores_speech_at_16_khz_beside_the_noisy_input(mini, tmp_path):
    rows = score_all(read_protocol("voicebank-demand", tmp_path), mini)
    assert [row["asked"] for row in rows] == ["Speech", "Speech"]
    for row in rows:
        assert 1 <= row["pesq"] <= 4.65 and 1 <= row["csig"] <= 5 and -10 <= row["ssnr_db"] <= 35
        assert 1 < row["mixture_pesq"] < 2.5
    assert rows[0]["mixture_sdri_db"] == 0


def test_lists_that_are_not_the_official_ones_are_told(tmp_path):
    _, notes = list_cases(read_protocol("audiocaps", tmp_path))
    assert notes == [
        "audiocaps_eval.csv is not the official list (3 rows, 4820 there)",
        "3 cases; the official set has 4820",
    ]


def test_own_table_adds_queries_to_some_of_the_rows(tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("idx,paraphrase,sound\n2,some hound,segment-0.wav;segment-1.wav\n")
    settings = read_protocol("audiocaps", tmp_path, f"also={own}", "query=paraphrase,sound")
    cases, notes = list_cases(settings)
    assert [case.columns["paraphrase"] for case in cases] == ["some hound"]
    assert [len(case.example_files["sound"]) for case in cases] == [2]
    assert f"only the 1 cases of {own}" in notes


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_is_read_and_its_published_rows_fit(path):
    given = {"held-out": ["detector=b"], "musdb18": []}.get(path.stem, ["lists=y"])
    run = read_protocol_file(path, ["model=a", "data=x", *given])
    settings = run.args[-1]  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(settings, ProtocolSettings):
        names = [figure.name for figure in settings.protocol.figures]
        for table in settings.protocol.published:
            for row in table.arrange(names).rows:
                assert len(row.figures) == len(names) and not np.isnan(row.figures).all()


def test_published_rows_fit_a_table_with_more_metrics(tmp_path):
    settings = read_protocol("dcase2024-task9", tmp_path, "more=clap")
    protocol = add_figures(settings)
    names = [figure.name for figure in protocol.figures]
    assert names == ["SDR", "SDRi", "SI-SDR", "CLAPScore", "CLAPScore_A"]
    figures = protocol.published[0].arrange(names).rows[0].figures
    assert figures[:3] == (5.708, 5.673, 3.862) and np.isnan(figures[3:]).all()


def test_images_of_clipsep_are_the_three_frames_in_the_middle(tmp_path):
    settings = read_protocol("clipsep-music", tmp_path, "query=image")
    frames = {0: (0, 1, 2), 1: (3, 4, 5)}  # of videos of 2 and 9 frames
    paths = {i: [f"data/set/frames/{i}/{n:06}.jpg" for n in three] for i, three in frames.items()}
    for each in (*paths[0], *paths[1]):
        (tmp_path / "data" / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / each).write_bytes(b"jpeg")
    cases, _ = list_cases(settings)
    for i, case in enumerate(cases):
        found = [entry.uri for entry in case.example_files["image"]]
        assert found == [str(tmp_path / "data" / each) for each in paths[i]]


def test_the_table_tells_which_figures_are_of_fewer_cases(mini, tmp_path):
    """A stem or a target that is silent has none."""
    settings = read_protocol("voicebank-demand", tmp_path)
    rows = score_all(settings, mini)
    asked = [("mini", settings.chosen_queries[0])]
    whole = lay_out_protocol(settings.protocol, rows, asked, [])
    rows[0]["pesq"] = float("nan")
    table = lay_out_protocol(settings.protocol, rows, asked, ["of others"])
    assert "the others hold silence" not in whole
    assert (
        f"note: of others\nnote: mini {settings.chosen_queries[0]}: PESQ of 1 of 2 cases; the"
        in table
    )


@pytest.mark.parametrize("is_released", [True, False])
def test_released_weights_are_known_by_the_hash_of_their_file(is_released, mini, tmp_path):
    released = hash_file(BUNDLED) if is_released else mini.checkpoint_sha256
    settings = read_protocol("audiocaps", tmp_path, f"protocol.check.model_sha256={released}")
    rows = score_all(settings, mini)
    checks = check_rows(settings.protocol, rows, {"mini": hash_published(settings, "mini")}, True)
    found = [line for line in checks if "released weights have the published" in line]
    assert len(found) == (2 if is_released else 0)
    assert all("DEVIATION" in line and "against 8.2" in line for line in found[:1])


def test_a_model_of_a_package_has_no_file_to_know_it_by(tmp_path, monkeypatch):
    (tmp_path / "package").mkdir()
    monkeypatch.syspath_prepend(str(install_bandpass(tmp_path / "package")))
    settings = read_protocol("audiocaps", tmp_path)
    assert settings.protocol.check.model_sha256 and hash_published(settings, "band-pass") == ""
    more = read_protocol("audiocaps", tmp_path, "more=clap")
    with pytest.raises(EncoderMissing, match=r"^band-pass has no encoder of texts and sounds"):
        make_scorer(more, "band-pass")
    sys.modules.pop("bandpass", None)


def test_released_weights_are_compared_by_the_first_query_alone(mini, tmp_path):
    settings = read_protocol("audiocaps", tmp_path, "query=label")
    rows = score_all(settings, mini)
    hashes = {"mini": settings.protocol.check.model_sha256}
    checks = check_rows(settings.protocol, rows, hashes, True)
    assert not [line for line in checks if "released weights" in line]
