"""Each protocol on a small set in its official layout gives what plain numpy gives."""

import csv
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separator.api import Separator, load_model
from separator.config_file import read_settings
from separator.errors import RequestError
from separator.evaluation.protocol import ProtocolSettings
from separator.evaluation.protocol_files import read_protocol as read_protocol_file
from separator.evaluation.protocol_queries import make_tasks
from separator.evaluation.protocol_scores import ProtocolScorer
from separator.evaluation.protocol_tables import check_rows, compute_figures
from separator.evaluation.run_protocol import list_cases
from separator.storage import Storage
from tests.helpers.protocols import CONFIGS, WRITERS

Heard = tuple[np.ndarray, np.ndarray, int, str, str]  # mixture, target, rate, query, class
PROMPTS = ("a photo of {}.", "a photo of the small {}.", "a photo of the small {}.",
           "a low resolution photo of a {}.", "a photo of many {}.")  # fmt: skip


@pytest.fixture(scope="module")
def mini() -> Separator:
    return load_model("mini", device="cpu", precision="fp32")


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]


def list_lines(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def hear_numbered(name: str, query: int, kind: int | None, data: Path, lists: Path):
    for row in list_lines(lists / f"{name}_eval.csv")[1:]:
        sounds = (read(data / f"{part}-{row[0]}.wav") for part in ("mixture", "segment"))
        yield *sounds, 32_000, row[query], row[kind] if kind else ""


def hear_vggsound(data: Path, lists: Path) -> Iterator[Heard]:
    for row in list_lines(lists / "vggsound_eval.csv")[1:]:
        yield read(data / row[1]), read(data / row[2]), 32_000, row[3], row[3]


def hear_audioset(data: Path, lists: Path) -> Iterator[Heard]:
    names = {row[0]: row[2] for row in list_lines(lists / "class_labels_indices.csv")[1:]}
    for folder in sorted(data.iterdir()):
        kind = folder.name.removeprefix("class_id=")
        for path in sorted(folder.glob("*mixture.wav"))[:10]:
            target = read(path.with_name(path.name.replace("mixture", "source")))
            yield read(path), target, 32_000, names[kind], kind


def hear_dcase(data: Path, lists: Path) -> Iterator[Heard]:
    for source, noise, snr, caption in list_lines(lists / "lass_synthetic_validation.csv")[1:]:
        target, noise_T = (read(data / f"{name}.wav") for name in (source, noise))
        gain = np.sqrt(np.mean(target**2) / 10 ** (int(snr) / 10) / np.mean(noise_T**2))
        mixture = target + gain * noise_T
        peak = np.abs(mixture).max()
        factor = 0.9 / peak if peak > 1 else 1.0
        yield (mixture * factor).astype("f4"), (target * factor).astype("f4"), 16_000, caption, ""


def hear_clipsep(own: str, noises: str, data: Path, lists: Path) -> Iterator[Heard]:
    def take(row: list[str]) -> np.ndarray:
        sound = read(data / row[0])
        if len(sound) < 65_535:
            sound = np.tile(sound, int(65_535 / len(sound)) + 1)
        center = int((int(row[2]) // 2 - 0.5) * 16_000)
        out = np.zeros(65_535, np.float32)
        for i in range(65_534):
            if 0 <= center - 32_767 + i < len(sound):
                out[i] = sound[center - 32_767 + i]
        return out / 2

    drawn = list_lines(lists / noises)
    for i, row in enumerate(list_lines(lists / own)):
        random.seed(i)
        target = take(row)
        noise = take(drawn[random.randint(0, len(drawn) - 1)])
        yield target + noise, target, 16_000, row[3], row[3]


HEARD = {
    "audiocaps": lambda d, n: hear_numbered("audiocaps", 1, None, d, n),
    "clotho": lambda d, n: hear_numbered("clotho", 1, None, d, n),
    "esc50": lambda d, n: hear_numbered("esc50", 1, 1, d, n),
    "music": lambda d, n: hear_numbered("music", 1, 1, d, n),
    "vggsound": hear_vggsound,
    "audioset": hear_audioset,
    "dcase2024-task9": hear_dcase,
    "clipsep-music": lambda d, n: hear_clipsep(
        "music-solo-test.csv", "vggsound-test-good-no-music.csv", d, n
    ),
}


def ratio_db(above: np.ndarray, below: np.ndarray) -> float:
    square = [max(float(np.mean(x.astype(np.float64) ** 2)), 1e-10) for x in (above, below)]
    return 10 * float(np.log10(square[0] / square[1]))


def compute_plain(stem: np.ndarray, target: np.ndarray, mixture: np.ndarray) -> dict[str, float]:
    sdr = ratio_db(target, target - stem)
    target64, stem64 = target.astype(np.float64), stem.astype(np.float64)
    scaled = target64 * (target64 @ stem64) / (target64 @ target64)
    return {"SDR": sdr, "SDRi": sdr - ratio_db(target, target - mixture),
            "SI-SDR": ratio_db(scaled, stem64 - scaled)}  # fmt: skip


def average(name: str, per_kind: dict[str, list[float]]) -> float:
    if name == "audioset":
        return float(np.mean([np.median(values) for values in per_kind.values()]))
    if name == "music":
        return float(np.mean([np.mean(values) for values in per_kind.values()]))
    return float(np.mean([value for values in per_kind.values() for value in values]))


def read_protocol(name: str, folder: Path, *more: str) -> ProtocolSettings:
    WRITERS[name](folder / "data", folder / "lists")
    given = ["model=mini", f"data={folder / 'data'}", f"lists={folder / 'lists'}"]
    return read_settings(ProtocolSettings, CONFIGS / f"{name}.yaml", [*given, *more])


def score_all(settings: ProtocolSettings, model: Separator) -> list[dict]:
    cases, _ = list_cases(settings)
    query = settings.asked[0]
    tasks = make_tasks(model, settings.protocol.queries[query], query, cases, 0)
    scorer = ProtocolScorer(model, settings.protocol, settings.more_metrics, Storage())
    return [{"model": "mini", **row} for row in scorer(tasks)]


@pytest.mark.parametrize("name", HEARD)
def test_protocol_gives_what_plain_numpy_gives(name, mini, tmp_path):
    settings = read_protocol(name, tmp_path)
    rows = score_all(settings, mini)
    expected: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    encode = mini.load_encoder().encode_texts
    for mixture, target, rate_hz, query, kind in HEARD[name](tmp_path / "data", tmp_path / "lists"):
        condition = encode([query])[0]
        if name.startswith("clipsep"):
            condition = np.mean([encode([p.format(query)])[0] for p in PROMPTS], axis=0)
            condition /= np.linalg.norm(condition)
        stem = mini.separate(mixture[None], rate_hz, conditions=condition[None])[0, 0]
        for figure, value in compute_plain(stem, target, mixture).items():
            expected[figure][kind].append(value)
    figures = compute_figures(settings.protocol, rows)
    for figure, own in zip(settings.protocol.figures, figures, strict=True):
        assert own == pytest.approx(average(name, expected[figure.name]), abs=2e-3), figure.name
    checks = check_rows(settings.protocol, rows, {}, True)
    assert len(checks) >= 3 and not [line for line in checks if "DEVIATION" in line]


def test_voicebank_demand_scores_speech_at_16_khz_beside_the_noisy_input(mini, tmp_path):
    rows = score_all(read_protocol("voicebank-demand", tmp_path), mini)
    assert [row["asked"] for row in rows] == ["Speech", "Speech"]
    for row in rows:
        assert 1 <= row["pesq"] <= 4.65 and 1 <= row["csig"] <= 5 and -10 <= row["ssnr_db"] <= 35
        assert 1 < row["mixture_pesq"] < 2.5
    assert rows[0]["mixture_sdri_db"] == 0


def spoil_nothing(folder: Path) -> None:
    pass


def remove_sound(folder: Path) -> None:
    (folder / "data/segment-1.wav").unlink()


def take_other_list(folder: Path) -> None:
    (folder / "lists/audiocaps_eval.csv").write_bytes(b"source, noise, snr, caption\r\na,b,1,c\r\n")


def lose_column(folder: Path) -> None:
    (folder / "lists/audiocaps_eval.csv").write_bytes(b"idx,caption\r\n0,a\r\n1\r\n")


def change_rate(folder: Path) -> None:
    soundfile.write(folder / "data/mixture-0.wav", np.zeros(100), 44_100)


def remove_list(folder: Path) -> None:
    (folder / "lists/audiocaps_eval.csv").unlink()


def empty_list(folder: Path) -> None:
    (folder / "lists/audiocaps_eval.csv").write_bytes(b"idx,caption\r\n")


@pytest.mark.parametrize(
    ("spoil", "more", "message"),
    [
        (remove_sound, [], r"1 of 6 files are missing \(segment-1.wav\); 5 files are there"),
        (take_other_list, [], "idx is needed for audiocaps: is this the list of another set"),
        (lose_column, [], "row 2 has 1 values; 2 are needed: idx, caption"),
        (change_rate, [], "44100 Hz; the files of this protocol have 32000"),
        (remove_list, [], "no such file; lists=... is the folder of the official lists"),
        (empty_list, [], "audiocaps_eval.csv: no rows in it"),
        (spoil_nothing, ["query=tags"], "query='tags': must be one of caption, label"),
        (spoil_nothing, ["query=paraphrase"], "paraphrase is needed for audiocaps"),
        (spoil_nothing, ["data=''"], "data is not set: the folder of the sounds; add data="),
        (spoil_nothing, ["data=/none/here"], "data='/none/here': no such folder"),
        (
            spoil_nothing,
            ["more=bleu"],
            "more='bleu': must be one of bss, clap, dnsmos, fad, speech",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(spoil, more, message, tmp_path):
    read_protocol("audiocaps", tmp_path)
    spoil(tmp_path)
    given = ["model=mini", f"data={tmp_path / 'data'}", f"lists={tmp_path / 'lists'}"]
    with pytest.raises(RequestError, match=message) as caught:
        list_cases(read_settings(ProtocolSettings, CONFIGS / "audiocaps.yaml", [*given, *more]))
    assert "\n" not in str(caught.value)


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
    assert [len(case.asked["sound"]) for case in cases] == [2]
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
