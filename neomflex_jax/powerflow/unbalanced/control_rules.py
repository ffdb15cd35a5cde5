"""The rules by which controls move taps and capacitors, as OpenDSS's static control mode has them.

After each power flow every control is sampled. One that is beyond its band asks for a change and is armed with its
delay; one that is back in it is disarmed. Then those of the shortest delay act, all at once, and the circuit is solved
again; it is settled when none is armed. A regulator makes ``max(1, trunc(0.7 n))`` of the n steps that it asks for, a
capacitor control one step. Time stands still: a longer delay waits until nothing of a shorter one is left to do.
Source: R. C. Dugan, "OpenDSS Manual", chapters on control modes, RegControl and CapControl, and what OpenDSS does.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.powerflow.unbalanced.control_plan import CapacitorPlan, Measured, RegulatorPlan

NONE, OPEN, CLOSE = 0, 1, 2  # what a capacitor control asks for
NEVER = jnp.inf  # seconds


class Measurement(NamedTuple):
    """One case's voltages in volts and currents in amperes, complex; ground is the last node."""

    volts: Array  # (n_node + 1,)
    amperes: Array  # (n_meter,) into the conductors


class Regulator(NamedTuple):
    """State of one regulator control."""

    tap: Array
    asked: Array  # steps
    time_s: Array  # at which it acts, NEVER: it is not armed
    reversed_: Array  # True: it looks the other way
    reverse_time_s: Array  # at which it turns round


class Capacitor(NamedTuple):
    """State of one capacitor control."""

    steps: Array
    asked: Array
    time_s: Array
    was_opened: Array  # by it, so that the dead time has begun


def regulator_start(plan: RegulatorPlan, dtype: np.dtype) -> Regulator:
    """State before the first power flow."""
    none = jnp.asarray(NEVER, dtype)
    return Regulator(jnp.asarray(plan.tap, dtype), jnp.zeros((), dtype), none, jnp.zeros((), bool), none)


def capacitor_start(plan: CapacitorPlan, dtype: np.dtype) -> Capacitor:
    """State before the first power flow."""
    steps = jnp.asarray(plan.steps_in, jnp.int32)
    return Capacitor(steps, jnp.zeros((), jnp.int32), jnp.asarray(NEVER, dtype), jnp.zeros((), bool))


def _phases(measured: Measured, seen: Measurement) -> Array:
    return seen.volts[measured.ends[:, 0]] - seen.volts[measured.ends[:, 1]]


def _power_w(measured: Measured, seen: Measurement) -> tuple[Array, Array]:
    """P and Q into a terminal."""
    power = jnp.sum(seen.volts[measured.terminal[:, 0]] * jnp.conj(seen.amperes[measured.terminal[:, 1]]))
    return power.real, power.imag


def sample_regulator(plan: RegulatorPlan, state: Regulator, seen: Measurement) -> Regulator:
    """Sample one regulator control."""
    control, measured = plan.control, plan.measured
    if control.max_tap_change == 0:
        return state
    if control.reversible and not control.remote:
        state = _turned(plan, state, seen)
    back = state.reversed_

    def either(forward: float, reverse: float) -> Array:
        return jnp.where(back, reverse, forward) if control.reversible else jnp.asarray(forward)

    phases = _phases(measured, seen)
    sizes = jnp.abs(phases)
    place = {-1: jnp.argmax(sizes), -2: jnp.argmin(sizes)}.get(measured.choice, jnp.asarray(measured.choice))
    relay = phases[place] / (control.remote_pt_ratio if control.remote else control.pt_ratio)
    local = jnp.abs(seen.volts[plan.local[0]] - seen.volts[plan.local[1]]) / control.pt_ratio
    if not control.remote:
        local = jnp.abs(relay)
        if control.r or control.x or control.ldc_z > 0:
            ampere = seen.amperes[jnp.asarray(measured.meters)[place]] / control.ct_primary_a
            if control.ldc_z:
                relay = jnp.abs(relay) - jnp.abs(ampere) * either(control.ldc_z, control.rev_z)
            else:
                relay = relay + (either(control.r, control.rev_r) + 1j * either(control.x, control.rev_x)) * ampere
    volts = jnp.abs(relay)
    volts = jnp.where(back, volts / state.tap, volts)
    v_set, band = either(control.v_set, control.rev_v_set), either(control.band, control.rev_band)
    missing = v_set - volts
    needed = jnp.abs(missing) > band / 2
    if control.v_limit > 0:
        over = local > control.v_limit
        missing, needed = jnp.where(over, control.v_limit - local, missing), needed | over
    step = plan.winding.step
    asked = jnp.round(missing * control.pt_ratio / plan.v_base / step)
    if control.tap_winding != control.winding:
        asked = -asked
    asked = jnp.where(back, -asked, asked)
    slack = 0.0 if state.tap.dtype == jnp.float64 else 1e-3 * step  # double precision rounds as OpenDSS does
    possible = jnp.where(asked > 0, state.tap < plan.winding.max_tap - slack, state.tap > plan.winding.min_tap + slack)
    delay = jnp.asarray(control.delay_s)
    if control.inverse_time:
        delay = control.delay_s / jnp.minimum(10.0, 2.0 * jnp.abs(control.v_set - volts) / control.band)
    armed = jnp.isfinite(state.time_s)
    time = jnp.where(armed | (asked == 0) | ~possible, state.time_s, delay)
    sampled = state._replace(
        asked=jnp.where(needed, asked, 0.0), time_s=jnp.where(needed, time, NEVER).astype(state.time_s.dtype)
    )
    if not (control.reversible and control.rev_neutral):
        return sampled
    home = jnp.round((1.0 - state.tap) / step)
    to_neutral = state._replace(
        asked=jnp.where(armed, state.asked, home),
        time_s=jnp.where(armed | (home == 0), state.time_s, control.tap_delay_s),
    )
    return Regulator(*(jnp.where(back, a, b) for a, b in zip(to_neutral, sampled, strict=True)))


def _turned(plan: RegulatorPlan, state: Regulator, seen: Measurement) -> Regulator:
    """Arm or disarm turning round, by the power out of the measured winding."""
    forward = -_power_w(plan.measured, seen)[0]
    threshold = 1000.0 * plan.control.rev_threshold_kw
    wrong = jnp.where(state.reversed_, forward > threshold, forward < -threshold)
    pending = jnp.isfinite(state.reverse_time_s)
    time = jnp.where(wrong, jnp.where(pending, state.reverse_time_s, plan.control.rev_delay_s), NEVER)
    return state._replace(reverse_time_s=time.astype(state.time_s.dtype))


def act_regulator(plan: RegulatorPlan, state: Regulator, time_s: Array) -> Regulator:
    """Do what is armed up to a time."""
    turns = state.reverse_time_s <= time_s
    acts = state.time_s <= time_s
    table = jnp.asarray(plan.moves, state.tap.dtype)
    count = table[jnp.clip(jnp.abs(state.asked), 0, len(plan.moves) - 1).astype(jnp.int32)]
    moved = state.tap + jnp.sign(state.asked) * count * plan.winding.step
    tap = jnp.clip(moved, plan.winding.min_tap, plan.winding.max_tap)
    return Regulator(
        tap=jnp.where(acts & (state.asked != 0), tap, state.tap),
        asked=jnp.where(acts, 0.0, state.asked),
        time_s=jnp.where(acts, NEVER, state.time_s),
        reversed_=state.reversed_ ^ turns,
        reverse_time_s=jnp.where(turns, NEVER, state.reverse_time_s),
    )


def _of_phases(choice: int, values: Array) -> Array:
    """One of the phases' values, or the largest, the smallest, the mean."""
    if choice >= 0:
        return values[choice]
    return {-1: values.max(), -2: values.min(), -3: values.mean()}[choice]


def sample_capacitor(plan: CapacitorPlan, state: Capacitor, seen: Measurement, hour: Array) -> Capacitor:
    """Sample one capacitor control."""
    control = plan.control
    is_in, may_add = state.steps > 0, state.steps < len(plan.shares) - 1
    add, take, stays = _wanted(plan, seen, hour)
    # in: out where it must, one more where there is one; what is in whole and neither is at rest
    while_in = jnp.where(take, OPEN, jnp.where(may_add & add, CLOSE, jnp.where(may_add & stays, state.asked, NONE)))
    asked = jnp.where(is_in, while_in, jnp.where(add, CLOSE, NONE))
    switch = jnp.where(is_in, take | (may_add & add), add)
    if control.v_override and control.kind != "voltage":
        override = plan.override
        volts = _of_phases(override.choice, jnp.abs(_phases(override, seen))) / control.pt_ratio
        low, high = ~is_in & (volts < control.v_min), is_in & (volts > control.v_max)
        asked = jnp.where(low, CLOSE, jnp.where(high, OPEN, asked))
        switch = switch | low | high
    delay_on = control.delay_s + jnp.where(state.was_opened, control.dead_time_s, 0.0)
    delay = jnp.where(asked == CLOSE, delay_on, control.delay_off_s)
    armed = jnp.isfinite(state.time_s)
    time = jnp.where(switch & ~armed, delay, state.time_s)
    time = jnp.where(asked == NONE, NEVER, time)
    return state._replace(asked=asked.astype(jnp.int32), time_s=time.astype(state.time_s.dtype))


def _wanted(plan: CapacitorPlan, seen: Measurement, hour: Array) -> tuple[Array, Array, Array]:
    """Whether to switch a step in and out, and whether neither leaves a request as it stands."""
    control, measured = plan.control, plan.measured
    if control.kind == "time":
        if control.off > control.on:
            add = (hour >= control.on) & (hour < control.off)
            return add, ~add, jnp.asarray(True)
        add = (hour >= control.on) & (hour < 24.0)
        return add, (hour >= control.off) & (hour < control.on), jnp.asarray(True)
    if control.kind == "voltage":
        volts = _of_phases(measured.choice, jnp.abs(_phases(measured, seen))) / control.pt_ratio
        return volts < control.on, volts > control.off, jnp.asarray(False)
    if control.kind == "current":
        value = _of_phases(measured.current_choice, jnp.abs(seen.amperes[measured.meters])) / control.ct_ratio
    else:
        value = _power_w(measured, seen)[1] / 1000
    return value > control.on, value < control.off, jnp.asarray(True)


def act_capacitor(plan: CapacitorPlan, state: Capacitor, time_s: Array) -> Capacitor:
    """Do what is armed up to a time."""
    acts, most = state.time_s <= time_s, len(plan.shares) - 1
    opens = acts & (state.asked == OPEN) & (state.steps > 0)
    closes = acts & (state.asked == CLOSE)
    steps = jnp.clip(state.steps - opens + closes, 0, most).astype(jnp.int32)
    return Capacitor(
        steps=steps,
        asked=state.asked,
        time_s=jnp.where(acts, NEVER, state.time_s),
        was_opened=state.was_opened | (opens & (most == 1)),
    )
