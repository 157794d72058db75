"""Hold published figures, their sources, and how sure each is. Data, not code."""

from dataclasses import dataclass

# How sure the figures of a table are -> the note that a reader gets.
SURE = {
    "read": "",
    "digest": " (as others' papers quote them)",
    "memory": " (from memory, not checked: do not quote)",
}


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table, in dB; NaN: not found. `spread` is what stands behind ±."""

    name: str
    figures: tuple[float, ...]
    spread: tuple[float, ...] = ()


@dataclass(frozen=True)
class Table:
    """A published table; `sure`, a key of SURE, says where we have its figures from."""

    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    source: str
    sure: str


MUSDB18 = Table(
    ("vocals", "drums", "bass", "other"),
    (
        PublishedRow("WaveNet 2019", (3.25, 4.22, 3.21, 2.25)),
        PublishedRow("WK 2014", (3.76, 4.00, 2.94, 2.43)),
        PublishedRow("RGT1 2018", (3.85, 3.44, 2.70, 2.63)),
        PublishedRow("Spec-U-Net 2018", (5.74, 4.66, 3.67, 3.40)),
        PublishedRow("UHL2 2017", (5.93, 5.92, 5.03, 4.19)),
        PublishedRow("MMDenseLSTM 2018", (6.60, 6.41, 5.16, 4.15)),
        PublishedRow("Open-Unmix 2019", (6.32, 5.73, 5.23, 4.02)),
        PublishedRow("Demucs 2019", (6.21, 6.50, 6.21, 3.80)),
        PublishedRow("AQMSP-Mean 2019", (4.90, 4.34, 3.09, 3.16)),
        PublishedRow("Meta-TasNet 2020", (6.40, 5.91, 5.58, 4.19)),
        PublishedRow("527-d PANN-SEP, zero-shot", (4.16, 0.95, -0.86, -2.65)),
        PublishedRow("2048-d PANN-SEP, zero-shot", (6.06, 5.00, 3.38, 2.86)),
        PublishedRow(
            "2048-d ST-SED-SEP, zero-shot", (6.15, 5.44, 3.80, 3.05), (0.22, 0.32, 0.23, 0.20)
        ),
    ),
    "Chen et al., AAAI 2022, fig/results.png of github.com/RetroCirce/"
    "Zero_Shot_Audio_Source_Separation",
    "read",
)
AUDIOSET_PAIRS = Table(
    ("mixture", "clean", "silence"),
    (
        PublishedRow("527-d PANN-SEP", (7.38, 8.89, 11.00)),
        PublishedRow("2048-d PANN-SEP", (9.42, 13.96, 15.89)),
        PublishedRow("2048-d ST-SED-SEP", (10.55, 27.83, 16.64)),
    ),
    "Chen et al., AAAI 2022",
    "memory",
)
# Drawn at random by the paper: never a target of the model `zeroshot_asp_held_out.ckpt`.
HELD_OUT = {
    4: "Conversation",
    15: "Whispering",
    63: "Clapping",
    81: "Cat",
    184: "Orchestra",
    335: "Aircraft",
    348: "Medium engine (mid frequency)",
    449: "Pour",
    474: "Scratch",
    486: "Creak",
}
