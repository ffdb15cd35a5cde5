"""Power flow with a feeder's controls: solved, sampled and moved until they rest, as OpenDSS's static mode does it.

A case is a loop over control iterations with one power flow each, on one factorisation (`ports.py`); under `vmap` a
batch is one loop, whose settled cases stand still. `control_rules.py` has the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Int, Num

from neomflex_jax.errors import InputError
from neomflex_jax.grid.parts import STATIC
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.network.setting import Setting
from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.stopping import AcConfig
from neomflex_jax.powerflow.unbalanced.bound import UnbalancedPowerFlow, bind_unbalanced
from neomflex_jax.powerflow.unbalanced.control_plan import Plan, plan_of
from neomflex_jax.powerflow.unbalanced.control_rules import (
    Capacitor,
    Measurement,
    Regulator,
    act_capacitor,
    act_regulator,
    capacitor_start,
    regulator_start,
    sample_capacitor,
    sample_regulator,
)

MOST_ITERATIONS = 10  # of control, OpenDSS's default


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class ControlledFlow:
    """A power flow with its controls at rest, or given up."""

    flow: PowerFlowResult
    tap_ratio: Float[Array, "... n_tap"]  # of `windings`, pu of their rated voltages
    capacitor_steps: Int[Array, "... n_capacitor"]  # that are in, of `capacitors`
    settled: Bool[Array, " *batch"]  # False: controls were still moving after the last iteration
    control_iterations: Int[Array, " *batch"]
    windings: tuple[tuple[str, int], ...] = field(metadata=STATIC)
    capacitors: tuple[str, ...] = field(metadata=STATIC)

    __repr__ = one_line

    @property
    def taps(self) -> dict[tuple[str, int], float]:
        """Taps of one case, as `feeder.with_taps` takes them.

        Raises
        ------
        InputError
            If this is a batch of cases.
        """
        if self.tap_ratio.ndim != 1:
            raise InputError(f"tap_ratio has shape {self.tap_ratio.shape}; take one case of it by jax.tree.map")
        return dict(zip(self.windings, self.tap_ratio.tolist(), strict=True))


class _State(NamedTuple):
    regulators: tuple[Regulator, ...]
    capacitors: tuple[Capacitor, ...]
    iterations: Array
    at_rest: Array


@platform_is_there()
@nan_is_a_value()
def follow_controls(
    feeder: UnbalancedFeeder,
    load_p_mw: Num[ArrayLike, "*#batch #n_load"] | None = None,
    load_q_mvar: Num[ArrayLike, "*#batch #n_load"] | None = None,
    ac_config: AcConfig = AcConfig(),
    *,
    hour: float = 0.0,
    max_control_iterations: int = MOST_ITERATIONS,
) -> ControlledFlow:
    """Solve a feeder with its controls moving taps and switching capacitors, as OpenDSS's static control mode does.

    Parameters
    ----------
    feeder
        With `controls`; its taps and steps are where every case begins.
    load_p_mw, load_q_mvar
        Nominal consumption of every load, (..., n_load), as `UnbalancedPowerFlow` takes it. None: the feeder's own.
    ac_config
        Tolerance and iteration limit of each power flow.
    hour
        Time of the day for capacitor controls by time.
    max_control_iterations
        Power flows after which controls that still move are given up; OpenDSS's default.

    Returns
    -------
    ControlledFlow
        Fields with the loads' leading axes. Failure is a value: see `settled` and `flow.converged`.

    Raises
    ------
    InputError
        If the feeder has no controls, or one that is not followed, by name; on loads of another shape.
    """
    plan = plan_of(feeder)
    solver = bind_unbalanced(
        feeder, ac_config, taps=plan.chosen.taps, capacitors=plan.chosen.capacitors, meters=plan.chosen.meters
    )
    p = jnp.asarray(feeder.load_p_mw if load_p_mw is None else load_p_mw, solver.dtype)
    q = jnp.asarray(feeder.load_q_mvar if load_q_mvar is None else load_q_mvar, solver.dtype)
    if p.shape[-1:] != (feeder.n_load,) or p.shape != q.shape:
        raise InputError(
            f"load_p_mw {p.shape} and load_q_mvar {q.shape} must have one shape, with n_load = {feeder.n_load} last"
        )
    base = jnp.append(jnp.asarray(1000 * feeder.v_base_kv), 0.0)

    def one(solver: UnbalancedPowerFlow, p: Array, q: Array) -> ControlledFlow:
        return _follow(plan, solver, base, p, q, hour, max_control_iterations)

    axes = p.ndim - 1
    if axes == 0:
        return jax.jit(one)(solver, p, q)
    flat = [values.reshape(-1, feeder.n_load) for values in (p, q)]
    found = jax.jit(jax.vmap(one, in_axes=(None, 0, 0)))(solver, *flat)
    return jax.tree.map(lambda leaf: leaf.reshape(p.shape[:-1] + leaf.shape[1:]), found)


def _follow(
    plan: Plan, solver: UnbalancedPowerFlow, base: Array, p: Array, q: Array, hour: float, max_iterations: int
) -> ControlledFlow:
    """Follow the controls of one case."""

    def setting_of(state: _State) -> Setting:
        taps = [each.tap for each in state.regulators]
        shares = [
            jnp.asarray(own.shares, p.dtype)[each.steps]
            for own, each in zip(plan.capacitors, state.capacitors, strict=True)
        ]
        return Setting(
            tap_ratio=jnp.stack(taps) if taps else None, capacitor_share=jnp.stack(shares) if shares else None
        )

    def keep_going(state: _State) -> Array:
        return ~state.at_rest & (state.iterations < max_iterations - 1)

    def iterate(state: _State) -> _State:
        volts, amperes, converged = solver.measured(p, q, setting_of(state))
        seen = Measurement(jnp.append(volts, 0.0) * base, 1000 * amperes)
        now = jnp.asarray(hour, p.dtype)
        regulators = [sample_regulator(*pair, seen) for pair in zip(plan.regulators, state.regulators, strict=True)]
        capacitors = [
            sample_capacitor(own, each, seen, now) for own, each in zip(plan.capacitors, state.capacitors, strict=True)
        ]
        times = [each.time_s for each in regulators] + [each.time_s for each in capacitors]
        times += [each.reverse_time_s for each in regulators]
        first = jnp.min(jnp.stack(times))
        moved = _State(
            tuple(act_regulator(own, each, first) for own, each in zip(plan.regulators, regulators, strict=True)),
            tuple(act_capacitor(own, each, first) for own, each in zip(plan.capacitors, capacitors, strict=True)),
            state.iterations + 1,
            ~jnp.isfinite(first) | ~converged,
        )
        still = moved._replace(regulators=state.regulators, capacitors=state.capacitors)
        return jax.tree.map(lambda a, b: jnp.where(moved.at_rest, a, b), still, moved)

    dtype = np.dtype(p.dtype)
    start = _State(
        tuple(regulator_start(own, dtype) for own in plan.regulators),
        tuple(capacitor_start(own, dtype) for own in plan.capacitors),
        jnp.zeros((), jnp.int32),
        jnp.zeros((), bool),
    )
    state = lax.while_loop(keep_going, iterate, start)
    flow = solver(p, q, setting=setting_of(state))
    setting = setting_of(state)
    none = jnp.zeros((0,), p.dtype)
    steps = [each.steps for each in state.capacitors]
    return ControlledFlow(
        flow=flow,
        tap_ratio=none if setting.tap_ratio is None else setting.tap_ratio,
        capacitor_steps=jnp.stack(steps) if steps else none.astype(jnp.int32),
        settled=state.at_rest & flow.converged,
        control_iterations=state.iterations + (~state.at_rest).astype(jnp.int32),
        windings=plan.chosen.taps,
        capacitors=plan.chosen.capacitors,
    )
