"""What travels to an actor in order to listen there."""

import torch

from separator.config import DetectSettings
from separator.encoders.mini import MiniEncoder, read_mini
from separator.model.registry import resolve
from separator.run.listening import ListenPlan


def test_the_encoder_that_listens_is_on_the_actors_device():
    plan = ListenPlan(DetectSettings(), {}, None, read_mini(resolve("mini")))
    listener = plan.make(torch.device("meta"), "fp32")  # any device but the one it comes from
    assert isinstance(listener.encoder, MiniEncoder)
    assert {each.device.type for each in listener.encoder.parameters()} == {"meta"}
