"""Kinds of devices that are made outside the package: registered, used in a scenario, and refused with a sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import neomflex_jax as nf
from neomflex_jax.devices import (
    Control,
    CostTerm,
    Delivery,
    Device,
    Observable,
    Recorded,
    Surroundings,
    Turn,
    registry,
    stacked,
)
from neomflex_jax.scenario import scenario_from_dict


class TankParams(NamedTuple):
    power_mw: np.ndarray
    volume_mwh: np.ndarray
    cost: np.ndarray


def cold(params: TankParams, delivered: Delivery, weight: float, step_hours: float) -> Array:
    return params.cost * (1.0 - delivered.store)


@dataclass(frozen=True)
class Tank(Device):
    """A hot-water tank that loses a tenth of its heat every step."""

    table: ClassVar = "tanks"
    noun: ClassVar = "tank"
    prefix: ClassVar = "tank"
    turn: ClassVar = Turn.STORAGE
    controls: ClassVar = (Control("tank_p", "share of the power, negative heats", lasting=True),)
    recorded: ClassVar = (
        Recorded("tank_p_mw", "MW", "power into the grid"),
        Recorded("tank_heat", "of volume", "heat after the step", before="tank_heat_before"),
    )
    observables: ClassVar = (Observable("heat of {}", "of volume", 0.0, 1.0),)
    costs: ClassVar = (CostTerm("cold", cold, priced=lambda tank: tank.cost > 0),)

    bus: int
    power_mw: float = 0.1
    volume_mwh: float = 1.0
    cost: float = 2.0
    name: str = ""

    @staticmethod
    def stack(devices: Sequence["Tank"]) -> TankParams:
        return stacked(TankParams, devices)

    @staticmethod
    def first(params: TankParams) -> Array:
        return jnp.full(params.power_mw.shape, 0.5)

    @staticmethod
    def random(key: Array, params: TankParams) -> Array:
        return jax.random.uniform(key, params.power_mw.shape)

    @staticmethod
    def middle(params: TankParams) -> Array:
        return jnp.full(params.power_mw.shape, 0.5)

    @staticmethod
    def step(params: TankParams, requests: Mapping[str, Array], store: Array, around: Surroundings) -> Delivery:
        heating_mw = jnp.maximum(-requests["tank_p"], 0.0) * params.power_mw
        heat = jnp.clip(0.9 * store + heating_mw * around.step_hours / params.volume_mwh, 0.0, 1.0)
        return Delivery(-heating_mw, None, heat, jnp.zeros_like(heat), {"tank_p_mw": -heating_mw})

    @staticmethod
    def kept(store: Array) -> dict[str, Array]:
        return {"tank_heat": store}

    @staticmethod
    def observe(params: TankParams, store: Array) -> tuple[Array, ...]:
        return (store,)


TANKS = [{"bus": 24, "power_mw": 0.2}, {"bus": 30}]


@pytest.fixture(autouse=True)
def forgets_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is unknown to the next one."""
    monkeypatch.setattr(registry, "_registered", list(registry.PACKAGED))


def changed(**members: object) -> type[Tank]:
    """The tank with other members."""
    return dataclass(frozen=True)(type("Tank", (Tank,), {**members, "__module__": __name__}))


def test_a_users_kind_steps_is_recorded_seen_and_paid() -> None:
    nf.register_device(Tank)
    env = nf.make("neom33", power_flow="lindistflow", tanks=TANKS, energies="carried", day_order="file")
    state, first = env.reset(jax.random.key(0))
    np.testing.assert_allclose(first.info["tank_heat"], [0.5, 0.5])
    table = env.describe()
    assert list(table[table.name == "heat of tank_30"].agent) == ["agent_3"]
    assert list(table[table.name == "tank_p of tank_24"].agent) == ["agent_1"]
    state, timestep = env.step(state, -jnp.ones((env.n_agents, env.action_size)))
    np.testing.assert_allclose(timestep.info["tank_p_mw"], [-0.2, -0.1], rtol=1e-6)
    np.testing.assert_allclose(state.stores["tanks"], [0.55, 0.5], rtol=1e-6)
    np.testing.assert_allclose(timestep.info["reward_cold"], [-2 * 0.45, 0, -2 * 0.5], rtol=1e-5)
    without = nf.make("neom33", power_flow="lindistflow", energies="carried", day_order="file")
    _, other = without.step(without.reset(jax.random.key(0))[0], -jnp.ones((3, without.action_size)))
    drawn = np.asarray(timestep.info["p_injection_mw"] - other.info["p_injection_mw"])
    np.testing.assert_allclose(drawn[[24, 30]], [-0.2, -0.1], atol=1e-6)
    assert np.count_nonzero(np.abs(drawn) > 1e-6) == 2


def test_random_days_of_other_kinds_stay_as_they_were() -> None:
    nf.register_device(Tank)
    keys = jax.random.split(jax.random.key(5), 8)
    having, without = (nf.make("neom33", power_flow="lindistflow", **tanks) for tanks in ({"tanks": TANKS}, {}))
    states, expected = (jax.vmap(lambda key, env=env: env.reset(key)[0])(keys) for env in (having, without))
    np.testing.assert_array_equal(states.stores["batteries"].soc, expected.stores["batteries"].soc)
    np.testing.assert_array_equal(states.day_row, expected.day_row)
    assert len(np.unique(states.stores["tanks"])) == 16


def test_a_scenario_with_the_table_is_written_read_and_hashed() -> None:
    nf.register_device(Tank)
    scenario = nf.load_scenario("neom33", tanks=TANKS)
    stored = scenario.as_dict()
    assert stored["device_modules"] == {"tanks": __name__}
    assert scenario_from_dict(stored, "here") == scenario
    assert scenario_from_dict(stored | {"device_modules": {"tanks": "elsewhere"}}, "here").hash() == scenario.hash()
    assert scenario.hash() != nf.load_scenario("neom33").hash()
    assert "further" not in stored and "device_modules" not in nf.load_scenario("neom33").as_dict()


def test_a_run_whose_module_is_missing_says_which_to_import() -> None:
    nf.register_device(Tank)
    stored = nf.load_scenario("neom33", tanks=TANKS).as_dict()
    registry._registered.remove(Tank)
    with pytest.raises(nf.InputError, match=rf"no kind of device has the table 'tanks' here; import '{__name__}'"):
        scenario_from_dict(stored, "here")
    stored.pop("device_modules")
    with pytest.raises(nf.InputError, match=r"known: batteries.*import the module that registers their kind"):
        scenario_from_dict(stored, "here")


def test_a_row_that_is_refused_is_named() -> None:
    nf.register_device(Tank)
    with pytest.raises(nf.InputError, match=r"tanks\[1\].power_mw = 'much' must be of type float"):
        nf.load_scenario("neom33", tanks=[{"bus": 24}, {"bus": 30, "power_mw": "much"}])
    with pytest.raises(nf.InputError, match=r"two devices \(tank\) at bus 24; merge them"):
        nf.load_scenario("neom33", tanks=[{"bus": 24}, {"bus": 24}])


def test_a_kind_is_registered_once_and_under_names_of_its_own() -> None:
    nf.register_device(Tank)
    with pytest.raises(nf.InputError, match=r"is a name of the kind that .* registered, Tank; .*register a kind once"):
        nf.register_device(Tank)
    with pytest.raises(nf.InputError, match="'batteries' is a name of the packaged kind Battery"):
        nf.register_device(changed(table="batteries", recorded=(), controls=()))
    with pytest.raises(nf.InputError, match="'battery_p' is a name of the packaged kind Battery"):
        nf.register_device(changed(table="others", recorded=(), controls=(Control("battery_p", "power"),)))
    with pytest.raises(nf.InputError, match="'Big Tanks' must be made of small letters"):
        nf.register_device(changed(table="Big Tanks", recorded=(), controls=()))
    with pytest.raises(nf.InputError, match="must be a class that inherits"):
        nf.register_device(dict)
    for decorated in (lambda kind: kind, dataclass):
        loose = type("Loose", (nf.devices.Device,), {"table": "others", "recorded": (), "controls": ()})
        with pytest.raises(nf.InputError, match="device Loose must be a frozen dataclass"):
            nf.register_device(decorated(loose))


def returning(**changes: object) -> object:
    """A step that returns something else in place of a part of the tank's."""

    def step(params: TankParams, requests: Mapping[str, Array], store: Array, around: Surroundings) -> Delivery:
        return Tank.step(params, requests, store, around)._replace(**changes)

    return staticmethod(step)


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"step": returning(p_mw=np.full(2, np.nan))}, r"p_mw is NaN or infinite 128 times in 128 numbers"),
        ({"step": returning(p_mw=np.zeros(3))}, r"step returns p_mw of shape \(3,\) .*; expected .*\(2,\)"),
        ({"step": returning(p_mw=np.zeros(2, int))}, r"step returns p_mw of shape \(2,\) and type int32; .*floats"),
        ({"step": returning(recorded={})}, r"step and `recorded` disagree on 'tank_p_mw'"),
        ({"step": returning(store=())}, r"structure and shapes must stay"),
        ({"kept": staticmethod(lambda store: {})}, r"`kept` and `recorded` disagree on 'tank_heat'"),
        (
            {"observe": staticmethod(lambda params, store: (store + 1.1,))},
            r"'heat of tank_24' leaves its bounds 0..1",
        ),
        ({"observe": staticmethod(lambda params, store: ())}, r"observe returns 0 values of 1 observables"),
        (
            {"observe": staticmethod(lambda params, store: (store.mean(),))},
            r"observe returns 'heat of \{\}' of shape \(\) .*expected \(n_device,\) = \(2,\) floats",
        ),
        ({"step": returning(p_mw="much")}, r"step returns p_mw of type str; expected"),
        (
            {"first": staticmethod(lambda params: jnp.full(2, jnp.nan))},
            r"first, leaf 0 of the store is NaN .* 128 times",
        ),
        (
            {"random": staticmethod(lambda key, params: jnp.zeros(3))},
            r"random returns a store floats \(3,\) and first floats \(2,\)",
        ),
        (
            {"kept": staticmethod(lambda store: {"tank_heat": store.sum()})},
            r"tank_heat is of shape \(\) .*expected \(n_device,\)",
        ),
        ({"costs": (CostTerm("cold", lambda *_: jnp.zeros(()), lambda tank: True),)}, r"cost 'cold' is of shape \(\)"),
        ({"costs": (CostTerm("losses", lambda *_: jnp.zeros(2)),)}, r"term 'losses' is the grid's, and devices add to"),
        ({"recorded": (Recorded("vm_pu", "pu", ""),)}, r"'vm_pu' is recorded of every step"),
        ({"table": "limits"}, r"its table 'limits' is a field of every scenario"),
    ],
)
def test_a_kind_that_breaks_the_protocol_is_named_when_the_environment_is_made(
    members: dict[str, object], complaint: str
) -> None:
    nf.register_device(changed(**members))
    with pytest.raises(nf.InputError, match=f"device Tank .*{complaint}"):
        nf.make("neom33", power_flow="dc", tanks=TANKS)
