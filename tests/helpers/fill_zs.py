"""Fill ST-SED and its query-based separator with weights that are the same on every machine.

`fill.py` knows only 4-D convolutions and AudioSep's names; this one draws by the same rule (PCG64
of [seed, crc32(name)], one standard normal per element first) and scales any shape. Names are those
of the official files: they begin with `sed_model.` for ST-SED, with no prefix for the separator.
"""

import zlib

import numpy as np

# Never filled: they keep the value that their definition gives them (the DFT kernels of the files,
# the mel filters, tables of positions, masks of moved windows).
CONSTANTS = (
    "stft.conv_real.weight",
    "stft.conv_imag.weight",
    "ola_window",
    "melW",
    "relative_position_index",
    "attn_mask",
)


def is_constant(name: str) -> bool:
    return name.endswith(CONSTANTS)


def fill(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    assert not is_constant(name), name
    rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
    noise = rng.standard_normal(shape)
    of_decibels = name.startswith("sed_model.bn0.")  # its input is a level in dB
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    if name.endswith("running_var"):
        return (200 if of_decibels else 1) * (0.5 + rng.random(shape))
    if name.endswith("running_mean"):
        return 5 * noise - 25 if of_decibels else 0.1 * noise
    if name.endswith("bias"):
        return 0.1 * noise
    if name.endswith("relative_position_bias_table"):
        return 0.5 * noise
    if len(shape) == 1:  # scale of a norm
        return 1 + 0.1 * noise
    noise /= np.sqrt(np.prod(shape[1:]))
    if shape[-2:] == (3, 3):  # of the separator: little at rest and a gain, or its maps go flat
        return 2 * (noise - 0.7 * noise.mean((2, 3), keepdims=True))
    return 0.4 * noise if name == "after_conv2.weight" else noise
