"""Tap changers and capacitor banks: whole steps, pauses, a day's limit, derivatives, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.devices import CapacitorBank, TapChanger
from neomflex_jax.devices.device import Delivery, Surroundings
from neomflex_jax.environment.binding import bound_power_flow
from neomflex_jax.grid.parts import Charging

HEAD = {"bus": 1, "from_bus": 0, "to_bus": 1}
BAND = {"control": "band", "vm_set_pu": 1.0, "dead_band_pu": 0.03}


def played(devices: list[Any], requests: list[float], start: float = 0.0) -> list[Delivery]:
    """Deliveries of a day's first steps, each with one request to all devices."""
    kind = type(devices[0])
    params, deliveries = kind.stack(devices), []
    store = kind.first(params)._replace(position=jnp.full(len(devices), start))
    for step, request in enumerate(requests):
        asked = {kind.controls[0].name: jnp.full(len(devices), request)}
        deliveries.append(kind.step(params, asked, store, _around(step)))
        store = deliveries[-1].store
    return deliveries


def _around(step: int) -> Surroundings:
    nothing = jnp.zeros(())
    return Surroundings(
        0.5, jnp.asarray(step), nothing, nothing, None, True, lambda: (nothing, nothing), lambda: nothing
    )


def positions(deliveries: list[Delivery]) -> list[float]:
    return [float(one.store.position[0]) for one in deliveries]


def test_a_request_is_rounded_to_a_position_of_the_range() -> None:
    tap = TapChanger(**HEAD, steps=8, step_percent=1.25)
    asked = played([tap], [1.0, -1.0, 0.3, 0.0])
    assert positions(asked) == [8.0, -8.0, 2.0, 0.0]
    assert [float(one.tap_ratio[0]) for one in asked] == pytest.approx([1.1, 0.9, 1.025, 1.0])  # type: ignore[index]
    assert [float(one.recorded["tap_moved"][0]) for one in asked] == [8.0, -16.0, 10.0, -2.0]
    bank = CapacitorBank(5, 0.2, steps=3)
    switched = played([bank], [1.0, 0.4, -0.7])
    assert positions(switched) == [3.0, 1.0, 0.0]
    assert float(switched[0].shunt_mvar[0]) == pytest.approx(0.6)  # type: ignore[index]
    assert all(float(one.p_mw[0]) == 0.0 and one.q_mvar is None for one in asked + switched)


def test_after_a_move_it_pauses_and_a_day_has_so_many_operations() -> None:
    paused = played([TapChanger(**HEAD, steps=4, delay=3)], [0.5, 1.0, 1.0, 1.0, 0.0])
    assert positions(paused) == [2.0, 2.0, 2.0, 4.0, 4.0]
    assert float(paused[1].clipped[0]) == pytest.approx(2 / 8)  # two steps of a range of eight were asked for in vain
    limited = played([TapChanger(**HEAD, steps=4, operations_per_day=5)], [1.0, 0.25, 1.0, -1.0])
    assert positions(limited) == [4.0, 3.0, 3.0, 3.0]
    assert [float(one.store.made[0]) for one in limited] == [4.0, 5.0, 5.0, 5.0]
    again = TapChanger.step(
        TapChanger.stack([TapChanger(**HEAD, steps=4, operations_per_day=5)]),
        {"tap_target": jnp.array([-1.0])},
        limited[-1].store,
        _around(0),  # midnight: a new day's operations
    )
    assert float(again.store.position[0]) == -2.0


def test_a_request_near_the_position_leaves_it() -> None:
    tap = TapChanger(**HEAD, steps=4, hysteresis_steps=1.0)
    assert positions(played([tap], [0.5, 0.7, 0.75, 0.76, 0.6, 0.49])) == [2.0, 2.0, 2.0, 3.0, 3.0, 2.0]
    bank = CapacitorBank(5, 0.2, hysteresis_steps=0.75)
    switched = played([bank], [0.7, 0.8, 0.3, 0.2])
    assert positions(switched) == [0.0, 1.0, 1.0, 0.0]
    assert all(float(one.clipped[0]) == 0.0 for one in switched)  # nothing asked for was missed
    mixed = played([TapChanger(**HEAD, steps=4), tap], [0.5, 0.7])  # each by its own
    assert np.asarray(mixed[-1].store.position).tolist() == [3.0, 2.0]


@pytest.mark.parametrize("device", [TapChanger(**HEAD), CapacitorBank(5, 0.2, steps=8, hysteresis_steps=3.0)])
def test_derivatives_pass_the_rounding(device: Any) -> None:
    def position(request: jax.Array) -> jax.Array:
        kind = type(device)
        asked = {kind.controls[0].name: request[None]}
        params = kind.stack([device])
        return kind.step(params, asked, kind.first(params), _around(1)).store.position[0]

    for request in (-0.33, 0.0, 0.72):
        assert float(jax.grad(position)(jnp.asarray(request))) == pytest.approx(8.0)


@pytest.mark.parametrize(
    "device", [TapChanger(**HEAD, operation_cost=0.5), CapacitorBank(5, 0.2, 8, operation_cost=0.5)]
)
def test_the_cost_of_operations_leads_to_rest_and_nowhere_from_there(device: Any) -> None:
    """Derivatives of a cost at rest drove all positions down: JAX takes that of |x| at 0 as 1."""
    kind = type(device)
    params = kind.stack([device])
    store = kind.first(params)._replace(position=jnp.array([4.0]))

    def cost(request: jax.Array) -> jax.Array:
        delivered = kind.step(params, {kind.controls[0].name: request[None]}, store, _around(1))
        return kind.costs[0].amount(params, delivered, 1.0, 0.5).sum()

    for request, slope in ((0.51, 0.0), (0.25, -4.0), (0.75, 4.0)):  # 8 steps at 0.5 each
        assert float(jax.grad(cost)(jnp.asarray(request))) == slope
        assert float(cost(jnp.asarray(request))) == abs(round(8 * request) - 4) * 0.5


@pytest.mark.parametrize(
    ("kind", "fields", "complaint"),
    [
        (TapChanger, HEAD | {"steps": 0}, "steps = 0 must be a whole number in 1.."),
        (TapChanger, HEAD | {"steps": 2.5}, "steps = 2.5 must be a whole number"),
        (TapChanger, HEAD | {"step_percent": 0.0}, "step_percent = 0.0 must be above 0"),
        (TapChanger, HEAD | {"steps": 50, "step_percent": 2.0}, "at most 50"),
        (TapChanger, HEAD | {"delay": 0}, "delay = 0 must be a whole number in 1.."),
        (TapChanger, HEAD | {"operations_per_day": 0}, "leave it out for no limit"),
        (TapChanger, HEAD | {"hysteresis_steps": 9.0}, "hysteresis_steps = 9.0 must be in 0..8"),
        (TapChanger, HEAD | {"hysteresis_steps": 1.0} | BAND, "must be left out with control"),
        (TapChanger, HEAD | {"to_bus": 0}, "differ from from_bus"),
        (TapChanger, HEAD | {"operation_cost": -1.0}, "operation_cost = -1.0 must be at least 0"),
        (CapacitorBank, {"bus": 5, "step_mvar": 0.0}, "step_mvar = 0.0 must be above 0"),
        (CapacitorBank, {"bus": 5, "step_mvar": 0.1, "steps": True}, "steps = True must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused(kind: type[Any], fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(nf.InputError, match=complaint):
        kind(**fields)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"tap_changers": [HEAD | {"to_bus": 7}]}, "no branch joins them"),
        ({"tap_changers": [HEAD, HEAD | {"bus": 2}]}, "there is one already"),
        ({"tap_changers": [HEAD], "power_flow": "calibrated"}, "take power_flow = 'ac'"),
        ({"capacitor_banks": [{"bus": 5, "step_mvar": 0.1}], "power_flow": "lindistflow"}, "take power_flow = 'ac'"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(nf.InputError, match=complaint):
        nf.make("neom33", **options)


def test_a_position_reaches_the_grid_and_its_cost_the_owner() -> None:
    env = nf.make("neom33", power_flow="newton", tap_changers=[HEAD | {"operation_cost": 0.5, "steps": 4}])
    state, _ = env.reset(jax.random.key(0))
    layout = env.action_layout

    def stepped(request: jax.Array) -> nf.TimeStep:
        fractions = jnp.zeros(len(layout.controls)).at[layout.by_device["tap_target"]].set(request)
        return env.step(state, jnp.append(fractions, 0.0)[layout.slots])[1]

    after = jax.jit(jax.vmap(stepped))(jnp.array([-1.0, 1.0])).info
    before = float(state.stores["tap_changers"].position[0])
    assert np.asarray(after["tap_position"]).ravel().tolist() == [-4.0, 4.0]
    assert float(after["vm_pu"][0, 1]) > float(after["vm_pu"][1, 1]) + 0.08  # 5 per cent up, 5 down
    costs = -0.5 * np.abs(np.array([-4.0, 4.0]) - before)
    assert np.asarray(after["reward_tap_operations"])[:, 0] == pytest.approx(costs)
    assert not np.asarray(after["reward_tap_operations"])[:, 1:].any()


def test_a_tap_changer_on_a_line_with_charging_is_refused_for_no_referee_could_have_it() -> None:
    env = nf.make("neom33", power_flow="lindistflow")
    b_us = np.zeros(env.feeder.topology.n_branch)
    b_us[0] = 3.0
    feeder = dataclasses.replace(nf.load_feeder("case33bw"), charging=Charging(np.zeros_like(b_us), b_us))
    scenario = nf.load_scenario("neom33", tap_changers=[HEAD])
    with pytest.raises(
        nf.InputError, match=r"tap changer 'tap_1' .* branch 0-1 .*charging \(b_us = 3\).*branch of its own"
    ):
        bound_power_flow("ac", feeder, scenario, env.profiles)
    behind = nf.load_scenario("neom33", tap_changers=[{"bus": 2, "from_bus": 1, "to_bus": 2}])
    assert bound_power_flow("ac", feeder, behind, env.profiles).grid.tap_branches == (1,)
