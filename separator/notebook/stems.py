"""Return stems as arrays that also have names, can be saved, and show players in a notebook.

`ArrayStems` is a numpy array (Q, C, T), `TensorStems` a tensor. Slices of them, and results of
computations, are plain arrays or tensors. Shapes: Q queries, C channels, T samples.
"""

import logging
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from separator.audio.format import AudioFormat
from separator.audio.renditions import JOINT, Editor, Edits
from separator.errors import QueryError, RequestError
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings
from separator.notebook.files import check_stem_path
from separator.notebook.players import MAX_PLAYERS, make_page, make_preview
from separator.queries import parse_queries
from separator.rows import RESIDUAL
from separator.storage.atomic import make_folder, replacing, take_folder

log = logging.getLogger(__name__)

SOUND = "the sound itself"


class NamedStems:
    """A mixin for arrays of stems: names, the residual, files, players.

    `stems["siren"]` is that stem (C, T); `keys`, `values`, `items`, `in` and `dict(stems)` go by
    name, while numbers, slices, `len` and iteration work as for any array.
    """

    rate_hz: int
    _names: tuple[str, ...] = ()
    _waveform: Tensor  # (C, T), a copy: the caller may change the original
    _examples: Collection[Path] = ()  # example files of the queries

    def keys(self) -> tuple[str, ...]:
        return self._names

    def values(self) -> tuple[Any, ...]:
        return tuple(self[name] for name in self._names)

    def items(self) -> tuple[tuple[str, Any], ...]:
        return tuple(zip(self._names, self.values(), strict=True))

    def _ipython_key_completions_(self) -> list[str]:
        """List what a notebook completes after `stems["`."""
        return list(self._names)

    def __contains__(self, item: object) -> bool:
        if isinstance(item, str):
            return item in self._names
        return item in self._plain()

    def __getitem__(self, key: Any) -> Any:
        return self._plain()[self._find(key) if isinstance(key, str) else key]

    def _find(self, name: str) -> int:
        if name not in self._names:
            known = ", ".join(self._names) or "none: this array was made of another one"
            raise QueryError(f"{name!r}: no stem of that name; there are: {known}")
        return self._names.index(name)

    def _require_names(self) -> None:
        if not self._names:
            raise QueryError("these are no stems with names: this array was made of another one")

    def _plain(self) -> Any:
        return self.as_subclass(Tensor) if isinstance(self, Tensor) else np.asarray(self)

    def __reduce_ex__(self, protocol: Any) -> Any:  # a pickle holds a plain array
        return self._plain().__reduce_ex__(protocol)

    def __deepcopy__(self, memo: Any) -> Any:
        return self._plain().__deepcopy__(memo)

    def _list_samples(self) -> Iterator[tuple[str, np.ndarray]]:
        plain = self._plain()
        samples_QCT = plain.cpu().numpy() if isinstance(plain, Tensor) else plain
        yield from zip(self._names, samples_QCT, strict=True)

    def _mix(self) -> np.ndarray:
        """Return the sound (C, T) with as many channels as the stems: one with `mono`."""
        mixture_CT = self._waveform.float().cpu().resolve_neg().numpy()
        if len(mixture_CT) != self._plain().shape[1]:
            mixture_CT = mixture_CT.mean(0, keepdims=True)
        return mixture_CT

    @property
    def residual(self) -> Any:
        """The sound minus all of its stems (C, T), the same kind of array as the stems."""
        self._require_names()
        plain = self._plain()
        if isinstance(plain, Tensor):
            return torch.from_numpy(self._mix()).to(plain.device) - plain.sum(0)
        return self._mix() - plain.sum(0)

    def save(self, folder: str | Path, format: str = "flac") -> list[Path]:
        """Write `<name>.flac` for each stem and `residual/all.flac`; return their paths.

        In flac and wav (24 bits) stems and residual add up to the sound, bit for bit, unless one
        of them is over full scale. `format` may also be ogg, mp3 or m4a.
        """
        self._require_names()
        folder, settings = take_folder(os.fspath(folder)), EncodeSettings(format)
        paths = [folder / f"{name}.{format}" for name in self._names]
        paths.append(folder / RESIDUAL / f"{JOINT}.{format}")
        self._check_paths(paths)
        edits = Edits("joint", settings.integer_bits or 24)
        editor = Editor(self._mix(), 0, self.rate_hz, edits)
        for path, (name, stem_CT) in zip(paths, self._list_samples(), strict=False):
            for product in editor.add(name, stem_CT):
                self._write(path, product.samples, settings)
        for product in editor.finish():
            self._write(paths[-1], product.samples, settings)
        return paths

    def _check_paths(self, paths: Sequence[Path]) -> None:
        for path in paths:
            check_stem_path(path)
            if path.resolve() in self._examples:
                raise RequestError(f"{path} is an example sound, and a stem would replace it")

    def _write(self, path: Path, samples_CT: np.ndarray, settings: EncodeSettings) -> None:
        make_folder(path.parent)
        with replacing(path) as temporary:
            audio_format = AudioFormat(self.rate_hz, len(samples_CT))
            report = encode([samples_CT], temporary, audio_format, settings=settings)
        if report.num_clipped:
            log.warning(
                "%s: %d samples over full scale were clipped: it does not add up with the others",
                path,
                report.num_clipped,
            )

    def _repr_html_(self) -> str | None:
        """Show the sound, its stems and its residual. Without names, return None: the notebook
        then shows plain text."""
        if not self._names:
            return None
        stems = list(self._list_samples())
        rest_CT = self._mix() - np.sum([stem_CT for _, stem_CT in stems], 0)
        sounds = [(SOUND, self._mix()), *stems[: MAX_PLAYERS - 2], (RESIDUAL, rest_CT)]
        previews = [make_preview(name, samples, self.rate_hz) for name, samples in sounds]
        return make_page(previews, len(stems) + 2)

    def _name(
        self, names: Sequence[str], waveform_CT: Tensor, rate_hz: int, examples: Collection[Path]
    ) -> None:
        self._names, self._waveform, self.rate_hz = tuple(names), waveform_CT.clone(), rate_hz
        self._examples = examples


class ArrayStems(NamedStems, np.ndarray):
    """Stems (Q, C, T) as a numpy array."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Compute with plain arrays."""
        given = [each._plain() if isinstance(each, ArrayStems) else each for each in inputs]
        if out := kwargs.get("out"):
            kwargs["out"] = tuple(x._plain() if isinstance(x, ArrayStems) else x for x in out)
        return getattr(ufunc, method)(*given, **kwargs)


class TensorStems(NamedStems, Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Stems (Q, C, T) as a tensor."""

    # Results of computations are plain tensors, as for torch.nn.Parameter.
    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore


def name_queries(queries: Any, num_stems: int) -> list[str]:
    """List the names of stems; without queries, the stems of conditions are numbered."""
    if queries is None:
        return [f"condition-{number}" for number in range(num_stems)]
    return [query.name for query in parse_queries(queries, with_samples=True)]


def name_array(
    stems: Tensor,
    names: Sequence[str],
    waveform_CT: Tensor,
    rate_hz: int,
    examples: Collection[Path] = (),
) -> ArrayStems:
    """Give stems (Q, C, T) their names, as a numpy array. `save` refuses to replace `examples`."""
    named = stems.numpy().view(ArrayStems)
    named._name(names, waveform_CT, rate_hz, examples)
    return named


def name_tensor(
    stems: Tensor,
    names: Sequence[str],
    waveform_CT: Tensor,
    rate_hz: int,
    examples: Collection[Path] = (),
) -> TensorStems:
    """Give stems (Q, C, T) their names, as a tensor on the waveform's device."""
    named = stems.to(waveform_CT.device).as_subclass(TensorStems)
    named._name(names, waveform_CT, rate_hz, examples)
    return named
