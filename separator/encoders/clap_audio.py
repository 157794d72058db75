"""Prepare audio as LAION-CLAP does, and run its audio side alone.

laion-clap is not imported here, so that a worker can encode audio.

Shapes: C channels, T samples, D condition.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from separator.audio.exact import computing
from separator.audio.resample import resample
from separator.audio.spans import check_rate
from separator.errors import AudioError, CheckpointMismatch, NonFiniteAudio
from separator.model.htsat import Htsat, read_config
from separator.model.tensors import take_prefixed

RATE_HZ = 48_000
STRETCH_SAMPLES = 10 * RATE_HZ
BRANCH, PROJECTION = "audio_branch.", "audio_projection."
HOP = 480


class ClapAudio(nn.Module):
    """The audio side of a LAION-CLAP, made by `read_clap_audio`."""

    listen_s = STRETCH_SAMPLES / RATE_HZ  # shorter audio is repeated up to this length

    def __init__(self, branch: Htsat, projection: nn.Sequential) -> None:
        super().__init__()
        self.branch, self.projection = branch, projection
        self.in_bf16 = False  # takes half the time on a processor with bf16, exact to 3 digits

    def forward(self, stretches_BT: Tensor) -> Tensor:
        picture_B1HW = self.branch.draw(stretches_BT)
        with torch.autocast(picture_B1HW.device.type, torch.bfloat16, enabled=self.in_bf16):
            projected_BD = self.projection(self.branch(picture_B1HW))
        return F.normalize(projected_BD.float(), dim=-1)

    @torch.inference_mode()
    def encode_audio(self, waveform_CT: np.ndarray, rate_hz: int) -> np.ndarray:
        """Return the condition (512,) of an example sound, as `ClapEncoder` does."""
        device = self.branch.norm.weight.device
        return encode_stretches(waveform_CT, rate_hz, lambda t: self(t[None])[0], device)


def read_clap_audio(state: Mapping[str, Tensor]) -> ClapAudio:
    """Build the audio side from a LAION-CLAP's tensors, which are copied."""
    try:
        config = replace(read_config(take_prefixed(state, BRANCH), HOP), num_classes=0)
        num_out, num_features = state[f"{PROJECTION}2.weight"].shape
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointMismatch(f"no audio side of a LAION-CLAP: {error}") from None
    if any("fusion_model." in name for name in state):
        raise CheckpointMismatch("a LAION-CLAP with feature fusion; AudioSep's have none")
    if not config.depths:
        raise CheckpointMismatch(f"no audio side of a LAION-CLAP: it has no {BRANCH}layers")
    branch = Htsat(config)
    num_in = branch.norm.weight.shape[0]
    projection = nn.Sequential(
        nn.Linear(num_in, num_features), nn.ReLU(), nn.Linear(num_features, num_out)
    )
    for module, prefix in ((branch, BRANCH), (projection, PROJECTION)):
        own = take_prefixed(state, prefix)
        # The other tensors are constants and heads that do not affect the condition.
        wanted = {name: t for name, t in own.items() if name in module.state_dict()}
        try:
            module.load_state_dict(wanted)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise CheckpointMismatch(f"another audio side of a LAION-CLAP: {reason}") from None
    return ClapAudio(branch, projection).eval().requires_grad_(False)


def encode_stretches(
    waveform_CT: np.ndarray,
    rate_hz: int,
    embed: Callable[[Tensor], Tensor],
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Average `embed` over stretches of 10 s and normalise to length 1.

    laion-clap takes one stretch at random.
    """
    stretches = cut_stretches(prepare_audio(waveform_CT, rate_hz, device))
    with computing(stretches[0].device):
        total_D = torch.stack([embed(stretch_T).double() for stretch_T in stretches]).sum(0)
    return (total_D / total_D.norm()).float().cpu().numpy()


def prepare_audio(
    waveform_CT: np.ndarray, rate_hz: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Convert to mono at 48 kHz, rounded to 16 bits like all audio that CLAP was trained on."""
    waveform_CT = np.asarray(waveform_CT)
    if waveform_CT.ndim != 2 or waveform_CT.size == 0:
        raise AudioError(f"shape {waveform_CT.shape}: (channels, samples) needed, neither zero")
    if waveform_CT.dtype.kind != "f":
        raise AudioError(f"dtype {waveform_CT.dtype}: floating point needed, full scale 1.0")
    check_rate(rate_hz)
    if not np.isfinite(waveform_CT).all():
        count = int(np.size(waveform_CT) - np.isfinite(waveform_CT).sum())
        raise NonFiniteAudio(f"{count} of {waveform_CT.size} samples are NaN or infinite")
    mono_T = waveform_CT.mean(0, dtype=np.float64).astype(np.float32)
    resampled_T = resample(torch.from_numpy(mono_T)[None].to(device), rate_hz, RATE_HZ)[0]
    return (resampled_T.clamp(-1.0, 1.0) * 32767.0).to(torch.int16) / 32767.0


def cut_stretches(waveform_T: Tensor) -> list[Tensor]:
    """Cut evenly spaced stretches of 10 s that cover all of the audio; repeat shorter audio.

    The repetition is laion-clap's "repeatpad": as many whole copies as fit, then zeros.
    """
    num_samples = len(waveform_T)
    if num_samples < STRETCH_SAMPLES:
        repeated_T = waveform_T.repeat(STRETCH_SAMPLES // num_samples)
        return [nn.functional.pad(repeated_T, (0, STRETCH_SAMPLES - len(repeated_T)))]
    count = -(-num_samples // STRETCH_SAMPLES)
    room = num_samples - STRETCH_SAMPLES
    starts = [i * room // max(1, count - 1) for i in range(count)]
    return [waveform_T[start : start + STRETCH_SAMPLES] for start in starts]
