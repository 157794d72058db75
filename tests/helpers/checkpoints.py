"""Make a small network, and write it as Lightning does."""

from pathlib import Path

import torch

from separator.model.resunet import NetworkConfig, ResUNet

SMALL = NetworkConfig(widths=(4, 4, 8, 8, 8, 8))
ENCODER = {
    "text_branch.embeddings.word_embeddings.weight": torch.arange(12.0).reshape(3, 4),
    "text_projection.0.bias": torch.tensor([0.5, -1.0]),
    "audio_branch.bn0.weight": torch.ones(3),
}


def make_net(config: NetworkConfig = SMALL, seed: int = 0) -> ResUNet:
    torch.manual_seed(seed)
    net = ResUNet(config)
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    return net.eval()


def write_lightning(net: ResUNet, path: Path, legacy: bool = False, **more: object) -> Path:
    state = {f"ss_model.{name}": tensor for name, tensor in net.state_dict().items()}
    state |= {f"query_encoder.model.{name}": tensor for name, tensor in ENCODER.items()}
    content = {"epoch": 1, "state_dict": state, **more}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path
