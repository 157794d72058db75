"""Hold a stage with its network on one device, for as long as a pass lasts."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import ray

from separator.config import JobConfig
from separator.machine import count_cpus
from separator.run.guard import DeviceGuard, Stage
from separator.run.monitor import MonitoredStage

if TYPE_CHECKING:
    from separator.encoders.similarity import AudioEncoder
    from separator.run.listening import ListenPlan
    from separator.stages.separate import EngineRecipe


class SeparateActor:
    """The stage on one device, for as long as the pass lasts."""

    def __init__(self, monitor: Any, config: JobConfig, is_shared: bool) -> None:
        """`is_shared`: Ray calls the stage from several threads at once."""
        guard = DeviceGuard(monitor)
        stage = guard.make(partial(make_stage, monitor, config, is_shared))
        self.run = MonitoredStage(monitor, stage, with_samples=True)

    def __call__(self, row: Any) -> Iterator[Any]:
        return self.run(row)


def make_stage(monitor: Any, config: JobConfig, is_shared: bool) -> Stage:
    # Imported here, because workers of the other stages import this module without needing torch.
    import torch

    (shared,) = ray.get(monitor.get_shared.remote())
    recipe, conditions, encoder, listening = ray.get(shared)
    if not torch.cuda.is_available():
        # Ray allows one thread per CPU it has promised, and this actor was promised none.
        torch.set_num_threads(count_cpus())
    if recipe is None:
        return make_detect_stage(config, conditions, listening)
    return make_separate_stage(config, recipe, conditions, encoder, listening, is_shared)


def make_separate_stage(
    config: JobConfig,
    recipe: "EngineRecipe",
    conditions: Mapping[str, np.ndarray],
    encoder: "AudioEncoder | None",
    listening: "ListenPlan | None",
    is_shared: bool,
) -> Stage:
    import torch

    from separator.encoders.similarity import SimilarityMeter
    from separator.stages.separate import SeparatorStage

    own_share = config.run.separate.num_gpus if torch.cuda.is_available() else 1.0
    engine = recipe.make(config.model, is_shared, own_share)
    meter = None
    if encoder is not None:
        meter = SimilarityMeter(encoder, engine.device, engine.precision)
    listener = listening and listening.make(engine.device, engine.precision)
    return SeparatorStage(
        engine, conditions, config.output.edits, meter, listener, config.detect.is_gated
    )


def make_detect_stage(
    config: JobConfig, conditions: Mapping[str, np.ndarray], listening: "ListenPlan"
) -> Stage:
    from separator.model.device import choose_device
    from separator.stages.listen import DetectStage

    device = choose_device(config.model.device)
    return DetectStage(listening.make(device, config.model.precision), conditions)
