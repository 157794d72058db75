"""Read AudioSet in the layout of PANNs: HDF5 files of waveforms, with labels of each.

A file holds `waveform` (n, T) in 16 bits, `audio_name` and `target` (n, 527), and as attribute its
`sample_rate`, without it 32 kHz. An index file names such files in `hdf5_path`, and rows of them in
`index_in_hdf5`, in place of waveforms. A sound's address is the file's path, `#` and its row.

Shapes: T samples.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from separator.errors import AudioError, RequestError, check_installed
from separator.model.zero_shot_files import NUM_AUDIOSET, read_labels

SUFFIXES = (".h5", ".hdf5")
FULL_SCALE = 32_767
RATE_HZ = 32_000


class OpenRow:
    """One waveform, with the methods of an open soundfile."""

    def __init__(self, samples_T: np.ndarray, samplerate: int) -> None:
        self.samples_T, self.samplerate = samples_T, samplerate
        self.frames, self.at = len(samples_T), 0

    def seek(self, at: int) -> None:
        self.at = at

    def read(
        self, frames: int = -1, *, dtype: str = "float32", always_2d: bool = True
    ) -> np.ndarray:
        """Return the next samples (T, 1), full scale 1.0."""
        stop = self.frames if frames < 0 else self.at + frames
        found_T, self.at = self.samples_T[self.at : stop], min(stop, self.frames)
        return (found_T / np.float32(FULL_SCALE)).astype(dtype)[:, None]


def is_hdf5(uri: str) -> bool:
    return uri.partition("#")[0].lower().endswith(SUFFIXES)


def list_rows(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the address and the labels of every sound that a file holds or names."""
    names = read_labels(NUM_AUDIOSET)
    with _open(path) as file:
        if "target" not in file or not {"waveform", "index_in_hdf5"} & set(file):
            raise RequestError(
                f"{path}: holds {sorted(file)}: needed are target and waveform, or target, "
                "hdf5_path and index_in_hdf5"
            )
        targets = file["target"]
        if targets.ndim != 2 or targets.shape[1] != NUM_AUDIOSET:
            raise RequestError(f"{path}: target of shape {targets.shape}: (n, 527) needed")
        is_index = "index_in_hdf5" in file
        columns = ("hdf5_path", "index_in_hdf5") if is_index else ("waveform",)
        for column in columns:
            if len(file[column]) != len(targets):
                raise RequestError(
                    f"{path}: {len(file[column])} rows of {column}, {len(targets)} of target"
                )
        for row in range(len(targets)):
            labels = tuple(names[i] for i in np.flatnonzero(targets[row]))
            address = f"{path}#{row}"
            if is_index:
                where = Path(file["hdf5_path"][row].decode())
                address = f"{path.parent / where}#{int(file['index_in_hdf5'][row])}"
            yield address, labels


@contextmanager
def open_row(address: str) -> Iterator[OpenRow]:
    """Open the sound of an address."""
    path, _, row = address.rpartition("#")
    with _open(Path(path)) as file:
        if not row.isdecimal() or int(row) >= len(file["waveform"]):
            raise AudioError(f"{address}: the file has {len(file['waveform'])} sounds")
        rate_hz = int(file.attrs.get("sample_rate", RATE_HZ))
        yield OpenRow(file["waveform"][int(row)], rate_hz)


@contextmanager
def _open(path: Path) -> Iterator:
    check_installed("h5py", "train")
    import h5py  # imported here: few lists need it

    try:
        with h5py.File(path, "r") as file:
            kind = getattr(file.get("waveform"), "dtype", np.int16)
            if kind != np.int16:
                raise AudioError(f"{path}: waveform in {kind}: samples of 16 bits (int16) needed")
            yield file
    except (OSError, KeyError) as error:
        raise AudioError(f"{path}: {error}") from None
