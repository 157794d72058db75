"""Describe a file of weights by the names of its tensors, and say what can read it. Pure."""

from collections.abc import Collection

# (prefixes of names, of which one in each tuple must occur; what the file is; the way out). The
# first entry that fits counts.
CLAP_SIDES = ("text_branch.", "audio_branch.", "module.text_branch.", "module.audio_branch.")
ASP = ("encoder_block1.conv_block.emb1.",)
AT_MODEL = ("at_model.",)
KINDS: list[tuple[list[tuple[str, ...]], str, str]] = [
    (
        [ASP, AT_MODEL],
        "the separator of zero-shot separation with a detector inside (at_model.)",
        "it separates by example sounds; a detector has a file of its own",
    ),
    (
        [ASP],
        "the separator of zero-shot separation",
        "it separates by example sounds, with a detector beside it",
    ),
    (
        [AT_MODEL],
        "a detector inside a training file of zero-shot separation (at_model.), without the "
        "separator",
        "take the detector's own file",
    ),
    ([("sed_model.",)], "a detector (HTS-AT)", "load_detector reads it"),
    (
        [("frame_model.",)],
        "a network that only says when sounds are heard, without embeddings",
        "load_detector reads it",
    ),
    (
        [("query_net.",), ("ss_model.",)],
        "the separator of USS, conditioned by sounds",
        "no reader of it is part of this package",
    ),
    ([("ss_model.", "base.", "film.")], "a separator of AudioSep's kind", "load_model reads it"),
    ([CLAP_SIDES], "a LAION-CLAP", "it belongs beside a separator, as its text encoder"),
]


def describe(names: Collection[str]) -> str | None:
    """Say what a file with these tensors is, and the way out; None if no entry fits."""
    for wanted, kind, way_out in KINDS:
        if all(any(name.startswith(begin) for name in names) for begin in wanted):
            return f"{kind}: {way_out}"
    return None


def explain(names: Collection[str]) -> str:
    """Describe any file; of an unknown network, name the first tensor."""
    first = min(names, default="none")
    return describe(names) or f"an unknown network ({len(names)} tensors, first: {first})"
