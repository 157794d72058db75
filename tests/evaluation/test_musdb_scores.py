"""Scores of a song: by models that know the stems, and computed again here in plain numpy."""

import numpy as np
import pytest
import soundfile

from separator.evaluation.musdb_scores import (
    PIECE,
    SongListener,
    SongScorer,
    score_pieces,
    score_windows,
)
from separator.evaluation.musdb_songs import MIXTURE, STEMS, list_songs
from separator.storage import Storage
from tests.helpers.benchmarks import HZ, Knowing, Scaled, make_song, write_musdb

CONDITIONS = np.zeros((4, 1))
HZ_32 = 32_000


def ratio_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    reference, estimate = reference.astype(float), estimate.astype(float)
    return 10 * np.log10(np.sum(reference**2) / np.sum((reference - estimate) ** 2))


def make_mono(seconds: float) -> dict[str, np.ndarray]:
    return {part: sound.mean(0) for part, sound in make_song(2, seconds, HZ_32).items()}


def know_pieces(mono: dict[str, np.ndarray], factor: float = 1.0) -> Knowing:
    known = []
    for start in range(0, len(mono[MIXTURE]) - PIECE + 1, PIECE):
        stems = np.stack([mono[stem][None, start : start + PIECE] for stem in STEMS])
        known.append((mono[MIXTURE][None, start : start + PIECE], stems))
    return Knowing(known, factor)


def test_stems_of_half_the_level_have_6_db_in_both_protocols():
    sounds = make_song(1, 3.4)
    known = Knowing([(sounds[MIXTURE], np.stack([sounds[stem] for stem in STEMS]))], 0.5)
    sdr, of_mixture = score_windows(known, sounds, HZ, CONDITIONS)
    assert sdr.shape == of_mixture.shape == (4, 3)
    np.testing.assert_allclose(sdr, 20 * np.log10(2), rtol=1e-6)
    mono = make_mono(5.0)
    sdr, _ = score_pieces(know_pieces(mono, 0.5), mono, CONDITIONS, uses_wiener=False)
    assert sdr.shape == (4, 2)
    np.testing.assert_allclose(sdr, 20 * np.log10(2), rtol=1e-6)


def test_a_model_that_does_nothing_has_the_figures_of_the_mixture():
    sounds = make_song(1, 2.0)
    sdr, of_mixture = score_windows(Scaled(), sounds, HZ, CONDITIONS)
    np.testing.assert_array_equal(sdr, of_mixture)
    expected = ratio_db(sounds["bass"][:, :HZ], sounds[MIXTURE][:, :HZ])
    assert sdr[STEMS.index("bass"), 0] == pytest.approx(expected, abs=1e-9)
    sdr, _ = score_windows(
        Knowing([(sounds[MIXTURE], np.stack([sounds[s] for s in STEMS]))]), sounds, HZ, CONDITIONS
    )
    assert (sdr == np.inf).all()


def test_silence_of_one_stem_counts_for_all_in_a_window_and_for_itself_in_a_piece():
    sounds = make_song(1, 3.0)
    sounds["vocals"][:, :HZ] = 0
    sdr, _ = score_windows(Scaled(), sounds, HZ, CONDITIONS)
    assert np.isnan(sdr[:, 0]).all() and np.isfinite(sdr[:, 1:]).all()
    mono = make_mono(4.0)
    mono["vocals"][:PIECE] = 0
    sdr, _ = score_pieces(Scaled(), mono, CONDITIONS, uses_wiener=False)
    assert sdr.shape == (4, 2)  # the length is a whole number of pieces
    assert np.isnan(sdr[0, 0]) and np.isfinite(np.delete(sdr, 0)).all()


def analyse(x_T: np.ndarray) -> np.ndarray:
    """Compute a spectrum (N, F) from the definition."""
    padded = np.pad(x_T.astype(float), 1024, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    starts = range(0, len(padded) - 2047, 320)
    return np.stack([np.fft.rfft(window * padded[s : s + 2048]) for s in starts])


def synthesize(spectrum_NF: np.ndarray, num_samples: int) -> np.ndarray:
    """Overlap and add, divided by the sum of squared windows."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    total = np.zeros((2, 320 * (len(spectrum_NF) - 1) + 2048))
    for n, frame_F in enumerate(spectrum_NF):
        place = slice(320 * n, 320 * n + 2048)
        total[:, place] += window * np.fft.irfft(frame_F), window**2
    return (total[0] / np.maximum(total[1], 1e-11))[1024 : 1024 + num_samples]


def share_mixture(mixture_NF: np.ndarray, magnitudes: list[np.ndarray]) -> list[np.ndarray]:
    """Share a mixture by the joint Wiener step, stem by stem from its definition."""
    scale = max(1, np.abs(mixture_NF).max() / 8)
    x_NF = mixture_NF / scale
    first = [x_NF * m / (1e-9 + sum(magnitudes)) for m in magnitudes]
    power = [np.abs(y) ** 2 for y in first]
    spatial = [v.sum(0) / (1e-9 + v.sum(0)) for v in power]
    total = np.sqrt(1e-9) + sum(v * r for v, r in zip(power, spatial, strict=True))
    return [scale * x_NF * v * r / total for v, r in zip(power, spatial, strict=True)]


def test_paper_mode_equals_the_protocol_in_plain_numpy():
    mono = make_mono(4.7)
    sdr, of_mixture = score_pieces(know_pieces(mono, 0.7), mono, CONDITIONS, uses_wiener=True)
    for p in range(2):
        piece = slice(p * PIECE, (p + 1) * PIECE)
        magnitudes = [np.abs(analyse(np.float32(0.7) * mono[stem][piece])) for stem in STEMS]
        stems = share_mixture(analyse(mono[MIXTURE][piece]), magnitudes)
        for q, stem in enumerate(STEMS):
            expected = ratio_db(mono[stem][piece], synthesize(stems[q], PIECE))
            assert sdr[q, p] == pytest.approx(expected, abs=1e-3)
            nothing = ratio_db(mono[stem][piece], mono[MIXTURE][piece])
            assert of_mixture[q, p] == pytest.approx(nothing, abs=1e-6)
    assert sdr.shape == (4, 2) and (sdr > of_mixture + 3).all()


def test_a_song_has_a_row_for_each_stem_with_medians(tmp_path):
    data = write_musdb(tmp_path, 1, 1, seconds=3.2)
    (song,) = list_songs(Storage(), str(data), "test")
    rows = SongScorer(Scaled(0.5), CONDITIONS, "community", True, Storage())(song)
    assert [row["stem"] for row in rows] == list(STEMS)
    assert {(row["num_windows"], row["num_silent"]) for row in rows} == {(3, 0)}
    sounds = make_song(1, 3.2)
    for row in rows:
        windows = [slice(i * HZ, (i + 1) * HZ) for i in range(3)]
        ratios = [ratio_db(sounds[row["stem"]][:, w], 0.5 * sounds[MIXTURE][:, w]) for w in windows]
        assert row["sdr_db"] == pytest.approx(np.median(ratios), abs=0.01)  # files have 16 bits


def test_a_silent_stem_of_a_training_song_makes_no_condition(tmp_path):
    data = write_musdb(tmp_path, 1, 0, seconds=2.1)
    (song,) = list_songs(Storage(), str(data), "train")
    path = data / "train" / song.name / "vocals.wav"
    samples, rate_hz = soundfile.read(path)
    soundfile.write(path, 1e-5 * samples, rate_hz)
    rows = SongListener(Scaled(), Storage())(list_songs(Storage(), str(data), "train")[0])
    assert [row["stem"] for row in rows] == ["drums", "bass", "other"]
