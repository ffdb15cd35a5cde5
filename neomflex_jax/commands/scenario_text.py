"""What ``neomflex scenario`` prints, as rows and sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.commands.console import short
from neomflex_jax.devices import Device
from neomflex_jax.devices.registry import STANDING
from neomflex_jax.environment.limited_branches import limited_branches
from neomflex_jax.errors import shown_list
from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from neomflex_jax.grid.load_by_bus import net_load_mw, nominal_load_mw
from neomflex_jax.profiles.split import Split
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.loading import UNLIMITED
from neomflex_jax.scenario.notebook import ranges

if TYPE_CHECKING:
    from neomflex_jax.environment import Environment
    from neomflex_jax.evaluation import Trajectory
    from validation import Criterion
    from validation.referee.unsolved import Unsolved

Rows = list[tuple[str, ...]]
OF_FAILURES = ("failed_flows", "recorded_failures")  # criteria of cases without an answer, which are told apart


def list_row(scenario: Scenario) -> tuple[str, ...]:
    """Return a scenario's sizes and description, for the list of all."""
    n_bus = sum(len(part.buses) for part in scenario.territories)  # every bus is somebody's
    sizes = (n_bus, len(scenario.agents), len(scenario.batteries), len(scenario.pv_inverters))
    return (scenario.name, *(str(size) for size in sizes), scenario.description)


def days_of_parts(split: Split) -> Rows:
    """Return the days for training, validation and test, a line each."""
    return [(part, str(len(days)), shown_list(split.names(part)) or "none") for part, days in split.days.items()]


def contents(scenario: Scenario, feeder: AnyFeeder) -> Rows:
    """Return a line on each part of the scenario."""
    load_mw = float(nominal_load_mw(feeder).sum())
    pv_mw = sum(device.p_max_mw for device in scenario.pv_inverters)
    power_mw = sum(device.power_mw for device in scenario.batteries)
    capacity_mwh = sum(device.capacity_mwh for device in scenario.batteries)
    batteries = f"{len(scenario.batteries)}, {short(power_mw)} MW, {short(capacity_mwh)} MWh in all"
    inverters = f"{len(scenario.pv_inverters)}, {short(pv_mw)} MW in all"
    share = f" ({pv_mw / load_mw:.0%} of nominal load)" if load_mw else ""
    return [
        ("feeder", f"{feeder.name}, {_places(feeder)}, {short(load_mw)} MW of nominal load"),
        ("agents", str(len(scenario.agents))),
        ("batteries", batteries if scenario.batteries else "none"),
        ("PV inverters", inverters + share if scenario.pv_inverters else "none"),
        ("flexible loads", _buses(scenario.flexible_loads) or "none"),
        *((f"{kind.noun}s", _buses(scenario.of(kind))) for kind in scenario.kinds if kind not in STANDING),
        ("days", f"{scenario.steps_per_day} steps of {scenario.step_hours:g} h"),
        ("profiles", f"{scenario.profiles}; evaluation: {scenario.evaluation_profiles}"),
        ("power flow", scenario.power_flow),
        *_limits_of_loading(scenario, feeder),
        ("variants", ", ".join(variant.name for variant in scenario.variants)),
    ]


def _places(feeder: AnyFeeder) -> str:
    return f"{feeder.n_bus} buses" + (f", {feeder.n_node} nodes" if feeder.n_node > feeder.n_bus else "")


def _limits_of_loading(scenario: Scenario, feeder: AnyFeeder) -> Rows:
    limited = limited_branches(scenario, feeder)
    if limited is None:
        return []
    if isinstance(feeder, UnbalancedFeeder):
        return [("limits of loading", f"{len(limited.name)} of {len(feeder.branch_labels)} conductors")]
    closed = [name for name, closed in zip(feeder.branch_names, feeder.topology.in_service, strict=True) if closed]
    others = [name for name in closed if name not in limited.name]
    said = f"{len(limited.name)} of {len(closed)} branches"
    return [("limits of loading", f"{said}; not {shown_list(others)}" if others else said)]


def _place(device: Device) -> str:
    """Bus of a device with the phases that it has there, as OpenDSS writes them."""
    return ".".join(map(str, (device.bus, *device.phases)))


def _buses(devices: Sequence[Device]) -> str:
    return ", ".join(map(_place, devices))


def agents(scenario: Scenario, feeder: AnyFeeder, env: Environment) -> tuple[tuple[str, ...], Rows]:
    """Return header and rows: what each agent has, sees and sets."""
    rows: Rows = []
    loads_mw = net_load_mw(feeder)
    for index, part in enumerate(scenario.territories):
        own = [feeder.bus_position(bus) for bus in part.buses]
        batteries = [device for device in scenario.batteries if device.bus in part.buses]
        inverters = [device for device in scenario.pv_inverters if device.bus in part.buses]
        rows.append(
            (
                part.agent,
                ranges(part.buses),
                short(float(loads_mw[own].sum())),
                "\n".join(f"{_place(it)}: {it.power_mw:g} MW, {it.capacity_mwh:g} MWh" for it in batteries) or "none",
                "\n".join(f"{_place(one)}: {one.p_max_mw:g} MW, {one.s_mva:g} MVA" for one in inverters) or "none",
                str(int(env.action_mask[index].sum())),
                str(int(env.observation_mask[index].sum())),
            )
        )
    return ("agent", "buses", "load\nMW", "batteries at bus", "PV at bus", "action\nsize", "observation\nsize"), rows


def found(scenario: Scenario, feeder: AnyFeeder, env: Environment) -> dict[str, object]:
    """Return what a machine is told of a scenario: sizes of its agents' actions and observations, and every field."""
    own = [
        {
            "agent": part.agent,
            "buses": part.buses,
            "action_size": env.action_mask[index].sum(),
            "observation_size": env.observation_mask[index].sum(),
        }
        for index, part in enumerate(scenario.territories)
    ]
    return {"scenario": scenario.name, "n_bus": feeder.n_bus, "agents": own, "fields": scenario.as_dict()}


def entries(env: Environment) -> tuple[tuple[str, ...], Rows]:
    """Return header and rows: every entry of observations and actions."""
    table = env.describe()
    rows = [tuple(_plain(value) for value in row) for row in table.itertuples(index=False)]
    return tuple(str(name) for name in table.columns), rows


def settings(scenario: Scenario) -> Rows:
    """Limits, reward, rules and whatever other part the scenario has, field by field."""
    rows: Rows = []
    for one in dataclasses.fields(scenario):
        part = getattr(scenario, one.name)
        if dataclasses.is_dataclass(part) and not isinstance(part, type) and part != UNLIMITED:
            rows += [(f"{one.name}.{name}", _plain(value)) for name, value in vars(part).items()]
    return rows


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def idle_days(trajectory: Trajectory) -> Rows:
    """Return sentences on the grid with idle devices; days are counted as in the profiles."""
    limits, labels = trajectory.scenario.limits, trajectory.nodes.labels
    vm_pu, solved = trajectory.vm_pu, trajectory.converged
    n_days = trajectory.n_steps // trajectory.scenario.steps_per_day
    file_day = trajectory.dataset_index // trajectory.scenario.steps_per_day
    rows: Rows = [("power flows failed", f"{int((~solved).sum())} of {trajectory.n_steps}")]
    if not solved.any():
        return rows
    for name, best, nothing in (("lowest", np.argmin, np.inf), ("highest", np.argmax, -np.inf)):
        step, node = np.unravel_index(int(best(np.where(np.isfinite(vm_pu), vm_pu, nothing))), vm_pu.shape)
        when = f"day {file_day[step]}, step {trajectory.step[step]}"
        rows.append((f"{name} voltage", f"{vm_pu[step, node]:.4f} pu at bus {labels[node]}, {when}"))
    for name, low, high in (
        ("band", limits.band_min_pu, limits.band_max_pu),
        ("hard limits", limits.hard_min_pu, limits.hard_max_pu),
    ):
        outside = (vm_pu < low) | (vm_pu > high)  # NaN of a failed flow is in neither
        days = len(set(trajectory.day[outside.any(axis=1)].tolist()))
        share = f"{outside.mean():.2%} of voltages, on {days} of {n_days} days"
        rows.append((f"outside {low:g}..{high:g} pu ({name})", share if days else "never"))
    if trajectory.branch_loading_percent is not None:
        rows += _loadings(trajectory, trajectory.branch_loading_percent)
    rows.append(("mean losses", f"{short(float(trajectory.loss_mw[solved].mean()))} MW"))
    return rows


def found_idle(trajectory: Trajectory, n_days: int) -> dict[str, object]:
    """Return what a machine is told of days with idle devices; NaN where no power flow has an answer."""
    limits, solved = trajectory.scenario.limits, trajectory.converged
    vm_pu = trajectory.vm_pu[solved]
    known = bool(solved.any())
    return {
        "scenario": trajectory.scenario.name,
        "power_flow": trajectory.power_flow,
        "n_days": n_days,
        "n_steps": trajectory.n_steps,
        "failed_power_flows": (~solved).sum(),
        "vm_min_pu": vm_pu.min() if known else np.nan,
        "vm_max_pu": vm_pu.max() if known else np.nan,
        "outside_band": ((vm_pu < limits.band_min_pu) | (vm_pu > limits.band_max_pu)).sum(),
        "outside_hard_limits": ((vm_pu < limits.hard_min_pu) | (vm_pu > limits.hard_max_pu)).sum(),
        "mean_loss_mw": trajectory.loss_mw[solved].mean() if known else np.nan,
    }


def _loadings(trajectory: Trajectory, loading_percent: np.ndarray) -> Rows:
    known = np.where(np.isfinite(loading_percent), loading_percent, -np.inf)
    step, branch = np.unravel_index(int(known.argmax()), known.shape)
    rows: Rows = [("highest loading", f"{known[step, branch]:.1f} % in branch {trajectory.branches[branch]}")]
    for name, limits in zip(
        ("soft", "hard"), trajectory.scenario.loading.limits_percent(trajectory.branches), strict=True
    ):
        if np.isfinite(limits).any():
            above = (known > limits).any(axis=0)
            named = shown_list(np.array(trajectory.branches)[above])
            rows.append((f"loaded above the {name} limit", f"branches {named}" if named else "never"))
    return rows


def failures(
    trajectory: Trajectory, day: int, unsolved: Unsolved, criteria: Sequence[Criterion], power_flow: str, program: str
) -> list[str]:
    """Return sentences on what is wrong with a scenario: power flows without an answer, answers unlike `program`'s."""
    said = unsolved.sentences(f"power flows of day {day}", power_flow, "--power-flow", program)
    others = int((~trajectory.converged).sum()) - unsolved.neither - unsolved.ours
    if others:
        said.append(f"{others} power flows of other days have no answer here")
    of_answers = [one for one in criteria if one.name not in OF_FAILURES]
    nothing_solved = unsolved.neither == unsolved.n_cases
    if any(one.passed is False or (one.passed is None and not nothing_solved) for one in of_answers):
        said.append(f"{program}'s answers differ, see above")
    return said


def against_referee(criteria: Sequence[Criterion]) -> Rows:
    """Return rows of the comparison: what differs, by how much, and how much is allowed."""
    verdicts = {True: "ok", False: "FAILED", None: "no value"}
    return [(one.name, short(one.value), short(one.limit), verdicts[one.passed]) for one in criteria]
