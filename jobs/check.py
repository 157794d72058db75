"""Check that a run can start: one line a check, ok or what is wrong.

The check covers the decoder, free disk, input, output, weights, encoder, detector, Ray and devices.
A small object is written to the output and deleted again; weights are not downloaded.
"""

import argparse
import itertools
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.command import JOB_KEYS, OK, REFUSED, Command, add_config_arguments, say, show_bytes
from jobs.separate import require_ffmpeg
from separator.errors import (
    CheckpointMissing,
    DiskFull,
    EncoderMissing,
    RequestError,
    SeparatorError,
)

if TYPE_CHECKING:
    from separator.config import JobConfig
    from separator.storage import Storage

MAX_SEEN = 100  # assets of the input
MIN_FREE_BYTES = 5 << 30  # for copies of assets from S3, and for Ray's own files


def run(options: argparse.Namespace) -> int:
    say(f"checking {options.config} ...")
    from separator.config import read_config
    from separator.storage import Storage

    config = read_config(options.config, options.overrides)
    storage = Storage(config.storage)
    num_wrong = 0
    for name, look in list_checks(config, storage):
        try:
            print_line(name, "ok", look())
        except SeparatorError as error:
            print_line(name, "WRONG", str(error))
            num_wrong += 1
    if num_wrong:
        print(f"\n{num_wrong} of these would stop the run, or leave it without work")
    return REFUSED if num_wrong else OK


def print_line(name: str, state: str, text: str) -> None:
    """Print one check, in lines of 80 columns; addresses and paths are not broken."""
    start = f"{name:9}{state:7}"
    print(textwrap.fill(text, 80, initial_indent=start, subsequent_indent=" " * len(start),
                        break_long_words=False, break_on_hyphens=False), flush=True)  # fmt: skip


def list_checks(config: "JobConfig", storage: "Storage") -> Iterator[tuple[str, Callable[[], str]]]:
    """List the name and the function of each check, the quick ones first."""
    yield "config", lambda: f"{len(config.parse_queries())} queries"
    yield "decoder", check_decoder
    if config.output.remux != "none":
        yield "ffmpeg", lambda: check_ffmpeg(config.output.remux_codec)
    yield "disk", check_disk
    yield "input", lambda: check_input(config, storage)
    yield "output", lambda: check_output(config.output.uri, storage)
    yield "weights", lambda: check_weights(config, storage)
    yield "encoder", lambda: check_encoder(config, storage)
    yield "detector", lambda: check_detector(config, storage)
    yield "ray", lambda: check_ray(config)


def check_decoder() -> str:
    """Encode and decode a little silence."""
    import importlib.metadata

    import numpy as np

    from separator.audio.format import AudioFormat
    from separator.media.decode import decode
    from separator.media.encode import encode
    from separator.media.probe import probe

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "silence.flac"
        encode([np.zeros((1, 4800), np.float32)], path, AudioFormat(48_000, 1))
        media = probe(path)
        num_samples = sum(block.shape[1] for block in decode(path, media, media.tracks[0]))
    assert num_samples == 4800, num_samples
    return f"PyAV {importlib.metadata.version('av')}"


def check_ffmpeg(codec: str | None) -> str:
    require_ffmpeg(codec)
    return ", ".join(map(check_program, ("ffmpeg", "ffprobe")))


def check_program(program: str) -> str:
    from separator.media.ffmpeg import run as run_program
    from separator.media.limits import Limits

    said = run_program([program, "-version"], Path(program), Limits(), 1 << 16).decode()
    return f"{program} {said.split()[2]}"


def check_disk() -> str:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise DiskFull(
            f"{folder}: {show_bytes(free)} free, {show_bytes(MIN_FREE_BYTES)} should be; "
            "make room, or set TMPDIR to another disk"
        )
    return f"{show_bytes(free)} free in {folder}"


def check_input(config: "JobConfig", storage: "Storage") -> str:
    """List the first assets as a run would, of all shards."""
    from separator.stages.listing import Listing
    from separator.stages.work import make_work
    from separator.storage.tables import is_list

    uri = config.input.uri
    # Neither checkpoint nor precision matters here; names tell example sounds apart.
    queries = [replace(query, version=query.name) for query in config.parse_queries()]
    work = make_work(config, "", "fp32", {}, queries)
    whole = replace(config, run=replace(config.run, shard=None))
    seen = list(itertools.islice(Listing(storage, whole, work), MAX_SEEN))
    if not seen:
        lack = "a list without a row" if is_list(uri) else "holds nothing that input.include names"
        raise RequestError(f"input.uri={uri!r}: {lack}")
    usable = [asset.uri for asset in seen if not asset.trouble]
    troubles = [asset.trouble for asset in seen if asset.trouble]
    if not usable:
        raise RequestError(f"input.uri={uri!r}: {troubles[0]}")
    return "; ".join([f"{usable[0]} is there", *troubles[:1]])


def check_output(uri: str, storage: "Storage") -> str:
    """Write a small object and delete it; if a local folder is missing, in the nearest above it."""
    from separator.results.paths import Layout
    from separator.results.refuse import refuse_files, try_writing
    from separator.storage import parse_uri

    refuse_files(storage, Layout(uri, ""))
    place = parse_uri(uri)
    folder = uri
    if not place.bucket:
        path = place.path
        while not path.exists():
            path = path.parent
        folder = str(path)
    try_writing(storage, folder)
    return f"{uri}: can be written"


def check_weights(config: "JobConfig", storage: "Storage") -> str:
    from separator.model import registry
    from separator.model.zero_shot_files import read_separator

    name = config.model.name
    if package := registry.find_package(name):
        return f"{name}: a model of another package, {package.identity}"
    try:
        path = find_weights(name)
    except CheckpointMissing:
        if name in registry.PUBLISHED:
            raise CheckpointMissing(
                f"{name!r} is not on this machine: the run would download it first; "
                f"`separator convert {name} FILE.safetensors` downloads it now"
            ) from None
        if not name.startswith("s3://"):
            raise
        return describe_copy(name, storage)
    read_separator(path)
    return f"{path}: {show_bytes(path.stat().st_size)}"


def describe_copy(uri: str, storage: "Storage") -> str:
    from separator.model import registry

    size = show_bytes(storage.stat(uri).num_bytes)
    return f"{uri}: {size} there; the run copies it to {registry.home()}"


def find_weights(name: str, check_first: Callable[[], object] = lambda: None) -> Path:
    """Find the checkpoint in the cache or on disk. It is never downloaded: where a run would
    download it, `check_first` is called, and then the search fails."""
    from separator.model import registry

    os.environ["SEPARATOR_OFFLINE"] = "1"  # for this process, which is only a check
    return registry.resolve(name, check_first=check_first)


def check_encoder(config: "JobConfig", storage: "Storage") -> str:
    """Encode the config's queries, as a run would; texts in a list's column are not read."""
    from separator.encoders.lookup import UNKNOWN
    from separator.model import registry
    from separator.model.device import choose_device
    from separator.model.zero_shot_files import read_separator
    from separator.run.conditions import (
        encode_sounds,
        encode_texts,
        give_versions,
        list_all_examples,
        refuse_examples,
    )
    from separator.run.prepare import check_text_side

    parsed = config.parse_queries()
    examples = list_all_examples(storage, parsed)
    queries = give_versions(parsed, examples, "")
    texts = [query.text for query in queries if not query.files]
    if package := registry.find_package(config.model.name):
        refuse_examples(config.model.name, examples)
        package.load(choose_device("cpu"), "fp32").encode_texts(texts)
        return f"{config.model.name}: {len(queries)} queries encoded"
    try:
        path = find_weights(config.model.name, partial(check_text_side, parsed))
    except EncoderMissing:
        raise
    except SeparatorError:
        raise EncoderMissing("needs the weights") from None
    checkpoint = read_separator(path)
    doubts = encode_texts(path, checkpoint.encoder_id, texts).warnings
    for text, warning in doubts.items():
        if warning == UNKNOWN:
            raise RequestError(f"{text!r}: {warning}; use other words or another model.name")
    detector = config.model.detector
    found = encode_sounds(path, checkpoint, detector, storage, queries, examples)
    told = [f"; {text!r}: {warning}" for text, warning in doubts.items()]
    told += [f"; {q.name!r}: {found.warnings[q.key]}" for q in queries if q.key in found.warnings]
    return f"{checkpoint.encoder_id}: {len(queries)} queries encoded{''.join(told)}"


def check_detector(config: "JobConfig", storage: "Storage") -> str:
    """Load the detector, and look for the classes that the config's queries name."""
    from separator.run.listening import AUTO, ENCODER, OFF, plan_listening

    name = config.detect.model
    if name not in (AUTO, ENCODER, OFF):
        try:
            find_weights(name)
        except CheckpointMissing:
            if not name.startswith("s3://"):
                raise
            return describe_copy(name, storage)
    # Versions of example sounds only tell queries apart here: their names do, too.
    queries = [replace(query, version=query.name) for query in config.parse_queries()]
    plan = plan_listening(config.detect, storage, queries, [], None, None)
    if plan is None or plan.detector is None:
        return {OFF: "none: detect.model=off", ENCODER: "none: by similarity"}[name]
    return f"{name}: {len(plan.detector.labels)} classes"


def check_ray(config: "JobConfig") -> str:
    """Start Ray as a run would, or join the cluster of RAY_ADDRESS, and count its devices."""
    import ray

    from separator.run.cluster import is_cluster
    from separator.run.local_ray import join_ray

    is_ours = not ray.is_initialized()
    join_ray()
    try:
        resources = ray.cluster_resources()
        num_nodes = sum(node["Alive"] for node in ray.nodes())
    finally:
        if is_ours:
            ray.shutdown()
    num_gpus = int(resources.get("GPU", 0))
    if config.model.device == "cuda" and not num_gpus and not is_cluster():
        raise RequestError("model.device='cuda': this machine has no GPU; use auto or cpu")
    num_cpus = int(resources.get("CPU", 0))
    return f"{ray.__version__}, nodes {num_nodes}, CPUs {num_cpus}, GPUs {num_gpus}"


CHECK = Command(
    "check", "jobs.check", __doc__, add_config_arguments, run, JOB_KEYS,
    "configs/local.yaml input.uri=/media output.uri=/stems",
)  # fmt: skip
main = CHECK.main

if __name__ == "__main__":
    sys.exit(main())
