"""Voices and instruments: synthesized ones need nothing; a bank comes from the real programs."""

import numpy as np
import pytest

from separator.errors import RequestError
from separator.sounds import bank as bank_module
from separator.sounds.bank import (
    FOLDER_VARIABLE,
    INSTRUMENTS,
    RATE_HZ,
    Bank,
    BankFile,
    build_bank,
    build_part,
    find_bank,
    list_parts,
    load_bank,
    use_bank,
    write_index,
)
from separator.sounds.captions import write_text
from separator.sounds.formants import pick_speaker
from separator.sounds.instruments import draw_build, play_organ, play_piano
from separator.sounds.music import MUSIC
from separator.sounds.programs import list_presets, list_soundfonts, play, speak
from separator.sounds.scores import HELD_OUT_PATTERNS, TRAIN_PATTERNS, Note, compose, write_midi
from separator.sounds.take import SoundClass, Take
from separator.sounds.voices import VOICES

CLASSES = (*VOICES, *MUSIC)
BY_NAME = {sound.name: sound for sound in CLASSES}
each_class = pytest.mark.parametrize("sound", CLASSES, ids=lambda sound: sound.name)


@pytest.fixture(autouse=True)
def no_bank(monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    yield
    use_bank(None)


def make_take(seed: int, seconds: float, rate_hz: int, held_out: bool = False) -> Take:
    return Take(np.random.default_rng(seed), int(seconds * rate_hz), rate_hz, held_out)


def make(sound: SoundClass, seed: int, seconds=3.0, rate_hz=32_000, held_out=False) -> np.ndarray:
    return sound.make(make_take(seed, seconds, rate_hz, held_out))


def measure_audible_share(samples: np.ndarray, rate_hz: int) -> float:
    """Return the share of frames of 50 ms that lie less than 40 dB below the peak."""
    frame = rate_hz // 20
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    rms = np.sqrt(np.mean(frames**2, axis=1))
    return float(np.mean(rms > 0.01 * np.abs(samples).max()))


def measure_pitch(samples: np.ndarray, rate_hz: int) -> float:
    """Return the median fundamental of the periodic frames, by autocorrelation."""
    found = []
    for start in range(0, len(samples) - 2_048, 2_048):
        frame = samples[start : start + 2_048] * np.hanning(2_048)
        correlation = np.fft.irfft(np.abs(np.fft.rfft(frame, 4_096)) ** 2)
        shortest, longest = rate_hz // 350, rate_hz // 65
        lag = shortest + int(np.argmax(correlation[shortest:longest]))
        if correlation[lag] > 0.4 * correlation[0]:
            found.append(rate_hz / lag)
    return float(np.median(found))


def measure_rms(samples: np.ndarray, start_s: float, end_s: float, rate_hz: int) -> float:
    return float(np.sqrt(np.mean(samples[int(start_s * rate_hz) : int(end_s * rate_hz)] ** 2)))


def list_stems(text: str) -> set[str]:
    """Return the long words of a text, cut to four letters so that inflections agree."""
    return {word[:4] for word in text.split() if len(word) > 3} - {"some", "play", "solo", "with"}


@each_class
@pytest.mark.parametrize(("rate_hz", "seconds"), [(16_000, 0.5), (44_100, 3.0)])
@pytest.mark.parametrize("held_out", [False, True])
def test_make_is_audible_without_any_program(sound, rate_hz, seconds, held_out, monkeypatch):
    monkeypatch.setenv("PATH", "")
    for seed in range(2):
        samples = make(sound, seed, seconds, rate_hz, held_out)
        assert samples.shape == (int(seconds * rate_hz),)
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() > 1e-4
        if seconds >= 2:
            assert measure_audible_share(samples, rate_hz) > 0.2


@each_class
def test_make_depends_on_the_seed_alone(sound):
    assert np.array_equal(make(sound, 7), make(sound, 7))
    assert not np.allclose(make(sound, 7), make(sound, 8))


@each_class
def test_paraphrases_are_no_captions_but_share_words_with_them(sound):
    assert 8 <= len(sound.captions) <= 14
    assert 4 <= len(sound.paraphrases) <= 6
    assert len(set(sound.captions)) == len(sound.captions)
    assert not set(sound.captions) & set(sound.paraphrases)
    known = {stem for caption in sound.captions for stem in list_stems(caption)}
    for paraphrase in sound.paraphrases:
        assert known & list_stems(paraphrase), paraphrase


def test_captions_name_no_other_instrument():
    for sound in MUSIC:
        others = {other.name for other in MUSIC} - {sound.name}
        words = {word for text in (*sound.captions, *sound.paraphrases) for word in text.split()}
        assert not words & others
    assert len({sound.group for sound in MUSIC}) == len(MUSIC)
    assert {sound.group for sound in VOICES} == {"voice"}


def test_a_man_speaks_lower_than_a_woman():
    pitches = {
        name: np.median([measure_pitch(make(BY_NAME[name], s), 32_000) for s in range(7)])
        for name in ("man", "woman")
    }
    assert 80 < pitches["man"] < 160 < pitches["woman"] < 280


def test_a_piano_note_decays_and_an_organ_note_does_not():
    note = [Note(0.0, 2.5, 60, 0.8)]
    kept = {}
    for play_note in (play_piano, play_organ):
        tones = [play_note(make_take(seed, 2.5, 32_000), note) for seed in range(9)]
        ratios = [
            measure_rms(x, 1.8, 2.3, 32_000) / measure_rms(x, 0.1, 0.6, 32_000) for x in tones
        ]
        kept[play_note] = np.median(ratios)  # an organ's pipes beat, this way or that
    assert kept[play_piano] < 0.5
    assert 0.8 < kept[play_organ] < 1.25


def test_compose_stays_in_range_and_starts_at_once():
    for name, (_, _, reach) in INSTRUMENTS.items():
        for seed in range(20):
            notes = compose(np.random.default_rng(seed), 8.0, reach)
            assert min(note.start_s for note in notes) <= 0.1, name
            assert all(reach.low <= note.pitch <= reach.high for note in notes), name
            assert all(0 < note.velocity <= 1 and note.length_s > 0 for note in notes), name


# Held-out voices and instruments.


def test_held_out_voices_programs_and_patterns_are_disjoint_from_training():
    train = f"{bank_module.TRAIN_MEN} {bank_module.TRAIN_WOMEN}".split()
    held_out = f"{bank_module.HELD_OUT_MEN} {bank_module.HELD_OUT_WOMEN}".split()
    assert len(train) >= 20
    assert len(set(train)) == len(train)
    for side in (0, 1):  # language, then variant
        of_train = {voice.split("+")[side].split("-")[0] for voice in train}
        assert not of_train & {voice.split("+")[side].split("-")[0] for voice in held_out}
    for programs, kept, _ in INSTRUMENTS.values():
        assert not set(programs) & set(kept)
    assert not set(bank_module.TRAIN_KITS) & set(bank_module.HELD_OUT_KITS)
    assert not [pattern for pattern in TRAIN_PATTERNS if pattern in HELD_OUT_PATTERNS]


def test_synthesized_held_out_speakers_and_instruments_are_disjoint():
    takes = [[make_take(seed, 1, 16_000, kept) for seed in range(200)] for kept in (False, True)]
    train, held_out = ({pick_speaker(take, False).number for take in side} for side in takes)
    assert not train & held_out
    train, held_out = ({draw_build(take, "piano").random() for take in side} for side in takes)
    assert not train & held_out


def make_marked_bank() -> Bank:
    """Training parts are positive, held-out ones negative."""
    samples = {}
    for name in ("man", "woman", *(sound.name for sound in MUSIC)):
        samples[BankFile(name, "a", held_out=False)] = np.full(50_000, 4_000, np.int16)
        samples[BankFile(name, "b", held_out=True)] = np.full(50_000, -4_000, np.int16)
    return Bank(samples)


@each_class
def test_make_held_out_cuts_from_held_out_parts_only(sound):
    use_bank(make_marked_bank())
    for seed in range(10):
        # Past the resampling filter's swing at the ends all samples have their part's sign.
        assert (make(sound, seed, 2.0, 44_100, held_out=True)[200:-200] < 0).all()
    kinds = [(make(sound, seed, 0.5)[200:-200] > 0).all() for seed in range(24)]
    assert 0.5 < np.mean(kinds) < 1  # the rest is synthesized


def test_cut_names_the_class_that_a_bank_lacks():
    with pytest.raises(RequestError, match="training part of organ"):
        Bank({}).cut(make_take(0, 1, 16_000), "organ")


def test_find_bank_refuses_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(RequestError, match="separator sounds --bank"):
        find_bank()


def test_speak_names_the_missing_program_and_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RequestError, match="apt-get install espeak-ng"):
        speak("hello", "en-us", 50, 150)


# The real programs.


@pytest.fixture(scope="module")
def bank_folder(tmp_path_factory):
    """Render all held-out parts, and of the training parts one man and one drum kit."""
    folder = tmp_path_factory.mktemp("bank")
    for name in ("man", "drums"):
        part = next(part for part in list_parts(held_out=False) if part.class_name == name)
        build_part(folder, part, seed=1, minutes=0.05)
    build_bank(folder, seed=1, minutes_per_voice=0.03, held_out=True)
    return folder


@pytest.mark.espeak
def test_build_bank_renders_every_held_out_class(bank_folder, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(bank_folder))
    bank = load_bank(bank_folder)
    assert {part.class_name for part in bank.find_parts(("man", "drums"), False)} == {
        "man",
        "drums",
    }
    assert all(isinstance(samples, np.memmap) for samples in bank.samples.values())
    for sound in CLASSES:
        for rate_hz, seconds in ((16_000, 0.5), (44_100, 3.0)):
            samples = make(sound, 3, seconds, rate_hz, held_out=True)
            assert samples.shape == (int(seconds * rate_hz),)
            assert np.isfinite(samples).all()
            assert np.abs(samples).max() > 1e-3
            assert np.array_equal(samples, make(sound, 3, seconds, rate_hz, held_out=True))
        assert measure_audible_share(samples, rate_hz) > 0.2
    with pytest.raises(RequestError, match="training part of flute"):
        bank.cut(make_take(0, 1, 32_000), "flute")


@pytest.mark.espeak
def test_speak_pitch_of_every_voice_fits_its_class():
    """Notice that espeak-ng ignores a variant that it does not find."""
    for part in (*list_parts(held_out=False), *list_parts(held_out=True)):
        if part.class_name in ("man", "woman"):
            language = part.voice.split("-")[0].split("+")[0]
            text = write_text(np.random.default_rng(0), language, 2)
            pitch_hz = measure_pitch(*speak(text, part.voice, 50, 160))
            assert (pitch_hz > 150) == (part.class_name == "woman"), part.voice


@pytest.mark.espeak
def test_build_bank_keeps_rendered_files(bank_folder):
    files = sorted(bank_folder.glob("*.npy"))
    times = [file.stat().st_mtime_ns for file in files]
    build_bank(bank_folder, seed=2, minutes_per_voice=0.03, held_out=True)
    assert [file.stat().st_mtime_ns for file in sorted(bank_folder.glob("*.npy"))] == times
    assert not list(bank_folder.glob(".*"))


@pytest.mark.espeak
def test_write_index_leaves_out_a_lost_file(bank_folder, tmp_path):
    part = load_bank(bank_folder).find_parts(("man",), True)[0]
    (tmp_path / part.file).symlink_to(bank_folder / part.file)
    write_index(tmp_path)
    assert list(load_bank(tmp_path).samples) == [part]


@pytest.mark.espeak
def test_play_sounds_a_note_at_its_pitch():
    notes = [Note(0.0, 1.5, 69, 0.9)]
    samples = play(write_midi(notes, program=73, is_percussion=False), RATE_HZ)
    spectrum = np.abs(np.fft.rfft(samples[:RATE_HZ]))
    strongest_hz = int(np.argmax(spectrum))
    assert min(abs(strongest_hz - 440 * number) for number in (1, 2)) < 10


@pytest.mark.espeak
def test_list_presets_uses_the_numbers_of_general_midi():
    presets = list_presets(list_soundfonts()[0])
    assert {(0, program) for program in range(80)} <= presets
    assert (bank_module.PERCUSSION_BANK, 0) in presets


@pytest.mark.espeak
def test_speak_names_an_unknown_voice():
    with pytest.raises(RequestError, match="xx-none"):
        speak("hello", "xx-none", 50, 150)
