"""Controls moved until they rest, from wherever they stand: the control iterations of OpenDSS's static mode.

Solve; sample every control; those of the shortest delay act, all at once; solve again, until none is armed
(`control_rules.py`). One case; under `vmap` a batch is one loop, whose settled cases stand still. The loop has no
reverse-mode derivative: taps and steps that it finds are given to whoever differentiates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike
from jaxtyping import Bool, Float, Int

from neomflex_jax.powerflow.network.setting import Setting
from neomflex_jax.powerflow.unbalanced.control_plan import Plan
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
# volts at the plan's nodes in pu, kA, whether it converged
Measure: TypeAlias = Callable[[Setting], tuple[Array, Array, Array]]


class Standing(NamedTuple):
    """Where controls stand from one solution to the next."""

    tap_ratio: Float[Array, " n_regulator"]  # pu of the windings' rated voltages
    steps: Int[Array, " n_capacitor"]  # of the capacitors that are in
    reversed_: Bool[Array, " n_regulator"]  # regulators that look the other way


class Settled(NamedTuple):
    """What the control iterations came to."""

    standing: Standing
    at_rest: Bool[Array, ""]  # False: still moving after the last iteration
    iterations: Int[Array, ""]


class _State(NamedTuple):
    regulators: tuple[Regulator, ...]
    capacitors: tuple[Capacitor, ...]
    iterations: Array
    at_rest: Array


def standing_of(plan: Plan, dtype: DTypeLike) -> Standing:
    """Controls as their feeder leaves them."""
    return Standing(
        jnp.asarray([each.tap for each in plan.regulators], dtype),
        jnp.asarray([each.steps_in for each in plan.capacitors], jnp.int32),
        jnp.zeros(len(plan.regulators), bool),
    )


def setting_at(plan: Plan, standing: Standing) -> Setting:
    """Setting of the plan's windings and banks where they stand."""
    dtype = standing.tap_ratio.dtype
    shares = [jnp.asarray(own.shares, dtype)[standing.steps[each]] for each, own in enumerate(plan.capacitors)]
    return Setting(
        tap_ratio=standing.tap_ratio if plan.regulators else None,
        capacitor_share=jnp.stack(shares) if shares else None,
    )


def settle(
    plan: Plan,
    measure: Measure,
    start: Standing,
    hour: Array | float,
    max_iterations: int = MOST_ITERATIONS,
) -> Settled:
    """Move the controls of one case.

    Parameters
    ----------
    plan
        What they measure and move.
    measure
        Solves the case at a setting of the plan's windings and banks.
    start
        Where they stand before.
    hour
        Time of the day for capacitor controls by time.
    max_iterations
        Power flows after which controls that still move are given up.
    """
    dtype = start.tap_ratio.dtype
    now, v_base = jnp.asarray(hour, dtype), jnp.asarray(plan.v_base, dtype)

    def keep_going(state: _State) -> Array:
        return ~state.at_rest & (state.iterations < max_iterations - 1)

    def iterate(state: _State) -> _State:
        volts, amperes, converged = measure(setting_at(plan, _standing(plan, state, dtype)))
        seen = Measurement(jnp.append(volts, 0.0) * v_base, 1000 * amperes)
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

    state = lax.while_loop(keep_going, iterate, _begun(plan, start))
    return Settled(_standing(plan, state, dtype), state.at_rest, state.iterations + (~state.at_rest).astype(jnp.int32))


def _begun(plan: Plan, start: Standing) -> _State:
    """State before the first power flow, nothing armed."""
    dtype = start.tap_ratio.dtype
    return _State(
        tuple(
            regulator_start(own, dtype)._replace(tap=start.tap_ratio[each], reversed_=start.reversed_[each])
            for each, own in enumerate(plan.regulators)
        ),
        tuple(
            capacitor_start(own, dtype)._replace(steps=start.steps[each]) for each, own in enumerate(plan.capacitors)
        ),
        jnp.zeros((), jnp.int32),
        jnp.zeros((), bool),
    )


def _standing(plan: Plan, state: _State, dtype: DTypeLike) -> Standing:
    nothing = jnp.zeros(0, dtype)
    return Standing(
        jnp.stack([each.tap for each in state.regulators]) if plan.regulators else nothing,
        jnp.stack([each.steps for each in state.capacitors]) if plan.capacitors else nothing.astype(jnp.int32),
        jnp.stack([each.reversed_ for each in state.regulators]) if plan.regulators else nothing.astype(bool),
    )
