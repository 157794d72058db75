"""Define the settings of a training run; the defaults are AudioSep's recipe."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from separator.errors import RequestError
from separator.storage import StorageSettings

LOSSES = ("l1", "log")


@dataclass
class NetSettings:
    widths: list[int] = field(default_factory=lambda: [32, 64, 128, 256, 384, 384])
    n_fft: int = 2048
    hop: int = 320
    start_from: str | None = None  # a checkpoint to fine-tune


@dataclass
class DataSettings:
    lists: list[str] = MISSING  # AudioSep's JSON, or JSONL/Parquet/CSV with audio and captions
    segment_s: float = 5.0
    level_db: float = 10.0  # the other sound lies within this of the energy of the target
    third_ratio: float = 0.0  # mixtures that get a third sound
    absent_ratio: float = 0.0  # mixtures with a query for a sound that is not in them


@dataclass
class OptimSettings:
    num_steps: int = 1_000_000
    batch: int = 16  # per worker
    loss: str = "l1"  # l1 | log
    rate: float = 1e-3
    warmup_steps: int = 10_000
    decay: bool = False  # cosine to zero after the warm-up
    use_text_ratio: float = 1.0  # the rest are conditioned on the target's own audio
    clip_norm: float = 0.0  # 0: off
    ema: float = 0.0  # 0: off
    autocast: bool = False  # bf16 in the network

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise RequestError(f"optim.loss={self.loss!r}: must be one of {LOSSES}")


@dataclass
class TrainSettings:
    output: str = MISSING
    name: str = "run"
    encoder: str = MISSING  # a checkpoint that holds the encoder
    seed: int = 0
    workers: int = 1
    use_gpu: bool = False
    readers: int = 1  # CPU tasks per worker that make mixtures
    checkpoint_every: int = 10_000
    keep: int = 3
    max_failures: int = 3
    storage: StorageSettings = field(default_factory=StorageSettings)
    net: NetSettings = field(default_factory=NetSettings)
    data: DataSettings = field(default_factory=DataSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)
