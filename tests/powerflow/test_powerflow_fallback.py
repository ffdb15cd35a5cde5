"""`ac` hands what it gives up to Newton's method where that is asked for: values, counts, derivatives."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandapower.networks
import pytest

import neomflex_jax as nf
from neomflex_jax.errors import InputError
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.loose_types import Keywords

X_OHM, VN_KV = 1.0, 10.0  # without resistance and at power factor 1 a line carries at most vn^2 / (2 x), 50 MW


@pytest.fixture(scope="module")
def line() -> nf.Feeder:
    columns = {"bus_labels": [1, 2], "vn_kv": [VN_KV] * 2, "load_p_mw": [0, 10], "load_q_mvar": [0, 0]}
    return build_feeder(name="line", branches=[(1, 2)], r_ohm=[0.0], x_ohm=[X_OHM], **columns)


def voltage_by_hand(
    p_mw: np.ndarray, e_pu: np.ndarray | float = 1.0, shunt_mvar: np.ndarray | float = 0.0
) -> np.ndarray:
    """Upper solution of ``v^4 - e^2 v^2 + (p x / vn^2)^2 = 0``, where a shunt raises both e and x."""
    more = 1 - shunt_mvar * X_OHM / VN_KV**2
    half = 0.5 * (e_pu / more) ** 2
    return np.sqrt(half + np.sqrt(half**2 - (p_mw * X_OHM / VN_KV**2 / more) ** 2))


@pytest.mark.parametrize("sweeps", [True, False])
def test_a_line_near_its_limit_is_solved_later(line: nf.Feeder, sweeps: bool) -> None:
    p_mw = np.array([10.0, 49.9, 60.0])
    injections = np.stack([np.zeros(3), -p_mw], axis=1)
    with jax.enable_x64(True):
        config = nf.AcConfig(max_iterations=8)
        alone = nf.power_flow(line, injections, 0.0, "ac", config, sweeps=sweeps)
        flow = nf.power_flow(line, injections, 0.0, "ac", config, fallback="newton", sweeps=sweeps)
        alone, flow = jax.tree.map(np.asarray, (alone, flow))
    assert alone.by_fallback is None
    assert alone.converged.tolist() == [True, False, False]
    assert flow.converged.tolist() == [True, True, False]
    assert flow.by_fallback.tolist() == [False, True, False]
    np.testing.assert_array_equal(flow.vm_pu[0], alone.vm_pu[0])
    np.testing.assert_allclose(flow.vm_pu[:2, 1], voltage_by_hand(p_mw[:2]), atol=1e-9)


def test_one_of_eleven_states_of_a_published_network_is_left_to_newton() -> None:
    """CIGRE's medium-voltage grid with generation, up to 22.8 times its rating: what `ac` gives up is pandapower's."""
    net, factors = (
        pandapower.networks.create_cigre_network_mv(with_der="pv_wind"),
        np.append(np.linspace(0.0, 19.8, 10), 22.8047),
    )
    feeder = nf.Feeder.from_pandapower(net)
    at = [feeder.bus_position(bus) for bus in net.sgen["bus"]]
    p_mw = np.tile(-feeder.load_p_mw, (11, 1))
    p_mw[:, at] += np.outer(factors - 1.0, net.sgen["p_mw"])  # one generator a bus
    with jax.enable_x64(True):
        alone = nf.power_flow(feeder, p_mw, -feeder.load_q_mvar)
        flow = nf.power_flow(feeder, p_mw, -feeder.load_q_mvar, fallback="newton")
    assert alone.converged.tolist() == [True] * 10 + [False]
    assert flow.by_fallback.tolist() == [False] * 10 + [True]
    assert flow.converged.all()
    net.sgen["scaling"] = factors[-1]
    pandapower.runpp(net, tolerance_mva=1e-10, calculate_voltage_angles=True)
    theirs = net.res_bus["vm_pu"][list(feeder.bus_labels)]
    assert theirs.min() == pytest.approx(0.8745, abs=1e-4)
    np.testing.assert_allclose(flow.vm_pu[-1], theirs, atol=1e-9)


def test_derivatives_hold_beyond_the_contraction(line: nf.Feeder) -> None:
    with jax.enable_x64(True):
        solver = nf.bind(line, "ac", nf.AcConfig(max_iterations=8), fallback="newton")
        slope = jax.jit(jax.grad(lambda p: solver(jnp.array([0.0, -p]), jnp.zeros(2)).vm_pu[1]))(49.0)
    step = 1e-4
    by_hand = np.diff(voltage_by_hand(np.array([49.0 - step, 49.0 + step])))[0] / (2 * step)
    np.testing.assert_allclose(slope, by_hand, rtol=1e-6)


@pytest.mark.parametrize("sweeps", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_cases_with_ratios_and_shunts_of_their_own_are_solved_later_too(line: nf.Feeder, sweeps: bool) -> None:
    """What each can carry depends on its ratio and its shunt; from voltages without it the lower solution was found."""
    ratio, shunt_mvar = np.array([0.95, 1.05, 1.05, 0.95]), np.array([0.0, 10.0, 0.0, 10.0])
    most_mw = 50.0 / ratio**2 / (1 - shunt_mvar / 100)
    p_mw = most_mw * np.array([0.2, 0.97, 0.998, 1.02])
    injections = np.stack([np.zeros(4), -p_mw], axis=1)
    set_to: Keywords = {"tap_ratio": {(1, 2): ratio}, "shunt_mvar": {2: shunt_mvar}}
    with jax.enable_x64(True):
        config = nf.AcConfig(max_iterations=8)
        flow = nf.power_flow(line, injections, 0.0, "ac", config, fallback="newton", sweeps=sweeps, **set_to)
        newton = nf.power_flow(line, injections, 0.0, "newton", **set_to)
        flow, newton = jax.tree.map(np.asarray, (flow, newton))
    assert flow.by_fallback.tolist() == [False, True, True, False]
    assert flow.converged.tolist() == newton.converged.tolist() == [True, True, True, False]
    np.testing.assert_allclose(flow.vm_pu[:3, 1], voltage_by_hand(p_mw[:3], 1 / ratio[:3], shunt_mvar[:3]), atol=1e-9)
    for field in ("vm_pu", "va_degree", "loss_mw", "slack_p_mw", "slack_q_mvar", "branch_i_ka"):
        np.testing.assert_allclose(getattr(flow, field)[:3], getattr(newton, field)[:3], atol=1e-8)


def test_slopes_by_ratio_and_shunt_hold_beyond_the_contraction(line: nf.Feeder) -> None:
    with jax.enable_x64(True):
        solver = nf.bind(line, "ac", nf.AcConfig(max_iterations=8), fallback="newton", taps=[(1, 2)])

        def voltage(ratio: jax.Array, shunt_mvar: jax.Array) -> jax.Array:
            setting = nf.Setting(ratio[None], jnp.zeros(2).at[1].set(shunt_mvar))
            return solver(jnp.array([0.0, -50.0]), jnp.zeros(2), setting).vm_pu[1]

        slopes = jax.jit(jax.grad(voltage, argnums=(0, 1)))(1.04, 10.0)
    for slope, ratio, shunt_mvar in zip(slopes, (1e-5, 0.0), (0.0, 1e-3), strict=True):
        steps = np.array([-1.0, 1.0])
        by_hand = np.diff(voltage_by_hand(np.full(2, 50.0), 1 / (1.04 + steps * ratio), 10.0 + steps * shunt_mvar))
        np.testing.assert_allclose(slope, by_hand[0] / (2 * (ratio + shunt_mvar)), rtol=1e-6)


@pytest.mark.slow
def test_devices_that_set_ratios_and_shunts_step_as_with_newton_alone() -> None:
    """With three evaluations for `ac` nearly every flow of an environment is left to the fallback."""
    env = nf.make(str(Path(nf.__file__).parents[1] / "examples" / "regulator.toml"))
    feeder, config = env.feeder, nf.AcConfig(max_iterations=3)
    left = env.with_power_flow(nf.bind(feeder, "ac", config, fallback="newton", taps=[(0, 1)]))
    newton = env.with_power_flow(nf.bind(feeder, "newton", taps=[(0, 1)]))
    keys = jax.random.split(jax.random.key(0), (6, 8))

    def play(env: nf.Environment) -> nf.TimeStep:
        def step(state: nf.State, keys: jax.Array) -> tuple[nf.State, nf.TimeStep]:
            draw = jax.vmap(lambda key: jax.random.uniform(key, (env.n_agents, env.action_size), minval=-1.0))
            return jax.vmap(env.step)(state, draw(keys))

        state, _ = jax.vmap(env.reset)(keys[0])
        return jax.jit(lambda state: jax.lax.scan(step, state, keys))(state)[1]

    found, wanted = play(left), play(newton)
    assert np.asarray(found.info["by_fallback"]).mean() > 0.5
    assert np.asarray(found.info["converged"]).all()
    np.testing.assert_allclose(found.info["vm_pu"], wanted.info["vm_pu"], atol=2e-6)
    np.testing.assert_allclose(found.reward, wanted.reward, rtol=1e-3, atol=1e-3)


def test_an_environment_records_what_the_fallback_found() -> None:
    env = nf.make("neom33", fallback="newton", step_hours=0.5)
    state, _ = env.reset(jax.random.key(0))
    _, timestep = jax.jit(env.step)(state, jnp.zeros((env.n_agents, env.action_size)))
    assert not timestep.info["by_fallback"]
    assert env.scenario.hash() != nf.load_scenario("neom33").hash()


def test_an_unknown_fallback_is_refused(line: nf.Feeder) -> None:
    with pytest.raises(InputError, match="fallback of `ac` 'gauss'"):
        nf.bind(line, fallback="gauss")
    with pytest.raises(InputError, match="fallback of `ac` 'gauss'"):
        nf.load_scenario("neom33", fallback="gauss")
