"""Define the settings of a training run; the defaults are AudioSep's recipe."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from omegaconf import MISSING

from separator.config_file import check_choice, check_number
from separator.errors import RequestError
from separator.storage import StorageSettings

LOSSES = ("l1", "log")
TASKS = ("text", "examples", "tags", "times")
DRIVEN = ("text", "examples")  # tasks that train a separator
KINDS = ("resunet", "unet")
ANY_LICENCE, PERMISSIVE = "all", "permissive"
MAX_COUNT = 1_000_000_000
Range = tuple[float, float]
RATIO: Range = (0.0, 1.0)


def check_numbers(settings: object, section: str, ranges: Mapping[str, Range]) -> None:
    """Refuse settings of a section that lie outside their ranges."""
    for name, (least, most) in ranges.items():
        check_number(f"{section}{name}", getattr(settings, name), least, most)


@dataclass
class NetSettings:
    kind: str = "resunet"  # AudioSep's network; unet: the one of zero-shot separation
    widths: list[int] = field(default_factory=lambda: [32, 64, 128, 256, 384, 384])
    n_fft: int = 2048
    hop: int = 320
    start_from: str | None = None  # a checkpoint to fine-tune

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise RequestError(f"net.kind={self.kind!r}: must be one of {KINDS}")


@dataclass
class DetectorSettings:
    """The network of a detector and its augmentation. `task: tags` is HTS-AT with a token-semantic
    head; `task: times` has only `widths`, `row_width`, and stripes of mel bands."""

    width: int = 256
    depths: list[int] = field(default_factory=lambda: [2, 2, 6, 2])
    drop_ratio: float = 0.1  # stochastic depth in the last block, rising from 0 in the first
    # SpecAugment: stripes of each kind, and the most frames or mel bands that one covers.
    stripes: int = 2
    stripe_frames: int = 64
    stripe_mels: int = 8
    mixup: float = 0.5  # Beta(mixup, mixup) gives the weights of two mixed examples; 0: off
    widths: list[int] = field(default_factory=lambda: [24, 48, 96, 128, 128])
    row_width: int = 192

    def __post_init__(self) -> None:
        ranges: dict[str, Range] = {"width": (1, 4096), "row_width": (1, 4096)}
        ranges |= {"drop_ratio": (0, 0.99), "stripes": (0, 100), "mixup": (0, 1000)}
        ranges |= {"stripe_frames": (0, 1024), "stripe_mels": (0, 64)}
        check_numbers(self, "detector.", ranges)
        if len(self.depths) != 4 or min(self.depths) < 1:
            raise RequestError(f"detector.depths={list(self.depths)}: must be four numbers from 1")


@dataclass
class ChangeSettings:
    """Random changes of the sounds that are mixed; all off by default.

    Recordings are the sounds of lists with a column `package`.
    """

    high_pass_hz: float = 0.0  # every sound; 0: off
    low_pass_ratio: float = 0.0  # share of sounds cut off above a frequency from `low_pass_hz`
    low_pass_hz: list[float] = field(default_factory=lambda: [2_500.0, 15_000.0])
    semitones: float = 0.0  # recordings up to this much higher and faster, or lower and slower
    room_ratio: float = 0.0  # share of recordings that get the reverberation of a room
    colour_db: float = 0.0  # every sound goes through a random equaliser with gains of up to this
    pause_s: list[float] = field(default_factory=lambda: [0.1, 1.0])  # between joined recordings
    level_db: list[float] = field(default_factory=list)  # RMS of mixtures; empty: as they come

    def __post_init__(self) -> None:
        ranges: dict[str, Range] = {"high_pass_hz": (0, 2_000), "semitones": (0, 24)}
        ranges |= {"low_pass_ratio": RATIO, "room_ratio": RATIO, "colour_db": (0, 60)}
        check_numbers(self, "data.changes.", ranges)
        pairs = {"low_pass_hz": self.low_pass_hz, "pause_s": self.pause_s}
        pairs |= {"level_db": self.level_db} if self.level_db else {}
        for name, pair in pairs.items():
            least = -200.0 if name == "level_db" else 1e-3
            if len(pair) != 2 or not least <= pair[0] <= pair[1] <= MAX_COUNT:
                raise RequestError(f"data.changes.{name}={list(pair)}: must be [least, most]")


@dataclass
class DataSettings:
    lists: list[str] = MISSING  # AudioSep's JSON, or JSONL/Parquet/CSV with audio and captions
    without: list[str] = field(default_factory=list)  # leave out sounds with these labels
    licences: str = ANY_LICENCE  # permissive: no sound whose licence asks for more than credit
    segment_s: float = 5.0
    level_db: float = 10.0  # largest difference between the energies of two sounds
    third_ratio: float = 0.0  # share of mixtures that get a third sound
    ask_each: bool = False  # two examples of each mixture, one for each of its first two sounds
    absent_ratio: float = 0.0  # share of examples with a query for a sound that is not there
    # For lists with recordings (a column `package`) and synthetic sounds: the share of targets that
    # are recordings, and of other sounds that have the target's origin. 0.5 and 2/3 give a third
    # each of recordings alone, synthetic sounds alone, and both. Below 0: origins do not matter.
    real_ratio: float = -1.0
    same_origin_ratio: float = 0.5
    # `task: examples`: the share of targets whose condition is the embedding of their own 2 s, as
    # in the paper. The others get the mean of 1 to `most_examples` other sounds of their label.
    own_ratio: float = 1.0
    most_examples: int = 5
    # `task: tags` and `times`: sounds placed in one example, [least, most].
    num_sounds: list[int] = field(default_factory=lambda: [1, 1])
    # `task: times`: seconds of each sound, [least, most], and share of examples with noise.
    sound_s: list[float] = field(default_factory=lambda: [2.0, 8.0])
    noise_ratio: float = 0.7
    changes: ChangeSettings = field(default_factory=ChangeSettings)

    def __post_init__(self) -> None:
        if len(self.sound_s) != 2 or not 0.1 <= self.sound_s[0] <= self.sound_s[1] <= 600:
            raise RequestError(f"data.sound_s={list(self.sound_s)}: must be [least, most]")
        if len(self.num_sounds) != 2 or not 0 <= self.num_sounds[0] <= self.num_sounds[1]:
            raise RequestError(f"data.num_sounds={list(self.num_sounds)}: must be [least, most]")
        ranges = dict.fromkeys(("third_ratio", "absent_ratio", "same_origin_ratio"), RATIO)
        ranges |= dict.fromkeys(("own_ratio", "noise_ratio"), RATIO)
        ranges |= {"segment_s": (0.05, 600), "level_db": (0, 200), "most_examples": (1, 1000)}
        check_numbers(self, "data.", ranges | {"real_ratio": (-1, 1)})
        check_choice("data.licences", self.licences, (ANY_LICENCE, PERMISSIVE))


@dataclass
class OptimSettings:
    num_steps: int = 1_000_000
    batch: int = 16  # per worker
    loss: str = "l1"  # l1 | log
    rate: float = 1e-3
    warmup_steps: int = 10_000
    decay: bool = False  # cosine to zero after the warm-up
    # [[step, factor], ...]: the rate's factor up to each step, instead of warm-up and decay.
    factors: list[list[float]] = field(default_factory=list)
    weight_decay: float = 0.0
    amsgrad: bool = True
    use_text_ratio: float = 1.0  # share of captions; other queries are the target's own audio
    use_image: bool = False  # with CLIP: other queries are the target's image or video
    clip_norm: float = 0.0  # 0: off
    ema: float = 0.0  # 0: off
    autocast: bool = False  # bf16 in the network
    compile: bool = False  # a minute at the start; then a GPU takes half the time for a step

    def __post_init__(self) -> None:
        ranges: dict[str, Range] = {"num_steps": (1, MAX_COUNT), "batch": (1, MAX_COUNT)}
        ranges |= {"rate": (0, 1_000), "warmup_steps": (0, MAX_COUNT), "weight_decay": (0, 1_000)}
        ranges |= {"use_text_ratio": RATIO, "ema": RATIO, "clip_norm": (0, MAX_COUNT)}
        check_numbers(self, "optim.", ranges)
        if self.loss not in LOSSES:
            raise RequestError(f"optim.loss={self.loss!r}: must be one of {LOSSES}")
        if self.ema == 1:
            raise RequestError("optim.ema=1: the average would never change; try 0.999, or 0: off")
        if any(len(pair) != 2 for pair in self.factors):
            raise RequestError(f"optim.factors={self.factors}: must be [[step, factor], ...]")
        steps = [step for step, _ in self.factors]
        if sorted(set(steps)) != steps or not all(0 <= f <= 1_000 for _, f in self.factors):
            raise RequestError(
                f"optim.factors={self.factors}: steps must rise, and factors lie in 0..1000"
            )


@dataclass
class TrainSettings:
    output: str = MISSING
    name: str = "run"
    # text: a separator driven by captions. examples: a separator driven by a detector's embedding
    # of example sounds. tags: such a detector. times: a detector that says when.
    task: str = "text"
    # A checkpoint that holds the encoder, or `clip`: your own copy. `examples`: the detector.
    encoder: str = ""
    clip_raw: bool = False  # with `clip`: conditions keep CLIP's own length, as in CLIPSep
    seed: int = 0
    workers: int = 1
    use_gpu: bool = False
    readers: int = 1  # CPU tasks per worker that make mixtures
    checkpoint_every: int = 10_000
    keep: int = 3
    max_failures: int = 3
    storage: StorageSettings = field(default_factory=StorageSettings)
    net: NetSettings = field(default_factory=NetSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    data: DataSettings = field(default_factory=DataSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)

    def __post_init__(self) -> None:
        if "/" in self.name or self.name in ("", ".", ".."):
            raise RequestError(f"name={self.name!r}: must be the name of a folder in the output")
        counts = dict.fromkeys(("workers", "readers", "checkpoint_every", "keep"), (1.0, MAX_COUNT))
        counts |= {"seed": (0, MAX_COUNT), "max_failures": (-1, MAX_COUNT)}  # -1: any number
        check_numbers(self, "", counts)
        if self.task == "tags" and not self.data.num_sounds[0]:
            raise RequestError("data.num_sounds: an example of task=tags has one sound at least")
        if self.task not in TASKS:
            raise RequestError(f"task={self.task!r}: must be one of {TASKS}")
        if self.task == "times" and self.data.changes.level_db:
            raise RequestError("data.changes.level_db: task=times draws a level of its own")
        if self.optim.compile and self.task not in DRIVEN:
            raise RequestError(f"optim.compile: for separators, not for task={self.task}")
        for name, value in (("encoder", self.encoder), ("net.start_from", self.net.start_from)):
            if value and self.task not in DRIVEN:
                raise RequestError(
                    f"{name}={value!r}: task={self.task} trains a new detector; leave it out"
                )
        if self.task in DRIVEN and not self.encoder:
            needed = "the text encoder" if self.task == "text" else "the detector"
            raise RequestError(f"encoder: name a checkpoint that holds {needed}")
        if self.task == "examples" and self.optim.batch % 2:
            raise RequestError(f"optim.batch={self.optim.batch}: must be even, pairs make two each")
