"""Sound lists in every form, and examples that depend on their number alone."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from separator.errors import AudioError, RequestError
from separator.storage import Storage
from separator.train.examples import Examples, Kinds
from separator.train.recipe import ChangeSettings, DataSettings
from separator.train.sound_lists import Source, read_list, read_lists, read_stretch, read_whole

RATE_HZ = 32_000
STORAGE = Storage()


def make_examples(path, **settings) -> Examples:
    chosen = DataSettings(lists=[str(path)], segment_s=0.5, **settings)
    return Examples(read_lists(chosen.lists, STORAGE), chosen, RATE_HZ, 0, STORAGE)


def test_read_list_of_audiosep(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"data": [{"wav": "a.wav", "caption": "a dog"}]}))
    assert read_list(str(path), STORAGE) == [
        Source(str(tmp_path / "a.wav"), ("a dog",), "a dog", "a dog", labels=("a dog",))
    ]


def test_read_list_of_a_manifest_leaves_out_failed_rows(tmp_path):
    rows = [
        {"stem_uri": "stems/a.flac", "query_text": "siren", "status": "ok"},
        {"stem_uri": None, "query_text": "siren", "status": "failed"},
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "part.parquet")
    for path in (tmp_path / "part.parquet", tmp_path):
        (source,) = read_list(str(path), STORAGE)
        assert source.captions == ("siren",) and source.uri.endswith("stems/a.flac")


def test_read_list_of_csv(tmp_path):
    (tmp_path / "a.csv").write_text("audio,caption\nx.wav,rain\n")
    assert read_list(str(tmp_path / "a.csv"), STORAGE)[0].captions == ("rain",)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", "[]", "data"),
        ("a.json", "{", "a.json"),
        ("a.jsonl", '{"captions": ["x"]}\n', "row 1"),
        ("a.txt", "x.wav\n", "row 1"),
        ("a.csv", "audio,kind,caption\nx.wav,T\udcfcr,door\n", "row 1: 'kind' is no UTF-8"),
        ("a.jsonl", "", "no sound"),
    ],
)
def test_read_lists_error_names_file_and_row(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(RequestError, match=reason):
        read_lists([str(tmp_path / name)], STORAGE)


def test_sounds_of_a_group_that_two_kinds_share_are_never_mixed(sounds_list, tmp_path):
    rows = []
    for kind, groups in (("hum", "AB"), ("hiss", "BB"), ("beep", "BC")):
        for number, group in enumerate(groups):
            audio = str(sounds_list.parent / f"{kind}-{number}.wav")
            rows.append({"audio": audio, "captions": [kind], "kind": kind, "group": group})
    pd.DataFrame(rows).to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    examples = make_examples(tmp_path / "a.jsonl", third_ratio=1.0, absent_ratio=1.0)
    for number in range(40):
        mixture = examples.draw_mixture(number)
        assert len({source.group for source in mixture.sources}) == len(mixture.sources) == 3
        assert not examples.make(number).is_absent  # there is no fourth group
    rows = [row for row in rows if row["group"] != "C"]
    pd.DataFrame(rows).to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    two = make_examples(tmp_path / "a.jsonl", third_ratio=1.0, real_ratio=-1)
    assert {len(two.draw_mixture(number).sources) for number in range(10)} == {2}


@pytest.mark.parametrize("captions", [5, ["bell", None], ["bell", 5], [" "]])
def test_captions_are_texts(tmp_path, captions):
    row = {"audio": "a.wav", "captions": captions}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(RequestError, match=r"a\.jsonl: row 1: the captions .* must be texts"):
        read_list(str(tmp_path / "a.jsonl"), STORAGE)


def test_read_list_of_a_manifest_takes_the_name_of_a_query_by_sounds(tmp_path):
    row = {"stem_uri": "a.flac", "query_text": None, "query_name": "bird", "status": "ok"}
    pd.DataFrame([row]).to_parquet(tmp_path / "part.parquet")
    assert read_list(str(tmp_path / "part.parquet"), STORAGE)[0].captions == ("bird",)


def test_make_depends_on_the_number_alone(sounds_list):
    one, other = make_examples(sounds_list), make_examples(sounds_list)
    other.make(3)
    first, second = one.make(7), other.make(7)
    np.testing.assert_array_equal(first.mixture, second.mixture)
    assert first.caption == second.caption
    assert not np.array_equal(first.mixture, one.make(8).mixture)


def test_make_asks_a_mixture_for_each_of_two_sounds(sounds_list):
    examples = make_examples(sounds_list, ask_each=True, third_ratio=0.5, absent_ratio=0.3)
    found = [examples.make(number) for number in range(40)]
    present = 0
    for first, second in zip(found[::2], found[1::2], strict=True):
        np.testing.assert_array_equal(first.mixture, second.mixture)
        if not (first.is_absent or second.is_absent):
            present += 1
            assert first.caption != second.caption  # of two groups
            rest = first.mixture - first.target - second.target
            quiet = np.abs(rest).max() < 1e-6
            assert quiet or np.mean(rest**2) > 1e-6  # nothing is left, or a third sound
    assert 5 < present < 20 and any(e.is_absent for e in found)
    again = make_examples(sounds_list, ask_each=True, third_ratio=0.5, absent_ratio=0.3).make(11)
    np.testing.assert_array_equal(again.target, found[11].target)
    assert (again.caption, again.is_absent) == (found[11].caption, found[11].is_absent)


def test_make_mixes_the_target_with_another_sound_within_level_db(sounds_list):
    for number in range(20):
        example = make_examples(sounds_list).make(number)
        rest = example.mixture - example.target
        ratio_db = 10 * np.log10(np.mean(rest**2) / np.mean(example.target**2))
        assert -10.1 < ratio_db < 10.1 and len(rest) == RATE_HZ // 2


def test_make_absent_query_means_no_sound_of_the_mixture(tmp_path):
    """Groups may be finer than kinds, and lists without kinds name a sound by several captions."""
    rng, rows = np.random.default_rng(0), []
    for number, captions in enumerate([["a dog barks", "dog"], ["dog"], ["rain"], ["a siren"]]):
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * rng.standard_normal(RATE_HZ), RATE_HZ)
        rows.append({"audio": f"{number}.wav", "captions": captions, "group": f"g{number}"})
    rows[2]["labels"], rows[3]["labels"] = ["weather"], ["alarm", "weather"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    examples = make_examples(tmp_path / "a.jsonl", absent_ratio=1.0)
    found = [(examples.make(number), examples.draw_mixture(number)) for number in range(40)]
    for example, mixture in found:
        present = [caption for source in mixture.sources for caption in source.captions]
        if example.is_absent:
            assert example.caption not in present
            assert {example.caption, *present} != {"rain", "a siren"}
        else:  # one of each two is in the mixture
            assert len({source.uri[-5] for source in mixture.sources} & {"0", "1"}) == 1
    assert sum(example.is_absent for example, _ in found) > 5


def test_make_counts_silent_files_as_skipped(tmp_path):
    rng, rows = np.random.default_rng(0), []
    for kind in ("hum", "hiss"):
        for number, level in enumerate((0.1, 0.0)):
            name = f"{kind}-{number}.wav"
            soundfile.write(tmp_path / name, level * rng.standard_normal(RATE_HZ), RATE_HZ)
            rows.append({"audio": name, "captions": [kind], "kind": kind})
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    examples = make_examples(tmp_path / "a.jsonl")
    assert sum(examples.make(number).num_skipped for number in range(20)) > 10


def test_make_absent_target_is_silent_and_its_caption_of_a_third_kind(sounds_list):
    examples = make_examples(sounds_list, absent_ratio=1.0)
    absent = [examples.make(number) for number in range(12)]
    assert all(e.is_absent and not e.target.any() and e.mixture.any() for e in absent)
    # Three kinds, two in the mixture: the caption can only be of the third.
    for e in absent:
        tonal = np.abs(np.fft.rfft(e.mixture))
        has_beep = tonal[490:560].max() > 20 * np.median(tonal)
        assert not (has_beep and "beep" in e.caption)


def test_make_skips_and_counts_broken_and_missing_files(sounds_list, tmp_path):
    rows = [json.loads(line) for line in sounds_list.read_text().splitlines()]
    for row in rows:
        row["audio"] = str(sounds_list.parent / row["audio"])
    (tmp_path / "broken.wav").write_bytes(b"RIFF and no more")
    rows += [{"audio": name, "captions": ["hum"], "kind": "hum"} for name in ("broken.wav", "gone")]
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    skipped = [make_examples(path).make(number).num_skipped for number in range(30)]
    assert sum(skipped) > 0 and min(skipped) == 0


def test_make_fails_where_every_file_is_broken(tmp_path):
    rows = [{"audio": f"{i}.wav", "caption": f"kind {i}"} for i in range(3)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(AudioError, match=r"50 unreadable, 0 silent; the last: .*/\d\.wav: "):
        make_examples(path).make(0)


def test_kinds_outside_groups_are_those_that_a_look_at_all_of_them_finds():
    rng = np.random.default_rng(0)
    for _ in range(300):
        kinds = range(int(rng.integers(1, 9)))
        own = {f"kind {i}": set(map(str, rng.integers(0, 4, rng.integers(1, 4)))) for i in kinds}
        groups = set(map(str, rng.integers(0, 5, rng.integers(0, 4))))
        left = Kinds(own).outside(groups)
        found = [kind for kind, own_groups in own.items() if own_groups - groups]
        assert [left[i] for i in range(len(left))] == found


def test_examples_refuse_a_list_of_one_group(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"audio": "a.wav", "caption": "hum"}\n')
    with pytest.raises(RequestError, match="two groups"):
        make_examples(path)


def test_read_stretch_resamples_pads_and_mixes_down(tmp_path):
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 500 * np.arange(44_100) / 44_100)
    soundfile.write(tmp_path / "a.flac", np.stack([tone, 0 * tone], 1), 44_100)
    stretch = read_stretch(STORAGE, str(tmp_path / "a.flac"), 16_000, RATE_HZ, rng)
    peak_hz = np.abs(np.fft.rfft(stretch)).argmax() * RATE_HZ / len(stretch)
    assert peak_hz == pytest.approx(500, abs=2) and np.abs(stretch).max() < 0.6
    longer = read_stretch(STORAGE, str(tmp_path / "a.flac"), 64_000, RATE_HZ, rng)
    assert len(longer) == 64_000 and np.count_nonzero(np.abs(longer) > 1e-3) < 33_000
    assert len(read_whole(STORAGE, str(tmp_path / "a.flac"), RATE_HZ)) == RATE_HZ


def write_origins(folder, num_real=4, num_synthetic=4):
    """Write a list of tones, each kind with a pitch of its own; recordings are above 1 kHz.

    Of the first recorded kind one package has nine recordings, another one.
    """
    rows = []
    for number in range(num_real + num_synthetic):
        is_real = number < num_real
        freq_hz = (1_000 if is_real else 200) + 100 * number
        tone = 0.2 * np.sin(2 * np.pi * freq_hz * np.arange(RATE_HZ) / RATE_HZ)
        soundfile.write(folder / f"{number}.wav", tone, RATE_HZ)
        row = {"audio": f"{number}.wav", "kind": f"kind {number}", "caption": f"kind {number}"}
        packages = ["big"] * 9 + ["small"] if number == 0 else ["other"]
        real = [{"package": name, "caption": f"kind {number} {name}"} for name in packages]
        rows += [row | one for one in (real if is_real else [{}])]
    path = folder / "origins.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def count_real(samples_T) -> tuple[bool, bool]:
    """Tell whether a recording and whether a synthetic sound is in a mixture."""
    spectrum = np.abs(np.fft.rfft(samples_T))
    heard_hz = np.flatnonzero(spectrum > 0.1 * spectrum.max()) * 2
    return bool((heard_hz > 950).any()), bool((heard_hz < 950).any())


def test_make_mixes_origins_a_third_each(tmp_path):
    examples = make_examples(write_origins(tmp_path), real_ratio=0.5, same_origin_ratio=2 / 3)
    pairs = [count_real(examples.make(number).mixture) for number in range(180)]
    for pair in ((True, True), (True, False), (False, True)):
        assert 40 <= pairs.count(pair) <= 80


def test_make_draws_the_packages_of_a_kind_equally_often(tmp_path):
    examples = make_examples(write_origins(tmp_path))
    captions = [examples.make(number).caption for number in range(250)]
    big, small = captions.count("kind 0 big"), captions.count("kind 0 small")
    assert big + small > 15 and 0.2 < small / (big + small) < 0.8


def test_examples_refuse_origins_of_too_few_kinds(tmp_path):
    path = write_origins(tmp_path, num_real=2)
    make_examples(path)
    with pytest.raises(RequestError, match=r"real_ratio=0\.5: four kinds of recordings"):
        make_examples(path, real_ratio=0.5)


def test_make_sets_the_level_of_mixtures(sounds_list):
    changes = ChangeSettings(level_db=[-40.0, -38.0], low_pass_ratio=0.5, high_pass_hz=30.0)
    examples = make_examples(sounds_list, changes=changes)
    for number in range(10):
        example = examples.make(number)
        assert -40.1 < 10 * np.log10(np.mean(example.mixture**2)) < -37.9
        assert example.mixture.dtype == example.target.dtype == np.float32
