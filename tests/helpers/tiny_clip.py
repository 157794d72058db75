"""Make a small CLIP with random weights in the layouts of OpenAI, open_clip and Hugging Face."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

WIDTH, LAYERS, PATCH, SIZE, TOKENS = 64, 2, 16, 32, 77
CONFIG = {"text_config": {"hidden_act": "quick_gelu"}}
OPEN_CLIP_CONFIG = {"model_cfg": {"embed_dim": 512, "quick_gelu": True}}


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, 1)
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Module()
        self.mlp.c_fc, self.mlp.c_proj = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(Block() for _ in range(LAYERS)))


class Visual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(WIDTH))
        self.positional_embedding = nn.Parameter(torch.zeros((SIZE // PATCH) ** 2 + 1, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = Tower()
        self.proj = nn.Parameter(torch.zeros(WIDTH, 512))


class OpenAi(nn.Module):
    """Modules under OpenAI's names; it cannot compute anything."""

    def __init__(self, with_constants: bool = False) -> None:
        super().__init__()
        self.visual, self.transformer = Visual(), Tower()
        self.token_embedding = nn.Embedding(49_408, WIDTH)
        self.positional_embedding = nn.Parameter(torch.zeros(TOKENS, WIDTH))
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.zeros(WIDTH, 512))
        self.logit_scale = nn.Parameter(torch.zeros(()))
        if with_constants:
            for name, value in (
                ("input_resolution", SIZE),
                ("context_length", TOKENS),
                ("vocab_size", 49_408),
            ):
                self.register_buffer(name, torch.tensor(value))

    def forward(self) -> Tensor:
        return self.logit_scale + 1


def make_openai(seed: int = 0, with_constants: bool = False) -> OpenAi:
    """Make random weights under OpenAI's names."""
    torch.manual_seed(seed)
    model = OpenAi(with_constants)
    for name, tensor in model.named_parameters():
        tensor.data = torch.randn_like(tensor) * (0.2 if tensor.ndim > 1 else 0.1)
        if ".ln" in f".{name}" and name.endswith("weight"):
            tensor.data += 1
    return model


def write_openai(folder: Path, seed: int = 0) -> Path:
    """Write a TorchScript archive, as OpenAI's file is one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "ViT-B-32.pt"
    torch.jit.save(torch.jit.trace(make_openai(seed, with_constants=True), ()), str(path))
    return path


def write_open_clip(folder: Path, seed: int = 0, with_config: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "open_clip_model.safetensors"
    save_file({n: t.detach().contiguous() for n, t in make_openai(seed).state_dict().items()}, path)
    if with_config:
        (folder / "open_clip_config.json").write_text(json.dumps(OPEN_CLIP_CONFIG))
    return path


def write_hugging_face(folder: Path, seed: int = 0) -> Path:
    """Write a folder as transformers does, by names of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    state = to_hugging_face({n: t.detach() for n, t in make_openai(seed).state_dict().items()})
    path = folder / "model.safetensors"
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(tensors, path, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return path


def to_hugging_face(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Spell every name out, tensor by tensor."""
    vision, text = "vision_model.embeddings", "text_model.embeddings"
    out = {
        f"{vision}.class_embedding": state["visual.class_embedding"],
        f"{vision}.patch_embedding.weight": state["visual.conv1.weight"],
        f"{vision}.position_embedding.weight": state["visual.positional_embedding"],
        f"{text}.token_embedding.weight": state["token_embedding.weight"],
        f"{text}.position_embedding.weight": state["positional_embedding"],
        f"{text}.position_ids": torch.arange(TOKENS)[None],
        "visual_projection.weight": state["visual.proj"].T,
        "text_projection.weight": state["text_projection"].T,
        "logit_scale": state["logit_scale"],
    }
    for end in ("weight", "bias"):
        out[f"vision_model.pre_layrnorm.{end}"] = state[f"visual.ln_pre.{end}"]
        out[f"vision_model.post_layernorm.{end}"] = state[f"visual.ln_post.{end}"]
        out[f"text_model.final_layer_norm.{end}"] = state[f"ln_final.{end}"]
        for own, other in (("visual.", "vision_model."), ("", "text_model.")):
            for i in range(LAYERS):
                old = f"{own}transformer.resblocks.{i}"
                new = f"{other}encoder.layers.{i}"
                whole = state[f"{old}.attn.in_proj_{end}"]
                for part, start in (("q", 0), ("k", WIDTH), ("v", 2 * WIDTH)):
                    out[f"{new}.self_attn.{part}_proj.{end}"] = whole[start : start + WIDTH]
                out[f"{new}.self_attn.out_proj.{end}"] = state[f"{old}.attn.out_proj.{end}"]
                for a, b in (("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"),
                             ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")):  # fmt: skip
                    out[f"{new}.{b}.{end}"] = state[f"{old}.{a}.{end}"]
    return out
