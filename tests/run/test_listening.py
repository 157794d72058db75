"""What travels to an actor in order to listen there."""

from dataclasses import replace

import torch

from separator.config import DetectSettings
from separator.encoders.lookup import read_calibration
from separator.encoders.mini import MiniEncoder, read_mini
from separator.model.registry import resolve
from separator.queries import Query
from separator.run.listening import ListenPlan, plan_listening
from separator.storage import Storage


def test_the_encoder_that_listens_is_on_the_actors_device():
    plan = ListenPlan(DetectSettings(), {}, None, read_mini(resolve("mini")))
    listener = plan.make(torch.device("meta"), "fp32")  # any device but the one it comes from
    assert isinstance(listener.encoder, MiniEncoder)
    assert {each.device.type for each in listener.encoder.parameters()} == {"meta"}


def test_example_sounds_are_not_listened_for_by_the_name_of_their_query():
    """The same sounds under two names are one key; classes count for both, whoever has them."""
    path = resolve("mini")
    siren, other = (Query("siren", audio=("x.wav",), version=version) for version in "12")
    queries = [
        siren,
        replace(other, name="bird", classes=("bird",)),
        replace(other, name="thing"),
        Query("a", "a siren"),
    ]
    calibration, encoder = read_calibration(path), read_mini(path)
    settings = DetectSettings("mini-detector")
    plan = plan_listening(settings, Storage(), queries, ["a siren"], calibration, encoder)
    assert plan is not None
    methods = {siren.key: "similarity", other.key: "classes bird", "a siren": "classes siren"}
    assert plan.descriptions == methods
