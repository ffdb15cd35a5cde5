"""Ratios and shunts that differ from case to case: the answers of feeders that have them built in, and pandapower's."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pandapower as pp
import pytest
from pandapower_nets import small_net, three_winding_net

import neomflex_jax as nf
from neomflex_jax.grid.parts import Charging, Shunts, Transformers

N = 4
SHUNTS = (5, 17)
TAPS = ((0, 1), (10, 11), (2, 22), (4, 5))  # next to the slack, on a branch turned round, on a lateral, below the first
FIELDS = ("vm_pu", "va_degree", "loss_mw", "slack_p_mw", "slack_q_mvar", "branch_i_ka")

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(scope="module")
def rich(case33bw: nf.Feeder) -> nf.Feeder:
    """IEEE 33 with charging, shunts, two transformers, and a branch that is listed from its lower end."""
    random, topology = np.random.default_rng(1), case33bw.topology
    n, start, end = topology.n_branch, list(topology.from_bus), list(topology.to_bus)
    start[10], end[10] = end[10], start[10]
    ratio, shift = np.ones(n), np.zeros(n)
    ratio[[0, 4]], shift[4] = (0.98, 1.03), 30.0
    return replace(
        case33bw,
        topology=replace(topology, from_bus=tuple(start), to_bus=tuple(end)),
        charging=Charging(random.uniform(0, 50, n), random.uniform(0, 500, n)),
        transformers=Transformers(ratio, shift, np.ones(n)),
        shunts=Shunts(np.full(33, 0.01), np.full(33, -0.02)),
    )


@pytest.fixture(scope="module")
def cases() -> tuple[np.ndarray, ...]:
    """Load factors (N, 33), ratios (N, n_tap) and shunts in Mvar (N, n_shunt)."""
    random = np.random.default_rng(2)
    return random.uniform(0, 1.5, (N, 33)), random.uniform(0.9, 1.1, (N, len(TAPS))), random.uniform(0, 0.5, (N, 2))


def taps_of(feeder: nf.Feeder) -> list[tuple[int, int]]:
    """TAPS, each from its from to its to bus."""
    pairs = list(zip(feeder.topology.from_bus, feeder.topology.to_bus, strict=True))
    return [ends if ends in pairs else (ends[1], ends[0]) for ends in TAPS]


def built_in(feeder: nf.Feeder, ratio: np.ndarray, shunt_mvar: np.ndarray) -> nf.Feeder:
    """The feeder with one case's ratios and shunts as its own."""
    pairs = list(zip(feeder.topology.from_bus, feeder.topology.to_bus, strict=True))
    branches = [pairs.index(ends) for ends in taps_of(feeder)]
    n = feeder.topology.n_branch
    parts = feeder.transformers or Transformers(np.ones(n), np.zeros(n), np.ones(n))
    shunts = feeder.shunts or Shunts(np.zeros(33), np.zeros(33))
    all_ratios, q_mvar = parts.ratio.copy(), shunts.q_mvar.copy()
    all_ratios[branches] *= ratio
    q_mvar[list(SHUNTS)] -= shunt_mvar
    return replace(feeder, transformers=replace(parts, ratio=all_ratios), shunts=replace(shunts, q_mvar=q_mvar))


FORMS = (("ac", "dense"), ("ac", "tree"), ("ac", "sweep"), ("newton", "dense"))
FEEDERS_AND_FORMS = [
    *(pytest.param("rich", *form) for form in FORMS),
    *(pytest.param("plain", *form, marks=[] if form[1] == "sweep" else pytest.mark.slow) for form in FORMS),
]


@pytest.mark.parametrize(("name", "method", "network"), FEEDERS_AND_FORMS)
def test_a_case_with_its_own_ratios_and_shunts_is_a_feeder_that_has_them(
    name: str, method: str, network: str, case33bw: nf.Feeder, rich: nf.Feeder, cases: tuple[np.ndarray, ...]
) -> None:
    feeder = rich if name == "rich" else case33bw
    load, ratio, shunt_mvar = cases
    p, q = -load * feeder.load_p_mw, -load * feeder.load_q_mvar
    solver = nf.bind(feeder, method, network=network, taps=taps_of(feeder))
    setting = nf.Setting(jnp.asarray(ratio), jnp.zeros((N, 33)).at[:, jnp.array(SHUNTS)].set(shunt_mvar))
    flow = jax.jit(jax.vmap(solver))(p, q, setting)
    assert np.asarray(flow.converged).all()
    assert float(flow.residual_mva.max()) < 1e-9
    for case in range(N):
        wanted = nf.power_flow(built_in(feeder, ratio[case], shunt_mvar[case]), p[case], q[case], sweeps=False)
        for field in FIELDS:
            found, expected = np.asarray(getattr(flow, field)[case]), np.asarray(getattr(wanted, field))
            assert found == pytest.approx(expected, abs=1e-9), field


@pytest.mark.parametrize("method", ["ac", "newton"])
def test_taps_and_capacitor_steps_are_pandapowers(method: str) -> None:
    net = small_net()
    net.trafo[["tap_side", "tap_changer_type"]] = ("hv", "Ratio")
    net.trafo[["tap_neutral", "tap_pos", "tap_step_percent"]] = (0, 0, 2.5)
    feeder = nf.Feeder.from_pandapower(net)
    bus = int(net.load["bus"].iloc[0])
    shunt = pp.create_shunt(net, bus, q_mvar=-0.01, p_mw=0.0, step=0, max_step=3)
    high, low = int(net.trafo["hv_bus"].iloc[0]), int(net.trafo["lv_bus"].iloc[0])
    positions, steps = np.array([-4, 0, 3]), np.array([3, 1, 0])
    flow = nf.power_flow(
        feeder,
        -feeder.load_p_mw * np.ones((3, 1)),
        -feeder.load_q_mvar,
        method,
        tap_ratio={(high, low): 1 + 0.025 * positions},
        shunt_mvar={bus: 0.01 * steps * (feeder.vn_kv[feeder.bus_position(bus)] / net.shunt["vn_kv"][shunt]) ** 2},
    )
    for case, (position, step) in enumerate(zip(positions, steps, strict=True)):
        net.trafo["tap_pos"], net.shunt.loc[shunt, "step"] = position, step
        pp.runpp(net, tolerance_mva=1e-10, calculate_voltage_angles=True)
        found = net.res_bus["vm_pu"][list(feeder.bus_labels)].to_numpy()
        assert np.asarray(flow.vm_pu[case]) == pytest.approx(found, abs=1e-8)
        assert float(flow.slack_q_mvar[case]) == pytest.approx(float(net.res_ext_grid["q_mvar"].sum()), abs=1e-7)


@pytest.mark.parametrize("method", ["ac", pytest.param("newton", marks=pytest.mark.slow)])
def test_derivatives_by_ratio_and_shunt_are_those_of_finite_differences(method: str, rich: nf.Feeder) -> None:
    p, q = -0.8 * rich.load_p_mw, -0.8 * rich.load_q_mvar
    solver, at = nf.bind(rich, method, taps=taps_of(rich)), jnp.array([1.02, 0.97, 1.01, 0.99, 0.2])

    def cost(values: jax.Array) -> jax.Array:
        flow = solver(p, q, nf.Setting(values[:-1], jnp.zeros(33).at[SHUNTS[0]].set(values[-1])))
        return jnp.sum(flow.vm_pu**2) + flow.loss_mw + flow.slack_q_mvar

    step = 1e-6 * jnp.eye(len(at))
    values = jax.jit(jax.vmap(cost))(jnp.concatenate([at + step, at - step]))
    slopes = (values[: len(at)] - values[len(at) :]) / 2e-6
    assert np.asarray(jax.jit(jax.grad(cost))(at)) == pytest.approx(np.asarray(slopes), rel=1e-6, abs=1e-7)


def test_a_bridge_of_a_meshed_feeder_can_have_a_tap_changer(case33bw: nf.Feeder) -> None:
    meshed = _closed(case33bw, 33)
    p, q = -meshed.load_p_mw, -meshed.load_q_mvar
    flow = nf.power_flow(meshed, p, q, tap_ratio={(0, 1): 0.95})
    parts = Transformers(np.ones(37), np.zeros(37), np.ones(37))
    parts.ratio[0] = 0.95
    wanted = nf.power_flow(replace(meshed, transformers=parts), p, q)
    for field in FIELDS:
        assert np.asarray(getattr(flow, field)) == pytest.approx(np.asarray(getattr(wanted, field)), abs=1e-9), field


def test_where_voltages_are_held_ratios_can_differ_too() -> None:
    net = small_net()
    pp.create_gen(net, int(net.load["bus"].iloc[-1]), p_mw=0.01, vm_pu=1.0)
    feeder = nf.Feeder.from_pandapower(net)
    assert feeder.transformers is not None
    p, q = -feeder.load_p_mw, -feeder.load_q_mvar
    high, low = int(net.trafo["hv_bus"].iloc[0]), int(net.trafo["lv_bus"].iloc[0])
    flow = nf.power_flow(feeder, p, q, tap_ratio={(high, low): 0.97})
    branch = int(np.flatnonzero(feeder.transformers.present)[0])
    ratio = feeder.transformers.ratio.copy()
    ratio[branch] *= 0.97
    wanted = nf.power_flow(replace(feeder, transformers=replace(feeder.transformers, ratio=ratio)), p, q)
    for field in FIELDS:
        assert np.asarray(getattr(flow, field)) == pytest.approx(np.asarray(getattr(wanted, field)), abs=1e-9), field


def test_a_large_batch_is_cut_into_pieces_with_its_ratios(case33bw: nf.Feeder) -> None:
    n = 3000
    p, q = (np.broadcast_to(-load, (n, 33)) for load in (case33bw.load_p_mw, case33bw.load_q_mvar))
    ratio = np.linspace(0.9, 1.1, n)
    flow = nf.power_flow(case33bw, p, q, tap_ratio={(0, 1): ratio}, shunt_mvar={17: 0.1}, fields=("vm_pu",))
    for case in (0, 1234, n - 1):
        alone = nf.power_flow(case33bw, p[case], q[case], tap_ratio={(0, 1): ratio[case]}, shunt_mvar={17: 0.1})
        assert np.asarray(flow.vm_pu[case]) == pytest.approx(np.asarray(alone.vm_pu), abs=1e-9)


def test_uncertain_impedances_keep_the_ratios(case33bw: nf.Feeder) -> None:
    p, q = -case33bw.load_p_mw, -case33bw.load_q_mvar
    solver, setting = nf.bind(case33bw, taps=[(0, 1)]), nf.Setting(jnp.array([0.95]))

    def lowest(factor: jax.Array) -> jax.Array:
        other = replace(case33bw, r_ohm=case33bw.r_ohm * factor)
        return solver.on(other)(p, q, setting).vm_pu.min()

    found = jax.jit(jax.vmap(lowest))(jnp.array([1.0, 1.2]))
    assert float(found[0]) == pytest.approx(float(solver(p, q, setting).vm_pu.min()), abs=1e-9)
    assert found[1] < found[0] - 1e-3


def _closed(feeder: nf.Feeder, branch: int) -> nf.Feeder:
    closed = list(feeder.topology.in_service)
    closed[branch] = True
    return replace(feeder, topology=replace(feeder.topology, in_service=tuple(closed)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tap_ratio": {(0, 7): 1.0}}, "no branch joins them; there are 0-1"),
        ({"tap_ratio": {(98, 99): 1.0}}, "it has neither"),
        ({"tap_ratio": {(20, 7): 1.0}}, "the branch is open"),
        ({"tap_ratio": {(1, 0): 1.0}}, "the branch is listed from 0 to 1"),
        ({"tap_ratio": {(0, 1): 0.0}}, "must be above 0"),
        ({"tap_ratio": {(0, 1): np.nan}}, "holds NaN"),
        ({"tap_ratio": {(0, 1): np.ones(2)}}, r"has shape \(2,\)"),
        ({"shunt_mvar": {40: 0.1}}, "has no bus 40"),
        ({"tap_ratio": {(0, 1): 1.0}, "method": "calibrated"}, "take power_flow = 'ac'"),
        ({"shunt_mvar": {3: 0.1}, "method": "lindistflow"}, "take power_flow = 'ac'"),
    ],
)
def test_what_cannot_be_set_is_refused(arguments: dict[str, object], message: str, case33bw: nf.Feeder) -> None:
    with pytest.raises(nf.InputError, match=message):
        nf.power_flow(case33bw, -case33bw.load_p_mw, -case33bw.load_q_mvar, **arguments)  # type: ignore[arg-type]


def test_a_tap_changer_in_a_loop_is_refused(case33bw: nf.Feeder) -> None:
    with pytest.raises(nf.InputError, match="branch 5-6 is part of a loop"):
        nf.bind(_closed(case33bw, 32), taps=[(5, 6)])


@pytest.mark.parametrize("held", [False, True])
def test_a_tap_changer_of_three_windings_is_refused(held: bool) -> None:
    """It would act on two of the three branches; where voltages are held no loop is in its way."""
    net = three_winding_net()
    if held:
        pp.create_gen(net, 3, p_mw=1.0, vm_pu=1.0)
    feeder = nf.Feeder.from_pandapower(net)
    for ends in ((0, 1), (1, 2), (2, 0)):
        with pytest.raises(
            nf.InputError, match=f"from bus {ends[0]} to bus {ends[1]}: .* three windings.* set its tap_pos"
        ):
            nf.bind(feeder, taps=[ends])
    solver = nf.bind(feeder, taps=[(2, 3)])
    assert solver.grid.tap_branches == (0,)


def test_two_tap_changers_on_one_branch_are_refused(case33bw: nf.Feeder) -> None:
    with pytest.raises(nf.InputError, match="there is one already"):
        nf.bind(case33bw, taps=[(0, 1), (0, 1)])


def test_a_bound_method_takes_the_ratios_of_its_branches(case33bw: nf.Feeder) -> None:
    p, q = -case33bw.load_p_mw, -case33bw.load_q_mvar
    ratios = {(0, 1): 0.95, (5, 6): 1.02}
    found = nf.power_flow(case33bw, p, q, nf.bind(case33bw, taps=[(5, 6), (0, 1)]), tap_ratio=ratios)
    wanted = nf.power_flow(case33bw, p, q, tap_ratio=ratios)
    assert np.asarray(found.vm_pu) == pytest.approx(np.asarray(wanted.vm_pu), abs=1e-12)
    with pytest.raises(nf.InputError, match="other branches than"):
        nf.power_flow(case33bw, p, q, nf.bind(case33bw), tap_ratio=ratios)
