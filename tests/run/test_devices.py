"""Failures of devices: which one is sick, and what its actor does."""

import pytest

from separator.run.devices import GIVE_UP, MAX_TURNS, PARK, START, TURN_AWAY, WORK, DeviceHealth


def fail(health: DeviceHealth, device: str, *works: str) -> None:
    for work in works:
        health.fail("actor", device, work.split("+"), f"{work} failed")


@pytest.mark.parametrize(
    ("works", "is_sick"),
    [
        (["a", "a"], False),
        (["a", "a", "a"], False),  # one span, given again and again: it may be the poison
        (["a", "a", "b"], True),
        (["a+b", "a+c", "a+d"], False),  # it may be a
        (["a+b", "a+c", "b+c"], True),
        ([START] * 2, False),
        ([START] * 3, True),
        ([START, "a", START], True),
    ],
)
def test_a_device_is_sick_after_three_failures_of_different_work(works, is_sick):
    health = DeviceHealth()
    fail(health, "d", *works)
    assert health.is_sick("d") == is_sick
    assert health.failures == {"d": len(works)} and health.last == f"d: {works[-1]} failed"
    assert health.left_out == ({"d": f"{works[-1]} failed"} if is_sick else {})


def test_a_success_between_failures_keeps_a_device():
    health = DeviceHealth()
    for work in "abcdef":
        fail(health, "d", work)
        health.succeed("d")
    assert not health.is_sick("d") and health.failures == {"d": 6}


def test_work_that_fails_on_two_devices_counts_against_neither():
    health = DeviceHealth()
    fail(health, "first", "a", "a", "b")
    fail(health, "second", "a", "a", "b")
    assert not health.is_sick("first") and not health.is_sick("second")
    fail(health, "third", "a+c", "a+d", "a+e", "c")
    assert not health.is_sick("third")


def test_an_actor_is_turned_away_from_a_sick_device_while_another_may_be_free():
    health = DeviceHealth()
    assert [health.come("a", "sick"), health.come("b", "well")] == [WORK, WORK]
    health.start("a")
    fail(health, "sick", "x", "x", "y")
    assert health.come("a", "sick") == TURN_AWAY  # b has not started on the other one
    health.start("b")
    health.working.discard("a")
    assert health.come("a", "sick") == GIVE_UP  # it holds spans
    assert health.stopped == {"a"} and health.working == {"b"}


def test_an_actor_is_turned_away_only_so_many_times():
    """Ray may put it on the sick device again and again; a start elsewhere ends the count."""
    health = DeviceHealth()
    health.come("b", "well")
    fail(health, "sick", START, START, START)
    for answer in (WORK, PARK):
        assert [health.come("a", "sick") for _ in range(MAX_TURNS)] == [TURN_AWAY] * MAX_TURNS
        assert health.come("a", "well" if answer == WORK else "sick") == answer


def test_an_actor_of_the_next_pass_waits_on_a_device_that_is_sick():
    health = DeviceHealth()
    fail(health, "sick", START, START, START)
    health.begin_pass()
    assert health.come("a", "sick") == PARK and health.left_out == {"sick": "start failed"}
