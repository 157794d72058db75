"""Separate pieces of 2 s, each alone, as the official program of zero-shot separation does.

Each piece sees its own edges, so stems have seams; the scores of the paper come from such pieces.
The official program drops the remainder at the end; here the remainder is a shorter piece.

Shapes: K pieces, C channels, P passes, T samples, N frames, F bins, B pieces of all passes,
Q queries, D condition, S shifts.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from separator.audio.channels import ChannelPolicy, choose_passes
from separator.model.cuts import PIECE_S
from separator.model.forward import Forward
from separator.model.networks import shift_each
from separator.model.spectrogram import compute_whole_spectrum, invert_spectrum


def separate_pieces(
    forward: Forward, policy: ChannelPolicy, waveform_CT: Tensor, conditions_QD: Tensor
) -> Iterator[Tensor]:
    """Yield the stem (C, T) of each query, at the network's rate."""
    n_fft, hop, net = forward.config.n_fft, forward.config.hop, forward.net
    length = PIECE_S * forward.config.rate_hz
    num_whole = waveform_CT.shape[1] // length
    whole_CT, rest_CT = waveform_CT.tensor_split([num_whole * length], 1)
    groups = []
    for pieces_CKT in (whole_CT.unflatten(1, (num_whole, length)), rest_CT[:, None]):
        if pieces_CKT.numel():
            spectrum_BNF = compute_whole_spectrum(pieces_CKT.flatten(0, 1), n_fft, hop)
            spectrum_CKNF = spectrum_BNF.unflatten(0, pieces_CKT.shape[:2])
            groups.append((*choose_passes(spectrum_CKNF, policy), pieces_CKT.shape[2]))
    for shifts_S in shift_each(net, conditions_QD):
        stems = []
        for input_PKNF, filtered_CKNF, num_samples in groups:
            x_BNF = net.normalize(input_PKNF.abs().flatten(0, 1))
            gain_BNF = torch.view_as_complex(run_batches(forward, x_BNF, shifts_S))
            gain_PKNF = gain_BNF.unflatten(0, input_PKNF.shape[:2])[:, :, : input_PKNF.shape[2]]
            stem_CKNF = F.pad(gain_PKNF, (0, 1), value=net.last_gain) * filtered_CKNF
            stem_BT = invert_spectrum(stem_CKNF.flatten(0, 1), n_fft, hop, num_samples)
            stems.append(stem_BT.view(len(stem_CKNF), -1))
        yield torch.cat(stems, 1)


def run_batches(forward: Forward, x_BNF: Tensor, shifts_S: Tensor) -> Tensor:
    """Compute the gains (B, N, F - 1, 2) of pieces of one length, in batches that fit."""
    gains, at, num_frames = [], 0, x_BNF.shape[1]
    while at < len(x_BNF):
        batch = forward.choose_batch(num_frames)
        part = x_BNF[at : at + batch]
        try:
            gains.append(forward(part, shifts_S.expand(len(part), -1)))
        except torch.OutOfMemoryError:
            forward.shrink(num_frames, len(part), num_frames)
            continue
        at += len(part)
    return torch.cat(gains)
