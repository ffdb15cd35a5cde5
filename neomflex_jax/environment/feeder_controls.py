"""A feeder's own regulators and capacitors, following their own controls within every step.

Where a scenario says ``feeder_controls = "follow"``, the controls of windings and banks that no device takes over move
them step by step as OpenDSS's static control mode does: from where the step before left them, under the step's loads
and injections, until they rest (`powerflow/unbalanced/settling.py`). Steps are longer than the controls' delays, which
therefore say who acts first and no more. A file's first day and random days begin at the taps and steps that the feeder
has. Like every rule of devices, these have no derivatives: taps are given to learners by gradients.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from neomflex_jax.environment.taken_over import neutral, switched_capacitors, tapped_windings
from neomflex_jax.errors import InputError
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.grid.feeder import AnyFeeder
from neomflex_jax.grid.unbalanced.control import CapacitorControl, OtherControl, RegulatorControl
from neomflex_jax.powerflow import Setting, UnbalancedPowerFlow
from neomflex_jax.powerflow.unbalanced.control_plan import Plan, plan_of
from neomflex_jax.powerflow.unbalanced.settling import Settled, Standing, setting_at, settle, standing_of
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.parts import FOLLOW

STORE = "feeder_controls"  # under which a state's stores have where controls stand
Injections = tuple[Array, Array, Array, Array]  # loads' p and q by load, devices' p and q by node that feeds in


class Followed(NamedTuple):
    """What the controls did in a step."""

    before: Standing
    after: Standing
    settled: Array  # () False: still moving when they were given up


def plan_for(scenario: Scenario, feeder: AnyFeeder) -> Plan | None:
    """Plan of the controls that a scenario's feeder follows; None where it follows none.

    Raises
    ------
    InputError
        If there is none to follow, one that is not followed, or one that waits longer than a step.
    """
    if scenario.feeder_controls != FOLLOW:
        return None
    if not isinstance(feeder, UnbalancedFeeder):
        raise InputError(
            f"feeder {feeder.name!r} is balanced and has no controls of its own; leave feeder_controls out, and give "
            'devices that move in steps control = "band"'
        )
    return _plan(scenario, feeder)


@lru_cache(maxsize=8)
def _plan(scenario: Scenario, feeder: UnbalancedFeeder) -> Plan:
    windings = {each for own in tapped_windings(scenario, feeder) for each in own}
    banks = {each for own in switched_capacitors(scenario, feeder) for each in own}
    taken = [control.name for control in feeder.controls if _moves(control) & (windings | banks)]
    left = feeder.without_controls(*taken)
    if not left.controls:
        moved = f"; its devices have taken over {', '.join(taken)}" if taken else ""
        raise InputError(f"feeder {feeder.name!r} has no controls to follow{moved}; leave feeder_controls out")
    plan, step_s = plan_of(left), 3600 * scenario.step_hours
    delays_s = {each.control.name: each.control.delay_s for each in plan.regulators}
    delays_s |= {each.control.name: each.control.delay_s for each in plan.capacitors}
    for name, delay_s in delays_s.items():
        if delay_s > step_s:
            raise InputError(
                f"{name} waits {delay_s:g} s, longer than a step of {step_s:g} s, and "
                'controls come to rest within a step; take longer steps, or feeder_controls = "frozen"'
            )
    return plan


def _moves(control: RegulatorControl | CapacitorControl | OtherControl) -> set[object]:
    """Winding or bank that a control moves."""
    if isinstance(control, RegulatorControl):
        return {(control.transformer, control.tap_winding)}
    return {control.capacitor} if isinstance(control, CapacitorControl) else set()


def begin(scenario: Scenario, feeder: AnyFeeder) -> dict[str, Standing]:
    """Stores of the controls as the feeder leaves them, under `STORE`; none where none is followed."""
    plan = plan_for(scenario, feeder)
    return {} if plan is None else {STORE: standing_of(plan, jnp.zeros(()).dtype)}


def idle_setting(scenario: Scenario, feeder: UnbalancedFeeder) -> Setting | None:
    """Setting of a step with all devices at zero, and controls as the feeder leaves them."""
    n_tap, n_bank = (sum(map(len, own(scenario, feeder))) for own in (tapped_windings, switched_capacitors))
    plan = plan_for(scenario, feeder)
    own = None if plan is None else setting_at(plan, standing_of(plan, jnp.zeros(()).dtype))
    return joined(neutral(n_tap, n_bank), own)


def joined(devices: Setting | None, controls: Setting | None) -> Setting | None:
    """Put what controls set behind what devices set, in the order in which both are bound."""
    if devices is None or controls is None:
        return devices or controls

    def both(one: Array | None, other: Array | None) -> Array | None:
        parts = [each for each in (one, other) if each is not None]
        return jnp.concatenate(parts) if parts else None

    return Setting(
        tap_ratio=both(devices.tap_ratio, controls.tap_ratio),
        capacitor_share=both(devices.capacitor_share, controls.capacitor_share),
    )


def follow(
    plan: Plan,
    power_flow: UnbalancedPowerFlow,
    case: Injections,
    devices: Setting | None,
    before: Standing,
    hour: Array,
) -> Followed:
    """Move the controls under one step's loads, injections and devices' setting; nothing of it has derivatives."""
    load_p_mw, load_q_mvar, p_mw, q_mvar = jax.lax.stop_gradient(case)
    set_by_devices, start = jax.lax.stop_gradient((devices, before))
    fed_in = () if not power_flow.device_nodes else (p_mw, q_mvar)

    def measure(setting: Setting) -> tuple[Array, Array, Array]:
        whole = joined(set_by_devices, setting)
        assert whole is not None  # there is a control
        return power_flow.measured(load_p_mw, load_q_mvar, whole, plan.nodes, *fed_in)

    found: Settled = settle(plan, measure, start, hour)
    return Followed(before, jax.lax.stop_gradient(found.standing), found.at_rest)


def operations(plan: Plan, followed: Followed) -> Array:
    """Steps by which each control moved from the step before, (n_control,), regulators first; 0 or more."""
    step = jnp.asarray([each.winding.step for each in plan.regulators], followed.after.tap_ratio.dtype)
    taps = jnp.round((followed.after.tap_ratio - followed.before.tap_ratio) / step)
    return jnp.abs(jnp.concatenate([taps, (followed.after.steps - followed.before.steps).astype(taps.dtype)]))


def recorded(plan: Plan, followed: Followed) -> dict[str, Array]:
    """What a step's record has of the controls."""
    found: dict[str, Array] = {"feeder_controls_settled": followed.settled}
    for when, standing in (("", followed.after), ("_before", followed.before)):
        found[f"feeder_tap_ratio{when}"] = standing.tap_ratio
        found[f"feeder_bank_steps{when}"] = standing.steps.astype(standing.tap_ratio.dtype)
    return found
