"""Stems that are arrays or tensors as before, and know their names."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from separator.errors import QueryError, RequestError
from separator.notebook.stems import name_array, name_queries, name_tensor
from tests.helpers.shown import read_players

RATE_HZ = 8_000
NAMES = ["siren", "voice"]


def make_sounds(seconds: float = 1.0, channels: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Make a waveform (C, T), and two stems that are not all of it."""
    random = np.random.default_rng(0)
    stems = 0.2 * random.standard_normal((2, channels, round(seconds * RATE_HZ)))
    rest = 0.1 * random.standard_normal(stems.shape[1:])
    return (stems.sum(0) + rest).astype(np.float32), stems.astype(np.float32)


@pytest.fixture
def array():
    waveform, stems = make_sounds()
    return name_array(torch.tensor(stems), NAMES, torch.tensor(waveform), RATE_HZ)


@pytest.fixture
def tensor():
    waveform, stems = make_sounds()
    return name_tensor(torch.tensor(stems), NAMES, torch.tensor(waveform), RATE_HZ)


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_a_notebook_completes_the_names_of_stems(kind, request):
    shell = InteractiveShell.instance()
    shell.user_ns["stems"] = request.getfixturevalue(kind)
    text = 'stems["'
    with provisionalcompleter():
        found = [each.text for each in shell.Completer.completions(text, len(text))]
    assert set(NAMES) <= set(found)


def test_array_is_used_as_an_array(array):
    _, wanted = make_sounds()
    assert array.shape == (2, 2, RATE_HZ) and len(array) == 2
    first, second = array
    np.testing.assert_array_equal(second, wanted[1])
    for derived in (
        first,
        array[0],
        array[:, :1],
        array * 2,
        1 - array,
        np.abs(array),
        array["voice"],
    ):
        assert type(derived) is np.ndarray
    np.testing.assert_array_equal(array * 2, wanted * 2)
    assert isinstance(array.sum(), np.float32) and f"{array.max():.2f}"
    assert wanted.max() in array
    np.testing.assert_array_equal(torch.from_numpy(array).numpy(), wanted)
    other = np.zeros_like(wanted)
    np.add(array, 1, out=other)
    np.testing.assert_array_equal(other, wanted + 1)
    array[0] = 0
    assert not array["siren"].any()


def test_tensor_is_used_as_a_tensor(tensor):
    _, wanted = make_sounds()
    assert isinstance(tensor, torch.Tensor) and tensor.shape == (2, 2, RATE_HZ)
    for derived in (*tensor, tensor[0], tensor * 2, tensor.clone(), torch.cat([tensor, tensor])):
        assert type(derived) is torch.Tensor
    np.testing.assert_array_equal(tensor.numpy(), wanted)
    np.testing.assert_array_equal(tensor["voice"].numpy(), wanted[1])


def test_stems_are_a_mapping_by_name(array, tensor):
    for stems in (array, tensor):
        assert stems.keys() == ("siren", "voice") and "siren" in stems and "dog" not in stems
        assert [name for name, _ in stems.items()] == NAMES
        found = dict(stems)
        assert list(found) == NAMES and (found["voice"] == stems[1]).all()
        with pytest.raises(
            QueryError, match="'dog': no stem of that name; there are: siren, voice"
        ):
            stems["dog"]


def test_copies_and_what_is_sent_elsewhere_are_plain(array, tensor, tmp_path):
    for stems, plain in ((array, np.ndarray), (tensor, torch.Tensor)):
        for made in (copy.deepcopy(stems), pickle.loads(pickle.dumps(stems))):
            assert type(made) is plain and (made == stems).all()
    torch.save(tensor, tmp_path / "a.pt")
    assert (torch.load(tmp_path / "a.pt", weights_only=True) == tensor).all()
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)


def test_arrays_made_of_stems_have_no_names(array):
    made = array.copy()
    assert made.keys() == () and made._repr_html_() is None
    with pytest.raises(QueryError, match="made of another one"):
        made["siren"]
    for use in (lambda: made.residual, lambda: made.save("stems")):
        with pytest.raises(QueryError, match="no stems with names"):
            use()


def test_save_replaces_no_example_and_makes_no_folder_for_another_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    waveform, stems = map(torch.tensor, make_sounds())
    example = tmp_path / "siren.flac"
    example.write_bytes(b"own")
    named = name_array(stems, NAMES, waveform, RATE_HZ, {example})
    with pytest.raises(RequestError, match=r"siren\.flac is an example sound"):
        named.save(tmp_path)
    for place in ("s3://bucket/stems", Path("s3://bucket/stems"), "gs://x"):
        with pytest.raises(RequestError):
            named.save(place)
    assert example.read_bytes() == b"own" and list(tmp_path.iterdir()) == [example]
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert named.save("~/stems")[0] == tmp_path / "home/stems/siren.flac"


def test_residual_is_the_sound_without_all_stems(array, tensor):
    waveform, stems = make_sounds()
    np.testing.assert_allclose(array.residual, waveform - stems.sum(0), atol=1e-6)
    assert type(tensor.residual) is torch.Tensor
    np.testing.assert_allclose(tensor.residual.numpy(), waveform - stems.sum(0), atol=1e-6)


def test_residual_of_mono_stems_is_of_the_mean_of_all_channels():
    waveform, stems = make_sounds()
    mono = stems.mean(1, keepdims=True)
    made = name_array(torch.tensor(mono), NAMES, torch.tensor(waveform), RATE_HZ)
    assert made.residual.shape == (1, RATE_HZ)
    np.testing.assert_allclose(made.residual, waveform.mean(0) - mono.sum(0)[0][None], atol=1e-6)


def test_residual_of_other_floats():
    waveform, stems = make_sounds()
    half = torch.tensor(waveform).to(torch.bfloat16).requires_grad_()
    made = name_tensor(torch.tensor(stems), NAMES, half.detach(), RATE_HZ)
    np.testing.assert_allclose(made.residual.numpy(), waveform - stems.sum(0), atol=0.01)


def test_saved_stems_and_residual_add_up_to_the_sound(array, tmp_path):
    paths = array.save(tmp_path / "new/folder")
    assert [str(path.relative_to(tmp_path / "new/folder")) for path in paths] == [
        "siren.flac",
        "voice.flac",
        "residual/all.flac",
    ]
    written = [soundfile.read(path, dtype="int32")[0].astype(np.int64) >> 8 for path in paths]
    waveform, _ = make_sounds()
    np.testing.assert_array_equal(sum(written), np.rint(waveform.T.astype(float) * 2**23))


def test_save_writes_other_formats_and_refuses_unknown_ones(tensor, tmp_path):
    (path, *_) = tensor.save(tmp_path, format="wav")
    assert soundfile.info(path).subtype == "PCM_24" and path.name == "siren.wav"
    with pytest.raises(RequestError, match="format='aiff'"):
        tensor.save(tmp_path / "none", format="aiff")
    assert not (tmp_path / "none").exists()


def test_stems_show_the_sound_its_stems_and_the_residual(array, tensor, tmp_path):
    for stems in (array, tensor):
        players, _ = read_players(stems._repr_html_())
        labels = [player.label for player in players]
        assert labels == [
            f"{name}, 0:01.0" for name in ("the sound itself", "siren", "voice", "residual")
        ]
        waveform, _ = make_sounds()
        shown, rate_hz = players[0].decode(tmp_path)
        assert rate_hz == RATE_HZ and shown.shape[0] == 2
        np.testing.assert_allclose(np.std(shown), np.std(waveform), rtol=0.2)


def test_many_stems_show_few_players_and_say_so():
    waveform, stems = make_sounds(0.2)
    many = torch.tensor(stems).repeat(10, 1, 1)
    made = name_array(many, [f"q{n}" for n in range(20)], torch.tensor(waveform), RATE_HZ)
    players, reader = read_players(made._repr_html_())
    assert len(players) == 8 and players[-1].label.startswith("residual")
    assert "14 more are not shown" in reader.text


def test_name_queries_numbers_conditions():
    assert name_queries(None, 2) == ["condition-0", "condition-1"]
    assert name_queries(["A dog barking", {"name": "x", "text": "rain"}], 2) == [
        "a-dog-barking",
        "x",
    ]


def test_the_residual_is_of_the_sound_that_was_given_whatever_becomes_of_it():
    waveform, stems = make_sounds()
    given = torch.tensor(waveform)
    named = name_array(torch.tensor(stems), NAMES, given, RATE_HZ)
    given.zero_()
    np.testing.assert_allclose(named.residual, waveform - stems.sum(0), atol=1e-6)


def test_save_tells_of_samples_over_full_scale(array, tmp_path, caplog):
    array.save(tmp_path / "quiet")
    assert not caplog.records
    waveform, stems = make_sounds()
    loud = name_array(torch.tensor(9 * stems), NAMES, torch.tensor(9 * waveform), RATE_HZ)
    loud.save(tmp_path / "loud")
    assert "samples over full scale were clipped" in caplog.text


def test_save_refuses_a_place_that_is_taken_before_it_writes_anything(array, tmp_path):
    (tmp_path / "voice.flac").mkdir()
    with pytest.raises(RequestError, match=r"voice\.flac: is a folder"):
        array.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["voice.flac"]
    with pytest.raises(TypeError, match="not NoneType"):
        array.save(None)
