"""A scenario's power flow: a method bound to its feeder, `calibrated` by a fit to what the scenario can inject."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.devices.device import Device, Kind, Turn
from neomflex_jax.environment.feeder_controls import idle_setting, plan_for
from neomflex_jax.environment.step.actions import lay_out_actions, requests_of
from neomflex_jax.environment.step.answers import answer_to_loads
from neomflex_jax.environment.step.dispatch import deliver
from neomflex_jax.environment.step.disturbances import Today
from neomflex_jax.environment.step.injections import feeding_nodes, node_injections, tapped_branches
from neomflex_jax.environment.step.loads import loads_of_row, moment_of_row
from neomflex_jax.environment.taken_over import switched_capacitors, tapped_windings
from neomflex_jax.errors import InputError
from neomflex_jax.grid import AnyFeeder, Feeder, UnbalancedFeeder
from neomflex_jax.grid.territories import TerritoryLayout, check_buses, layout_territories
from neomflex_jax.jax_settings import nan_is_a_value
from neomflex_jax.powerflow import (
    PowerFlow,
    PowerFlowResult,
    UnbalancedPowerFlow,
    bind,
    calibrate,
    check_unbalanced,
    method_named,
)
from neomflex_jax.powerflow.methods.needs import SETTINGS, needs_of
from neomflex_jax.powerflow.methods.register import check_can
from neomflex_jax.powerflow.network.taps import tap_branches
from neomflex_jax.powerflow.unbalanced import bind_unbalanced
from neomflex_jax.powerflow.unbalanced.port_rows import Chosen
from neomflex_jax.profiles import Profiles
from neomflex_jax.scenario import Scenario

CALIBRATION_SAMPLES, MILD_SHARE = 4096, 0.5


def layout_of(scenario: Scenario, feeder: AnyFeeder) -> TerritoryLayout:
    """Who owns which buses and devices of a feeder, and at which nodes these stand."""
    check_buses(feeder, "the territory of", [(part.agent, part.buses) for part in scenario.territories])
    check_buses(feeder, "observes of", [(part.agent, part.observes) for part in scenario.territories])
    return layout_territories(
        feeder,
        [(part.agent, part.buses) for part in scenario.territories],
        {kind.table: [device.bus for device in scenario.of(kind)] for kind in scenario.kinds},
        {kind.table: [_nodes_of(device, feeder) for device in scenario.of(kind)] for kind in scenario.kinds},
    )


def _nodes_of(device: Device, feeder: AnyFeeder) -> np.ndarray:
    """Positions of the nodes at which a device stands."""
    try:
        return feeder.nodes.of_phases(device.bus, device.phases)
    except InputError as error:
        raise InputError(f"{device.noun} {device.label!r} {error}") from None


def kinds_setting_grid(scenario: Scenario) -> tuple[Kind, ...]:
    """Return the kinds whose devices give the power flow ratios or shunts of each step's own."""
    return tuple(kind for kind in scenario.kinds if kind.turn == Turn.GRID and scenario.of(kind))


def bound_power_flow(
    power_flow: str | PowerFlow | UnbalancedPowerFlow, feeder: AnyFeeder, scenario: Scenario, profiles: Profiles
) -> PowerFlow | UnbalancedPowerFlow:
    """Bind a method to a scenario's feeder, `calibrated` by a fit to its own injections on these days.

    Raises
    ------
    InputError
        If there is no such method, or one that cannot do what the feeder or what devices set needs, or a bound one
        belongs to another feeder.
    """
    if isinstance(feeder, UnbalancedFeeder):
        return _bound_with_phases(power_flow, feeder, scenario)
    if isinstance(power_flow, UnbalancedPowerFlow):
        raise InputError(f"the given power flow is of a feeder with phases, and feeder {feeder.name!r} is balanced")
    taps = tapped_branches(scenario)
    _check_charging(scenario, feeder)
    kind = method_named(power_flow) if isinstance(power_flow, str) else type(power_flow.model)
    check_can(kind, needs_of(feeder, enforce_q_lims=scenario.enforce_q_lims), f"feeder {feeder.name!r}")
    if kinds_setting_grid(scenario):
        check_can(kind, [SETTINGS], f"scenario {scenario.name!r}")
    if isinstance(power_flow, str):
        if kind.fitted:
            return calibrate(feeder, *sample_injections(scenario, feeder, profiles, mild_share=MILD_SHARE))
        q_lims = scenario.enforce_q_lims
        return bind(feeder, power_flow, fallback=scenario.fallback, taps=taps, enforce_q_lims=q_lims)
    if power_flow.grid.topology != feeder.topology:
        raise InputError(f"the given power flow was bound to another feeder than {feeder.name!r}")
    if power_flow.grid.tap_branches != tap_branches(feeder, taps):
        raise InputError(f"the given power flow does not set the ratios that the devices do; bind it with taps={taps}")
    has_limits = feeder.held is not None and feeder.held.q_min_mvar is not None
    if has_limits and power_flow.keeps_q_limits != scenario.enforce_q_lims:
        raise InputError(
            f"scenario {scenario.name!r} has enforce_q_lims = {scenario.enforce_q_lims}, and the given power flow was "
            f"bound otherwise; bind it with enforce_q_lims={scenario.enforce_q_lims}"
        )
    return power_flow


def _bound_with_phases(
    power_flow: str | PowerFlow | UnbalancedPowerFlow, feeder: UnbalancedFeeder, scenario: Scenario
) -> UnbalancedPowerFlow:
    """Bind a feeder with phases for devices at their nodes, or check that a bound one is that."""
    nodes = tuple(feeder.node_labels[node] for node in feeding_nodes(scenario, layout_of(scenario, feeder)))
    taps = tuple(each for own in tapped_windings(scenario, feeder) for each in own)
    capacitors = tuple(each for own in switched_capacitors(scenario, feeder) for each in own)
    plan = plan_for(scenario, feeder)
    moved = Chosen() if plan is None else plan.chosen
    chosen = Chosen((*taps, *moved.taps), (*capacitors, *moved.capacitors), moved.meters)
    if isinstance(power_flow, str):
        check_unbalanced(power_flow, feeder.name)
        if plan is not None and power_flow != "ac":
            raise InputError(
                f"feeder_controls = \"follow\": controls measure in 'ac', and power flow {power_flow!r} is asked for; "
                "take 'ac', or frozen controls"
            )
        solver = bind_unbalanced(feeder, method=power_flow, device_nodes=nodes, **chosen._asdict())
        return replace(solver, idle=idle_setting(scenario, feeder))
    if not isinstance(power_flow, UnbalancedPowerFlow) or power_flow.node_labels != feeder.node_labels:
        raise InputError(f"the given power flow was bound to another feeder than {feeder.name!r}")
    if power_flow.chosen != chosen:
        meters = f", meters={list(chosen.meters)}" if chosen.meters else ""
        raise InputError(
            f"the given power flow does not set the taps and capacitors that scenario {scenario.name!r} moves; "
            f"bind it with taps={list(chosen.taps)}, capacitors={list(chosen.capacitors)}{meters}"
        )
    if power_flow.device_nodes != nodes:
        raise InputError(
            f"the given power flow takes devices at other nodes than scenario {scenario.name!r} has them; bind it with "
            f"device_nodes={list(nodes)}"
        )
    return replace(power_flow, idle=idle_setting(scenario, feeder))


def _check_charging(scenario: Scenario, feeder: Feeder) -> None:
    """Raise `InputError` on a device that sets the ratio of a line with charging, which no referee could do."""
    devices = [device for device in scenario.devices if device.tap_branch is not None]
    for device, branch in zip(devices, tap_branches(feeder, tapped_branches(scenario)), strict=True):
        if feeder.charging is not None and feeder.charging.b_us[branch] > 0:
            raise InputError(
                f"{device.noun} {device.label!r} sets the ratio of branch {feeder.branch_names[branch]} of feeder "
                f"{feeder.name!r}, a line with charging (b_us = {float(feeder.charging.b_us[branch]):g}); pandapower, "
                "which judges the results, has ratios at transformers alone, and those have no charging: put it on a "
                "short branch of its own, in series with the line"
            )


@nan_is_a_value()
def sample_injections(
    scenario: Scenario,
    feeder: Feeder,
    profiles: Profiles,
    n_samples: int = CALIBRATION_SAMPLES,
    seed: int = 0,
    *,
    mild_share: float = 0.0,
) -> tuple[Array, Array]:
    """Injections that the scenario can produce: random rows of the profiles, actions uniform in their ranges.

    Stores are half full for it. In a `mild_share` of the samples all actions are scaled down by one more random
    factor: trained policies act mildly for much of the day.

    Returns
    -------
    p_injection_mw, q_injection_mvar
        Shapes (n_samples, n_node), positive into the grid.
    """
    random = np.random.default_rng(seed)  # on the host: drawing with JAX would compile for longer than the fit takes
    actions = lay_out_actions(scenario)
    layout = layout_of(scenario, feeder)
    rows = random.integers(0, profiles.n_rows, n_samples)
    action = random.uniform(-1.0, 1.0, (n_samples, *actions.mask.shape))
    mild = random.random((n_samples, 1, 1)) < mild_share
    action = np.where(mild, action * random.random((n_samples, 1, 1)), action)
    half_full = {kind.table: kind.middle(kind.stack(scenario.of(kind))) for kind in scenario.kinds}

    def injections(profiles: Profiles, row: Array, action: Array) -> tuple[Array, Array]:
        load_p_mw, load_q_mvar = loads_of_row(feeder, profiles, row)
        delivered = deliver(
            scenario,
            layout,
            requests_of(action, actions),
            half_full,
            moment_of_row(profiles, row, row % scenario.steps_per_day),
            load_p_mw=load_p_mw,
            load_q_mvar=load_q_mvar,
            in_service={},
        )
        return node_injections(scenario, layout, feeder, delivered)

    mapped = jax.vmap(injections, in_axes=(None, 0, 0))
    return jax.jit(mapped)(profiles, rows, jnp.asarray(action, float))  # an argument: constants are copied


@partial(jax.jit, static_argnames="every")
def day_start_flow(
    feeder: AnyFeeder, profiles: Profiles, power_flow: PowerFlow | UnbalancedPowerFlow, every: int | None = None
) -> PowerFlowResult:
    """Power flow of every row with which play may begin, all devices at zero: what a reset observes.

    Those are days' first, or one in `every` (`Scenario.begins_every`).
    """
    first_rows = jnp.arange(0, profiles.n_rows, every or profiles.steps_per_day)
    p_mw, q_mvar = jax.vmap(lambda row: loads_of_row(feeder, profiles, row))(first_rows)
    return jax.vmap(lambda p_mw, q_mvar: answer_to_loads(power_flow, p_mw, q_mvar))(p_mw, q_mvar)


def todays_power_flow(
    power_flow: PowerFlow | UnbalancedPowerFlow, feeder: AnyFeeder, today: Today
) -> PowerFlow | UnbalancedPowerFlow:
    """The power flow of today's grid: its impedances may be others than the ones that are known."""
    if today.impedance_factor is None or isinstance(power_flow, UnbalancedPowerFlow) or not isinstance(feeder, Feeder):
        return power_flow
    r_ohm, x_ohm = (jnp.asarray(part) for part in (feeder.r_ohm, feeder.x_ohm))
    r_factor, x_factor = today.impedance_factor
    back = feeder.back
    if back is not None:
        rows = np.array(back.branch)
        back = replace(back, r_ohm=back.r_ohm * r_factor[rows], x_ohm=back.x_ohm * x_factor[rows])
    return power_flow.on(replace(feeder, r_ohm=r_ohm * r_factor, x_ohm=x_ohm * x_factor, back=back))
