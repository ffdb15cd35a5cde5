"""Voltages held by generators, further external grids and DC lines: pandapower's answers, values and derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandapower as pp
import pandapower.networks
import pytest
from pandapower_nets import add, add_line, convert, fresh_bus, fuse, set_in, several, small_net

import neomflex_jax as nf
from neomflex_jax.errors import InputError
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.grid.columns import Held
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.grid.to_csv import write_feeder
from neomflex_jax.powerflow.methods import held, newton_steps

CASES: dict[str, Callable[[Any], Any]] = {
    "a generator": add("gen", 25, p_mw=0.02, vm_pu=1.01),
    "a generator scaled": add("gen", 25, p_mw=0.02, vm_pu=1.01, scaling=0.5),
    "two at one bus": several(add("gen", 7, p_mw=0.01, vm_pu=1.0), add("gen", 7, p_mw=0.02, vm_pu=1.0)),
    "two at fused buses": several(
        fresh_bus(8), fuse(7, 8), add("gen", 7, p_mw=0.01, vm_pu=1.0), add("gen", 8, p_mw=0.02, vm_pu=1.0)
    ),
    "at the slack": add("gen", 10, p_mw=0.05, vm_pu=1.02),
    "a slack generator": several(set_in("trafo", shift_degree=0.0), add("gen", 25, p_mw=0.05, vm_pu=1.0, slack=True)),
    "two slacks on one area": add("ext_grid", 30, vm_pu=1.018, va_degree=0.01),
    "turned slacks": several(set_in("ext_grid", va_degree=30.0), add("ext_grid", 30, vm_pu=1.019, va_degree=29.99)),
    "islands": several(set_in("line", 2, in_service=False), add("ext_grid", 25, vm_pu=0.99, va_degree=5.0)),
    "a loop": several(lambda net: add_line(net, 25, 2), add("gen", 2, p_mw=0.01, vm_pu=1.0)),
    "a DC line": add("dcline", 25, 2, 0.01, 2.0, 0.001, 1.0, 1.005),
    "a DC line backwards": add("dcline", 25, 2, -0.01, 2.0, 0.001, 1.0, 1.005),
    "a capacitor in series": several(set_in("line", 2, x_ohm_per_km=-0.1), add("gen", 2, p_mw=0.01, vm_pu=1.0)),
}


# The equations of held voltages are the same for both methods: every day one of each kind is enough for the second.
BY_NEWTON = ("a generator", "a slack generator", "two slacks on one area", "islands", "a loop", "a DC line")
CASES_AND_METHODS = [
    pytest.param(name, method, marks=[] if method == "ac" or name in BY_NEWTON else pytest.mark.slow)
    for name in CASES
    for method in ("ac", "newton")
]


@pytest.mark.parametrize(("name", "method"), CASES_AND_METHODS)
def test_held_voltages_are_those_of_pandapower(name: str, method: str) -> None:
    net = small_net()
    CASES[name](net)
    feeder = nf.Feeder.from_pandapower(net, islands=name == "islands")
    pp.runpp(net, tolerance_mva=1e-10, max_iteration=30)
    with jax.enable_x64(True):
        flow = jax.tree.map(np.asarray, nf.power_flow(feeder, -feeder.load_p_mw, -feeder.load_q_mvar, method))
    labels = list(feeder.bus_labels)
    assert flow.converged
    assert flow.residual_mva < 1e-9
    assert np.abs(flow.vm_pu - net.res_bus["vm_pu"][labels].to_numpy()).max() < 1e-8
    first = float(net.ext_grid["va_degree"].iloc[0])
    turned = np.asarray(flow.va_degree) - (net.res_bus["va_degree"][labels].to_numpy() - first)
    assert np.abs((turned + 180) % 360 - 180).max() < 1e-6
    supply = net.res_ext_grid.sum()
    if name == "a slack generator":
        supply = supply + net.res_gen.sum()[["p_mw", "q_mvar"]]
    if name == "at the slack":
        supply["q_mvar"] += net.res_gen["q_mvar"].sum()
    assert abs(flow.slack_p_mw - supply["p_mw"]) < 1e-8
    # a generator's share of a slack's reactive power goes by its limits, 1e9 Mvar where there are none, which rounds
    assert abs(flow.slack_q_mvar - supply["q_mvar"]) < (1e-6 if name in ("at the slack", "a slack generator") else 1e-8)
    assert abs(flow.loss_mw - net.res_line["pl_mw"].sum() - net.res_trafo["pl_mw"].sum()) < 1e-8


@pytest.fixture(scope="module")
def held_feeder() -> nf.Feeder:
    net = small_net()
    add("gen", 25, p_mw=0.02, vm_pu=1.01)(net)
    return convert(net)


def test_a_batch_is_its_cases_and_failure_is_a_value(held_feeder: nf.Feeder) -> None:
    factors = np.array([[0.0], [1.0], [300.0]])
    with jax.enable_x64(True):
        p, q = -factors * held_feeder.load_p_mw, -factors * held_feeder.load_q_mvar
        flow = nf.power_flow(held_feeder, p, q)
        alone = nf.power_flow(held_feeder, p[1], q[1])
        flow, alone = jax.tree.map(np.asarray, (flow, alone))
    assert flow.converged.tolist() == [True, True, False]
    assert np.abs(flow.vm_pu[1] - alone.vm_pu).max() < 1e-12


def test_newton_factorises_where_bicgstab_stagnates(held_feeder: nf.Feeder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MOST_SIMPLE_STEPS", 1)
    monkeypatch.setattr(newton_steps, "MOST_PRODUCTS", 0)
    config = nf.AcConfig(max_iterations=37)  # asked for nowhere else, so that nothing stuck is kept compiled
    with jax.enable_x64(True):
        p, q = -3.0 * held_feeder.load_p_mw, -3.0 * held_feeder.load_q_mvar
        stuck, solved = (nf.power_flow(held_feeder, p, q, method, ac_config=config) for method in ("ac", "newton"))
        assert not stuck.converged
        assert solved.converged
        assert solved.residual_mva < 1e-9


@pytest.mark.parametrize("quantity", ["vm_pu", "loss_mw", "slack_q_mvar"])
def test_derivatives_are_differences(held_feeder: nf.Feeder, quantity: str) -> None:
    with jax.enable_x64(True):
        solver = nf.bind(held_feeder)
        q = -jnp.asarray(held_feeder.load_q_mvar)

        def total(p: jax.Array) -> jax.Array:
            return jnp.sum(getattr(solver(p, q), quantity) ** 2)

        p, step = -jnp.asarray(held_feeder.load_p_mw), 1e-5
        direction = jnp.linspace(0.5, 1.0, len(p))
        reverse = jax.jit(jax.grad(total))(p) @ direction
        along = jnp.array([0.0, step, -step])[:, None] * direction
        values, forwards = jax.jit(jax.vmap(lambda p: jax.jvp(total, (p,), (direction,))))(p + along)
        forward, difference = forwards[0], (values[1] - values[2]) / (2 * step)
    np.testing.assert_allclose(reverse, forward, rtol=1e-9)
    np.testing.assert_allclose(reverse, difference, rtol=1e-5)


def test_a_method_of_one_voltage_refuses(held_feeder: nf.Feeder) -> None:
    with pytest.raises(InputError, match=r"knows one voltage, the slack's; take 'ac' or 'newton'"):
        nf.bind(held_feeder, "dc")


@pytest.mark.parametrize("method", ["lindistflow", "calibrated"])
def test_a_linear_method_knows_one_external_grid(method: str) -> None:
    with pytest.raises(InputError, match=r"several external grids, .* knows one; take 'ac' or 'newton'"):
        nf.bind(two_buses(held=[Held(2, 1.0, va_degree=0.0)]), method)


def test_lindistflow_gives_a_generator_what_keeps_its_voltage_by_hand() -> None:
    """v2^2 = v1^2 + 2 (r p + x q) per unit, solved for q."""
    feeder = two_buses(held=[Held(2, 1.02, p_mw=4.0)])
    r, x = 0.5 / 20**2, 1.0 / 20**2
    with jax.enable_x64(True):
        flow = nf.power_flow(feeder, np.array([0.0, -3.0]), np.array([0.0, 0.5]), "lindistflow")
    by_hand = ((1.02**2 - 1.0) / 2 - r * (4.0 - 3.0)) / x
    np.testing.assert_allclose(flow.vm_pu[1], 1.02, atol=1e-12)
    np.testing.assert_allclose(flow.held_q_mvar, [by_hand - 0.5], atol=1e-9)
    np.testing.assert_allclose(flow.held_p_mw, [4.0])


def test_calibrated_is_fitted_with_the_voltages_held() -> None:
    net = pandapower.networks.create_cigre_network_mv()
    pp.create_gen(net, 7, p_mw=1.5, vm_pu=1.0)
    feeder = nf.Feeder.from_pandapower(net)
    share = np.random.default_rng(0).uniform(0.3, 1.2, (100, feeder.n_bus))
    p, q = -share * feeder.load_p_mw, -share * feeder.load_q_mvar
    exact, fitted = (jax.tree.map(np.asarray, nf.power_flow(feeder, p, q, method)) for method in ("ac", "calibrated"))
    assert np.abs(fitted.vm_pu - exact.vm_pu).max() < 3e-4
    assert np.abs(fitted.held_q_mvar - exact.held_q_mvar).max() < 0.05
    assert np.ptp(exact.held_q_mvar) > 0.5, "the generator has nothing to do"


def test_a_folder_of_files_gives_the_same_feeder(tmp_path: Any) -> None:
    held = [Held(2, 1.01, 0.3), Held(3, 0.99, va_degree=-1.5)]
    more = {"bus_labels": [1, 2, 3], "vn_kv": [20] * 3, "load_p_mw": [0, 1, 0], "load_q_mvar": [0, 0.2, 0]}
    feeder = two_buses(held=held, branches=[(1, 2), (2, 3)], r_ohm=[0.5, 0.5], x_ohm=[1.0, 1.0], **more)
    folder = write_feeder(feeder, tmp_path / "feeder")
    assert feeder_hash(nf.load_feeder(folder)) == feeder_hash(feeder)
    assert (folder / "held_voltages.csv").read_text("utf-8").splitlines()[1:] == ["2,1.01,0.3,", "3,0.99,0.0,-1.5"]


@pytest.mark.parametrize("method", ["ac", "newton"])
def test_a_generator_on_one_line_by_hand(method: str) -> None:
    """Without resistance: p = v1 v2 sin(va) / x, and at the held end q = (v2^2 - v1 v2 cos(va)) / x."""
    feeder = two_buses(load_p_mw=[0, 0], load_q_mvar=[0, 0], r_ohm=[0.0], held=[Held(2, 1.02, p_mw=40.0)])
    x = 1.0 / 20**2  # per unit of 1 MVA
    va = np.arcsin((40.0 - 3.0) * x / 1.02)
    with jax.enable_x64(True):
        flow = jax.tree.map(np.asarray, nf.power_flow(feeder, np.array([0.0, -3.0]), np.array([0.0, 0.5]), method))
    np.testing.assert_allclose(np.deg2rad(flow.va_degree[1]), va, atol=1e-12)
    np.testing.assert_allclose(flow.held_p_mw, [40.0])
    np.testing.assert_allclose(flow.held_q_mvar, [(1.02**2 - 1.02 * np.cos(va)) / x - 0.5], atol=1e-8)
    np.testing.assert_allclose(flow.slack_p_mw, -37.0, atol=1e-9)


def two_buses(**values: Any) -> nf.Feeder:
    columns = {"bus_labels": [1, 2], "vn_kv": [20, 20], "load_p_mw": [0, 1], "load_q_mvar": [0, 0.2]}
    columns |= {"name": "two", "branches": [(1, 2)], "r_ohm": [0.5], "x_ohm": [1.0]}
    return build_feeder(**(columns | values))


def test_what_holds_a_voltage_is_a_part_of_the_hash() -> None:
    feeders = [two_buses(), two_buses(held=[Held(2, 1.0)]), two_buses(held=[Held(2, 1.0, va_degree=0.0)])]
    assert len({feeder_hash(feeder) for feeder in feeders}) == 3


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ([Held(3, 1.0)], "bus 3, not a bus here"),
        ([Held(1, 1.0)], "bus 1 is held twice"),
        ([Held(2, 1.0), Held(2, 1.0)], "bus 2 is held twice"),
        ([Held(2, 2.0)], "held at vm_pu = 2.0"),
        ([Held(2, 1.0, np.nan)], "not finite"),
    ],
)
def test_what_cannot_be_held_is_refused(held: list[Held], message: str) -> None:
    with pytest.raises(InputError, match=message):
        two_buses(held=held)
