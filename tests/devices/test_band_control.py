"""Band control of tap changers and capacitor banks: where they come to rest, when they move, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandapower as pp
import pytest
from pandapower.control import DiscreteShuntController, DiscreteTapControl

import neomflex_jax as nf
from neomflex_jax.devices import CapacitorBank, TapChanger
from neomflex_jax.devices.device import Surroundings
from neomflex_jax.environment.step.set_points import set_points
from neomflex_jax.scenario import load_scenario
from neomflex_jax.scenario.controls import controls_of
from neomflex_jax.yardsticks.play_ahead import play_ahead

HEAD = {"bus": 1, "from_bus": 0, "to_bus": 1}
BAND = {"control": "band", "vm_set_pu": 1.0, "dead_band_pu": 0.0145}


def measured(voltages: list[float], **fields: Any) -> list[float]:
    """Positions after each of a day's first steps; each is followed by a voltage at the controlled bus."""
    tap = TapChanger(**HEAD, **BAND, **fields)
    params, found = TapChanger.stack([tap]), []
    store, nothing = TapChanger.first(params), jnp.zeros(())
    for step, vm_pu in enumerate(voltages):
        around = Surroundings(
            0.5, jnp.asarray(step), nothing, nothing, None, True, lambda: (nothing, nothing), lambda: nothing
        )
        store = TapChanger.step(params, {"tap_target": jnp.zeros(1)}, store, around).store
        found.append(float(store.position[0]))
        store = TapChanger.measured(store, jnp.array([vm_pu]))
    return found


def test_it_moves_one_step_by_the_voltage_of_the_step_before() -> None:
    assert measured([0.95, 0.95, 1.0, 1.05, 1.05, 1.05]) == [0, -1, -2, -2, -1, 0]
    assert measured([0.95] * 4, steps=2) == [0, -1, -2, -2]
    assert measured([0.95, float("nan"), 0.95, 0.95]) == [0, -1, -1, -2]
    assert measured([0.95] * 3, controlled_bus=0) == [0, 1, 2]  # of the from end


def test_the_delay_counts_from_when_the_voltage_left_the_band() -> None:
    assert measured([0.95] * 7, delay=3) == [0, 0, 0, -1, -1, -1, -2]
    assert measured([0.95, 0.95, 1.0, 0.95, 0.95, 0.95, 0.95], delay=3) == [0, 0, 0, 0, 0, 0, -1]
    assert measured([0.95] * 5, operations_per_day=2) == [0, -1, -2, -2, -2]


@jax.jit
def after_a_day(env: nf.Environment) -> nf.State:
    """The state after 48 steps in which agents ask for nothing."""
    still = jnp.zeros((env.n_agents, env.action_size))

    def step(state: nf.State, _: None) -> tuple[nf.State, None]:
        return env.step(state, still)[0], None

    return jax.lax.scan(step, env.reset(jax.random.key(0))[0], None, length=48)[0]


@pytest.mark.parametrize("load", [0.3, 1.0, 1.4])
def test_positions_come_to_rest_where_pandapowers_controllers_do(load: float, tmp_path: Any) -> None:
    """On loads that stand still, from position 0: a regulator at the head and one far out, and a capacitor bank."""
    far = {"bus": 6, "from_bus": 5, "to_bus": 6, "controlled_bus": 17, "vm_set_pu": 0.99, "steps": 16}
    bank = {"bus": 30, "step_mvar": 0.1, "steps": 8, "control": "band", "vm_set_pu": 1.0, "dead_band_pu": 0.012}
    days = tmp_path / "still.csv"
    days.write_text("Demand,Solar\n" + 48 * f"{load},0.0\n")
    env = nf.make(
        "neom33",
        power_flow="newton",
        profiles=str(days),
        energies="carried",
        day_order="file",
        tap_changers=[HEAD | BAND | {"vm_set_pu": 1.02}, far | BAND | {"vm_set_pu": 0.99}],
        capacitor_banks=[bank],
    )
    state = after_a_day(env)
    net = _net(load)
    head, out = (pp.create_transformer_from_parameters(net, **_regulator(net, *ends)) for ends in ((0, 1), (5, 6)))
    shunt = pp.create_shunt(net, 30, q_mvar=-0.1, step=0, max_step=8)
    half = BAND["dead_band_pu"] / 2
    DiscreteTapControl(net, head, 1.02 - half, 1.02 + half)
    _Remote(net, out, 0.99 - half, 0.99 + half, bus=17)
    DiscreteShuntController(net, shunt, vm_set_pu=1.0, tol=0.006)
    pp.runpp(net, run_control=True, max_iter=100, tolerance_mva=1e-10)
    assert np.asarray(state.stores["tap_changers"].position).tolist() == net.trafo["tap_pos"].tolist()
    assert np.asarray(state.stores["capacitor_banks"].position).tolist() == net.shunt["step"].tolist()
    assert np.asarray(state.stores["tap_changers"].vm_pu) == pytest.approx(net.res_bus.vm_pu[[1, 17]], abs=1e-5)
    assert np.abs(net.trafo["tap_pos"]).max() >= 2 or load < 0.5


class _Remote(DiscreteTapControl):  # type: ignore[misc]
    """pandapower's controller by the voltage of another bus than the transformer's own."""

    def __init__(self, net: Any, trafo: int, lower: float, upper: float, bus: int) -> None:
        super().__init__(net, trafo, lower, upper)
        self.bus = bus

    def _update_trafobus(self, net: Any) -> None:
        self.trafobus = self.bus


def _net(load: float) -> Any:
    net = pp.networks.case33bw()
    net.load[["p_mw", "q_mvar"]] *= load
    return net


def _regulator(net: Any, start: int, end: int) -> dict[str, Any]:
    """A line as a transformer with a tap changer; the line is taken out."""
    line = net.line.query(f"from_bus == {start} and to_bus == {end}").iloc[0]
    net.line.loc[line.name, "in_service"] = False
    kv, mva = 12.66, 10.0
    r, x = (100 * line[name] * line.length_km * mva / kv**2 for name in ("r_ohm_per_km", "x_ohm_per_km"))
    sizes = {"sn_mva": mva, "vn_hv_kv": kv, "vn_lv_kv": kv, "vkr_percent": r, "vk_percent": float(np.hypot(r, x))}
    tap = {"tap_side": "hv", "tap_neutral": 0, "tap_pos": 0, "tap_min": -16, "tap_max": 16, "tap_step_percent": 1.25}
    return {
        "hv_bus": start, "lv_bus": end, "pfe_kw": 0.0, "i0_percent": 0.0, "tap_changer_type": "Ratio", **sizes, **tap,
    }  # fmt: skip


def test_no_action_is_there_for_it_and_no_derivative_comes_from_its_rule() -> None:
    env = nf.make(
        "neom33", power_flow="ac", tap_changers=[HEAD | BAND], capacitor_banks=[{"bus": 30, "step_mvar": 0.2}]
    )
    names = env.describe().query("kind == 'action'")["name"].tolist()
    assert "capacitor_target of capacitor_30" in names and not any("tap_target" in name for name in names)
    state, _ = env.reset(jax.random.key(0))

    def lowest(action: jax.Array) -> jax.Array:
        after, _ = env.step(state, action)
        return set_points(env, after, action).delivered.by_table["tap_changers"].tap_ratio.sum()

    assert not np.asarray(jax.jit(jax.grad(lowest))(jnp.zeros((3, env.action_size)))).any()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"control": "auto"}, "control = 'auto' is not one of 'agent', 'band'"),
        ({"control": "band", "dead_band_pu": 0.02}, "vm_set_pu = None must be stated"),
        ({"control": "band", "vm_set_pu": 1.0}, "dead_band_pu = None must be stated"),
        ({"vm_set_pu": 1.0}, "must be left out, or control be"),
        ({"controlled_bus": 5}, "must be left out, or control be"),
        (BAND | {"dead_band_pu": 0.0125}, "wider than a step of 1.25 per cent"),
        (BAND | {"vm_set_pu": -1.0}, "vm_set_pu = -1.0 must be above 0"),
        (BAND | {"controlled_bus": 99}, "has no bus 99"),
        (BAND | {"controlled_bus": 0}, "is the slack's and never moves"),
        (BAND | {"bus": 19, "from_bus": 1, "to_bus": 18, "controlled_bus": 5}, "moves no voltage of bus 5"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(nf.InputError, match=complaint):
        nf.make("neom33", tap_changers=[HEAD | fields])


def test_plans_are_played_by_the_voltages_that_they_lead_to() -> None:
    env = nf.make("neom33", energies="carried", day_order="file", tap_changers=[HEAD | BAND | {"vm_set_pu": 1.03}])
    start, still = env.reset(jax.random.key(0))[0], jnp.zeros((6, env.n_agents, env.action_size))
    ahead = jax.jit(lambda: play_ahead(env, start, still, lambda stores, action: action))()

    def step(state: nf.State, action: jax.Array) -> tuple[nf.State, jax.Array]:
        state, _ = env.step(state, action)
        return state, state.stores["tap_changers"].position

    _, stepped = jax.jit(lambda: jax.lax.scan(step, start, still))()
    assert np.asarray(ahead.after["tap_changers"].position).tolist() == stepped.tolist()
    assert float(stepped.min()) <= -2


def test_the_examples_differ_in_who_moves_regulator_and_capacitors() -> None:
    examples = Path(__file__).parents[2] / "examples"
    agents, band = (load_scenario(examples / f"{name}.toml") for name in ("regulator", "regulator_band"))
    moved = {"tap_target", "capacitor_target"}
    by_agents, beside_band = ({entry.control.name for entry in controls_of(one)} for one in (agents, band))
    assert by_agents - beside_band == moved
    assert all(device.follows_rule for kind in (TapChanger, CapacitorBank) for device in band.of(kind))


def test_an_agent_needs_a_device_that_it_acts_with() -> None:
    with pytest.raises(nf.InputError, match="has no device to act with"):
        nf.make(
            "neom33",
            batteries=[
                {"bus": 23, "capacity_mwh": 2.0, "power_mw": 0.5},
                {"bus": 7, "capacity_mwh": 2.0, "power_mw": 0.5},
            ],
            pv_inverters=[{"bus": 20, "p_max_mw": 1.0, "s_mva": 1.0}],
            tap_changers=[{"bus": 26, "from_bus": 25, "to_bus": 26} | BAND],
        )
