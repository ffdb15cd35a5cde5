"""What every agent should have observed, worked out a second time from the record: bus labels, voltages, energies.

Before step k of a day an agent sees, of itself or of whom its scope names, itself first: ``[vm_pu - 1 of step k - 1,
loadings of it if `loading_observed`, Demand and Solar of step k, Demand forecasts, Solar forecasts, prices and outdoor
temperatures / 50 from step k on, what its devices store, k / (steps_per_day - 1), users' own]``, then the same of
earlier steps, of the day's first where there is none. Voltages are those of the buses that its territory `observes`,
where it states them. Padding is 0. A failed power flow's voltages are seen as 0.5 pu, its loadings as twice the rating.
Under ``first_observation = "last_step"`` steps go on over midnight where the file's next day follows with its energies
carried over: there "earlier" knows no days.

Not judged, because a record does not hold what they rest on: voltages and loadings seen where play begins (the idle
feeder's by the method that played, or a step's outside the record), noise of sensors and forecasts, what missing agents
hide, and profile rows outside the record or, under disturbances, undisturbed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import AnyFeeder
from neomflex_jax.scenario import Scenario, Uncertainty
from validation.recompute.cost import COLLAPSED_VM_PU
from validation.recompute.device_nodes import device_nodes
from validation.recompute.loading import COLLAPSED_PERCENT, SEEN_AT_MOST, limited_of
from validation.recompute.twins import OUTDOOR, series_names, stores_of, without_twin
from validation.recompute.users_twins import (
    OBSERVATION_TWINS,
    Steps,
    observations_without_twin,
    users_observation,
)

LOADING = "loading"  # kind of an entry
CELSIUS_OF_ONE = 50.0  # outdoor temperature that is seen as 1
USERS = "observations"  # the table of entries that users add


class Entry(NamedTuple):
    """One value of a frame."""

    kind: str  # vm, loading, a series as recorded, time, or what a twin's store or a user's observation is called
    number: int  # node by position, limited branch, steps ahead of the next, or device or value by number; 0 for time
    table: str = ""  # of the device, or USERS


@dataclass(frozen=True)
class ObservationCheck:
    """The largest difference between what was observed and what should have been."""

    max_abs: float  # NaN if nothing is judged, infinite if something observed is no number
    agent: str | None  # whose it is
    entry: str | None  # what, for example "vm of bus 7, 1 steps ago"
    step: int | None  # of the record
    n_judged: int
    n_observed: int
    not_judged: tuple[str, ...]


def frame_of(scenario: Scenario, feeder: AnyFeeder, agent: int) -> tuple[Entry, ...]:
    """Name the values that an agent sees of one step, in order."""
    seen, limited = _seen_agents(scenario, feeder, agent), limited_of(scenario, feeder)
    buses = [bus for other in seen for bus in scenario.territories[other].buses]
    measured = None  # all nodes
    sees = scenario.territories[agent].observes or buses  # the scope is the territory where they are stated
    if scenario.observation.scope == "local":
        buses = [bus for bus in buses if any(device.bus == bus for device in scenario.devices)]
        sees = buses
        measured = np.concatenate([np.zeros(0, int), *(device_nodes(feeder, device) for device in scenario.devices)])
    ahead = range(1, scenario.observation.forecast_steps + 1)
    nodes = [int(node) for bus in sees for node in feeder.nodes.at[bus]]
    frame = [Entry("vm", node) for node in nodes if measured is None or node in measured]
    if limited is not None and scenario.loading.loading_observed:
        for other in seen:
            ends = set(scenario.territories[other].buses).intersection(buses)
            frame += [Entry(LOADING, number) for number, bus in enumerate(limited.to_bus) if bus in ends]
    frame += [Entry("demand", 0), Entry("solar", 0)]
    frame += [Entry("demand", lead) for lead in ahead] + [Entry("solar", lead) for lead in ahead]
    if scenario.tariff_column:
        frame += [Entry("price", lead) for lead in (0, *ahead)]
    if scenario.series.outdoor_temperature:
        frame += [Entry(OUTDOOR, lead) for lead in (0, *ahead)]
    for table, store, devices in stores_of(scenario):
        for other in seen:
            at = scenario.territories[other].buses
            own = [number for number, device in enumerate(devices) if device.bus in at]
            frame += [Entry(store.entry, number, table) for number in own]
    frame.append(Entry("time", 0))
    for twin in (OBSERVATION_TWINS[name] for name in scenario.observations):
        everything = [range(twin.n_values)] if twin.owned is None else [twin.owned[other] for other in seen]
        frame += [Entry(twin.name, number, USERS) for own in everything for number in own]
    return tuple(frame)


def observation_sizes(scenario: Scenario, feeder: AnyFeeder) -> tuple[int, ...]:
    """Length of every agent's observation."""
    frames = (frame_of(scenario, feeder, agent) for agent in range(len(scenario.agents)))
    return tuple(scenario.observation.history * len(frame) for frame in frames)


def check_observations(trajectory: Trajectory, feeder: AnyFeeder) -> ObservationCheck:
    """Compare every agent's recorded observations with those that the record implies."""
    scenario = trajectory.scenario
    if unknown := (*without_twin(scenario), *observations_without_twin(scenario)):
        said = f"all observations: there is no twin of {', '.join(unknown)}, which says what is seen of them"
        return ObservationCheck(math.nan, None, None, None, 0, trajectory.observations.values.size, (said,))
    rows, n_earlier = np.arange(trajectory.n_steps), steps_since_start(trajectory)
    worst = ObservationCheck(math.nan, None, None, None, 0, 0, _not_judged(scenario))
    judged = observed_values = 0
    hidden = scenario.observation.missing_probability > 0
    before = before_steps(trajectory, feeder)
    users = {name: users_observation(name, before) for name in scenario.observations}
    for agent, name in enumerate(scenario.agents):
        frame = frame_of(scenario, feeder, agent)
        recorded = trajectory.observations.of(agent)
        values = np.stack([_seen(trajectory, entry, before, users) for entry in frame], axis=1)
        for age in range(scenario.observation.history):
            at = age * len(frame)
            expected = values[rows - np.minimum(age, n_earlier)]
            expected = np.full_like(expected, np.nan) if hidden else expected
            observed = np.asarray(recorded[:, at : at + len(frame)], float)
            judged += int(np.isfinite(expected).sum())
            observed_values += observed.size
            worst = _worse(worst, np.abs(observed - expected), expected, name, frame, age, feeder)
        padding = np.asarray(recorded[:, scenario.observation.history * len(frame) :], float)
        pads = tuple(Entry("padding", number) for number in range(padding.shape[1]))
        judged, observed_values = judged + padding.size, observed_values + padding.size
        worst = _worse(worst, np.abs(padding), np.zeros_like(padding), name, pads, 0, feeder)
    found = {name: getattr(worst, name) for name in ("max_abs", "agent", "entry", "step", "not_judged")}
    return ObservationCheck(n_judged=judged, n_observed=observed_values, **found)


def _seen_agents(scenario: Scenario, feeder: AnyFeeder, agent: int) -> list[int]:
    others = [other for other in range(len(scenario.agents)) if other != agent]
    scope = scenario.observation.scope
    if scope == "neighbours":
        topology, labels = feeder.topology, feeder.bus_labels
        joined = {
            frozenset((scenario.owner(labels[start]), scenario.owner(labels[end])))
            for start, end, closed in zip(topology.from_bus, topology.to_bus, topology.in_service, strict=True)
            if closed
        }
        others = [other for other in others if frozenset((agent, other)) in joined]
    return [agent, *others] if scope in ("neighbours", "global") else [agent]


def carries_grid(scenario: Scenario) -> bool:
    """Return True if a day that follows in the file begins with the grid that the last step left."""
    rules = scenario.rules
    return (rules.first_observation, rules.day_order, rules.energies) == ("last_step", "file", "carried")


def steps_since_start(trajectory: Trajectory) -> np.ndarray:
    """Steps of the record since play began, (n,): the day's, or all since the file's first day if grids are carried."""
    rows, begins = np.asarray(trajectory.dataset_index), trajectory.step == 0
    if carries_grid(trajectory.scenario):
        begins &= (rows == 0) | (np.diff(rows, prepend=-2) != 1)
    return np.arange(len(rows)) - np.maximum.accumulate(np.where(begins, np.arange(len(rows)), 0))


def before_steps(trajectory: Trajectory, feeder: AnyFeeder) -> Steps:
    """What is known before every step: voltages and stores that the step before left, and the step's own profiles."""
    begins = (trajectory.step == 0)[:, None]
    vm_pu = np.where(trajectory.converged[:, None], np.asarray(trajectory.vm_pu, float), COLLAPSED_VM_PU)
    known = {name: np.asarray(getattr(trajectory, name), float) for name in series_names(trajectory.scenario)}
    for _, store, _ in stores_of(trajectory.scenario):
        first, after = (np.asarray(getattr(trajectory, name), float) for name in (store.before, store.after))
        known[store.after] = np.where(begins, first, np.roll(after, 1, axis=0))
    seen_vm_pu = np.where((steps_since_start(trajectory) == 0)[:, None], np.nan, np.roll(vm_pu, 1, axis=0))
    return Steps(trajectory.scenario, feeder, trajectory.step, seen_vm_pu, known)


def _seen(trajectory: Trajectory, entry: Entry, before: Steps, users: Mapping[str, np.ndarray]) -> np.ndarray:
    """Value of an entry before every step, (n,); NaN where it is not judged."""
    scenario, steps = trajectory.scenario, trajectory.scenario.steps_per_day
    if entry.table == USERS:
        return users[entry.kind][:, entry.number]
    if entry.kind == "vm":
        seen = before.vm_pu[:, entry.number] - 1.0
        return seen if scenario.observation.sensor_noise_pu == 0 else np.full_like(seen, np.nan)
    if entry.kind == LOADING:
        return _seen_loading(trajectory)[:, entry.number]
    for table, store, devices in stores_of(scenario):
        if table == entry.table:
            return store.observed(devices[entry.number], before[store.after][:, entry.number])
    if entry.kind == "time":
        return np.asarray(trajectory.dataset_index) % steps / (steps - 1)
    return _known_ahead(trajectory, entry)


def _seen_loading(trajectory: Trajectory) -> np.ndarray:
    """Loadings seen before every step, (n, n_limited), as shares of the ratings; NaN where play begins."""
    recorded = np.asarray(trajectory.branch_loading_percent, float)
    after = seen_share(np.where(trajectory.converged[:, None], recorded, COLLAPSED_PERCENT))
    return np.where((steps_since_start(trajectory) == 0)[:, None], np.nan, np.roll(after, 1, axis=0))


def seen_share(loading_percent: np.ndarray) -> np.ndarray:
    """What is seen of loadings, shape as given."""
    return np.minimum(loading_percent / 100.0, SEEN_AT_MOST)


def _known_ahead(trajectory: Trajectory, entry: Entry) -> np.ndarray:
    """Demand, Solar, price or outdoor temperature of the next step or some steps later, (n,)."""
    scenario, steps = trajectory.scenario, trajectory.scenario.steps_per_day
    column = np.asarray(getattr(trajectory, entry.kind), float) / (CELSIUS_OF_ONE if entry.kind == OUTDOOR else 1.0)
    if entry.number == 0:
        return column
    rows = np.asarray(trajectory.dataset_index)
    source = rows + entry.number
    known = np.ones(trajectory.n_steps, bool)
    if entry.kind in ("demand", "solar"):
        forecast, disturbed = scenario.observation.forecast, _disturbs_profiles(scenario.uncertainty)
        if forecast == "noisy":
            known[:] = False
        elif forecast == "persistence":
            source -= steps * (1 + entry.number // steps)
            known[:] = not disturbed
        elif disturbed:  # perfect while the day lasts
            known = trajectory.step + entry.number < steps
    order = np.argsort(rows)  # the record may hold some of the days alone
    place = order[np.clip(np.searchsorted(rows, source, sorter=order), 0, len(rows) - 1)]
    return np.where(known & (rows[place] == source), column[place], np.nan)


def _disturbs_profiles(uncertainty: Uncertainty) -> bool:
    return uncertainty.varies_growth or uncertainty.profile_noise > 0


def _worse(
    worst: ObservationCheck,
    difference: np.ndarray,
    expected: np.ndarray,
    agent: str,
    frame: tuple[Entry, ...],
    age: int,
    feeder: AnyFeeder,
) -> ObservationCheck:
    """Return the worse of what was found so far and these differences (n, n_entry)."""
    if not np.isfinite(expected).any():
        return worst
    size = np.where(np.isfinite(expected), np.nan_to_num(difference, nan=np.inf), -1.0)
    step, column = np.unravel_index(int(size.argmax()), size.shape)
    largest = float(size[step, column])
    if largest <= worst.max_abs:
        return worst
    entry = frame[column]
    what = f"vm of bus {feeder.node_labels[entry.number]}" if entry.kind == "vm" else f"{entry.kind} {entry.number}"
    text = what + (f", {age} steps ago" if age else "")
    return ObservationCheck(largest, agent, text, int(step), 0, 0, worst.not_judged)


def _not_judged(scenario: Scenario) -> tuple[str, ...]:
    """List what of this scenario's observations is not judged."""
    seen, disturbed = scenario.observation, _disturbs_profiles(scenario.uncertainty)
    if seen.missing_probability > 0:
        return ("all observations: which agents are missing is not recorded",)
    found = ["voltages before a day's first step: the idle feeder's are not recorded"]
    if scenario.rules.first_observation == "last_step":
        found = ["voltages where play begins: the idle feeder's are not recorded"]
    if seen.sensor_noise_pu > 0:
        found = ["voltages: the sensors' noise is not recorded"]
    if seen.forecast_steps and seen.forecast == "noisy":
        found.append("forecasts of Demand and Solar: their noise is not recorded")
    elif seen.forecast_steps and disturbed:
        found.append("forecasts of Demand and Solar that rest on undisturbed rows, which are not recorded")
    if seen.forecast_steps and (
        seen.forecast != "noisy" or scenario.tariff_column or scenario.series.outdoor_temperature
    ):
        found.append("forecasts that rest on rows outside the record")
    return tuple(found)
