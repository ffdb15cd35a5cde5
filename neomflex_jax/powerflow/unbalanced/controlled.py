"""Power flow with a feeder's controls: solved, sampled and moved until they rest, as OpenDSS's static mode does it.

A case is a loop over control iterations with one power flow each, on one factorisation (`ports.py`); under `vmap` a
batch is one loop, whose settled cases stand still. `settling.py` has the loop, `control_rules.py` the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array
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
from neomflex_jax.powerflow.unbalanced.settling import MOST_ITERATIONS, setting_at, settle, standing_of


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

    def one(solver: UnbalancedPowerFlow, p: Array, q: Array) -> ControlledFlow:
        return _follow(plan, solver, p, q, hour, max_control_iterations)

    axes = p.ndim - 1
    if axes == 0:
        return jax.jit(one)(solver, p, q)
    flat = [values.reshape(-1, feeder.n_load) for values in (p, q)]
    found = jax.jit(jax.vmap(one, in_axes=(None, 0, 0)))(solver, *flat)
    return jax.tree.map(lambda leaf: leaf.reshape(p.shape[:-1] + leaf.shape[1:]), found)


def _follow(
    plan: Plan, solver: UnbalancedPowerFlow, p: Array, q: Array, hour: float, max_iterations: int
) -> ControlledFlow:
    """Follow the controls of one case."""

    def measure(setting: Setting) -> tuple[Array, Array, Array]:
        return solver.measured(p, q, setting, plan.nodes)

    found = settle(plan, measure, standing_of(plan, p.dtype), hour, max_iterations)
    flow = solver(p, q, setting=setting_at(plan, found.standing))
    return ControlledFlow(
        flow=flow,
        tap_ratio=found.standing.tap_ratio,
        capacitor_steps=found.standing.steps,
        settled=found.at_rest & flow.converged,
        control_iterations=found.iterations,
        windings=plan.chosen.taps,
        capacitors=plan.chosen.capacitors,
    )
