"""The steps of recorded runs as the page plays them: voltages, flows, devices and prices of the days that it carries.

Everything is positive into the grid, as in the record; a flow is positive away from the slack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neomflex_jax.commands.page.drawn_feeder import DrawnFeeder, drawn_feeder
from neomflex_jax.commands.page.packed import decimals_for, packed
from neomflex_jax.commands.page.shown_days import days_that_fit, said_of_days
from neomflex_jax.commands.result_kinds import NO_CONTROL_RUNS
from neomflex_jax.devices import Device, Kind
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.evaluation.branch_flows import flows_are_known, flows_into_buses
from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from neomflex_jax.loose_types import JsonObject
from neomflex_jax.plots.symbols import filled_shares, symbol_of

VOLTAGE_DECIMALS = COST_DECIMALS = 4
MOST_DEVICES = 150
SAID = {"controlled": "policy"} | dict.fromkeys(NO_CONTROL_RUNS, "no control")
BYTES_A_NUMBER = 16 / 8 * 4 / 3  # of 16 bits, in base64


@dataclass(frozen=True, eq=False)
class Played:
    """What of some runs is carried; all have the same feeder, devices and days, and the first is the policy's."""

    runs: tuple[Trajectory, ...]
    grid: DrawnFeeder
    devices: tuple[tuple[Kind, int, Device], ...]  # with their places in the record; those that are drawn
    n_devices: int  # of the scenario
    days: np.ndarray  # carried, counted from 0

    def plain(self) -> JsonObject:
        """Return it as plain values."""
        first = self.runs[0]
        scenario, limits = first.scenario, first.scenario.limits
        owners = [scenario.owner(label) for label in self.grid.feeder.bus_labels]
        steps, rows = scenario.steps_per_day, self._rows(first)
        unknown = flows_are_known(self.grid.feeder)
        n_days = first.n_steps // steps
        notes = [said_of_days(self.days, n_days)]
        if isinstance(self.grid.feeder, UnbalancedFeeder):
            notes.append(
                "Of a bus with several phases the voltage farthest from the middle of the band is drawn; the lowest "
                "and highest are those of all phases."
            )
        if unknown:
            notes.append(f"No flows are drawn: {unknown}.")
        if len(self.devices) < self.n_devices:
            notes.append(f"{len(self.devices)} of {self.n_devices:,} devices are shown.")
        return {
            "grid": self.grid.plain(-1 if owner is None else owner for owner in owners),
            "agents": list(scenario.agents),
            "limits": {
                "hard": [limits.hard_min_pu, limits.hard_max_pu],
                "band": [limits.band_min_pu, limits.band_max_pu],
            },
            "steps": steps,
            "step_hours": scenario.step_hours,
            "days": [int(day) for day in self.days],
            "dataset_days": [int(first.dataset_index[day * steps]) // steps for day in self.days],
            "notes": notes,
            "demand": packed(rows.demand, 4),
            "solar": packed(rows.solar, 4),
            "price": packed(rows.price) if np.any(first.price) else None,
            "devices": [self._device(kind, device) for kind, _, device in self.devices],
            "runs": [self._run(self._rows(run)) for run in self.runs],
        }

    def _rows(self, run: Trajectory) -> Trajectory:
        return run.rows(np.isin(run.day, self.days))

    def _device(self, kind: Kind, device: Device) -> JsonObject:
        symbol, scenario = symbol_of(kind), self.runs[0].scenario
        bus = int(np.flatnonzero(self.grid.buses == self.grid.feeder.bus_position(device.bus))[0])
        return {
            "label": device.label,
            "noun": kind.noun,
            "bus": bus,
            "agent": scenario.owner(device.bus),
            "shape": symbol.shape,
            "symbol": symbol.label,
            "recorded": [{"name": one.name, "unit": one.unit, "meaning": one.meaning} for one in kind.recorded],
        }

    def _run(self, run: Trajectory) -> JsonObject:
        vm_pu = np.where(run.converged[:, None], np.asarray(run.vm_pu, float), np.nan)
        flows = self._flows(run, vm_pu)
        lowest, highest = (np.where(run.converged, which, 0) for which in _extremes(vm_pu))
        steps = np.arange(run.n_steps)
        labels = [str(label) for label in run.nodes.labels]
        territory = [np.asarray(run.scenario.territories[index].buses) for index in range(len(run.scenario.agents))]
        of_agent = [np.flatnonzero(np.isin(run.nodes.bus, buses)) for buses in territory]
        named = sorted({*lowest.tolist(), *highest.tolist()})
        return {
            "name": run.run,
            "said": SAID.get(run.run, run.run),
            "vm": packed(self._voltage_of_buses(run, vm_pu), VOLTAGE_DECIMALS),
            "flow": None if flows is None else packed(flows[:, self.grid.buses]),
            "low": packed(vm_pu[steps, lowest], VOLTAGE_DECIMALS),
            "high": packed(vm_pu[steps, highest], VOLTAGE_DECIMALS),
            "named": [labels[node] for node in named],  # of the buses below
            "low_bus": packed(np.searchsorted(named, lowest), 0),
            "high_bus": packed(np.searchsorted(named, highest), 0),
            "low_of_agents": packed(np.stack([_least(vm_pu[:, own]) for own in of_agent], axis=1), VOLTAGE_DECIMALS),
            "high_of_agents": packed(np.stack([-_least(-vm_pu[:, own]) for own in of_agent], axis=1), VOLTAGE_DECIMALS),
            "outside": packed(self._outside(run), 0),
            "loss": packed(run.loss_mw),
            "import": packed(run.slack_p_mw),
            "cost": packed(-run.local_reward.astype(float), COST_DECIMALS),
            "filled": packed(filled_shares(run.devices, self.devices), 3),
            "recorded": self._recorded(run),
        }

    def _flows(self, run: Trajectory, vm_pu: np.ndarray) -> np.ndarray | None:
        feeder = self.grid.feeder
        if isinstance(feeder, UnbalancedFeeder) or flows_are_known(feeder):
            return None
        return flows_into_buses(feeder, vm_pu, run.p_injection_mw, run.q_injection_mvar)

    def _voltage_of_buses(self, run: Trajectory, vm_pu: np.ndarray) -> np.ndarray:
        """Return a voltage of each drawn bus: of its phases the farthest from the middle of the band."""
        limits, at = run.scenario.limits, list(self.grid.feeder.nodes.at.values())
        off = np.nan_to_num(np.abs(vm_pu - (limits.band_min_pu + limits.band_max_pu) / 2))
        steps = np.arange(len(vm_pu))
        farthest = [at[bus][off[:, at[bus]].argmax(axis=1)] for bus in self.grid.buses]
        return np.stack([vm_pu[steps, nodes] for nodes in farthest], axis=1)

    @staticmethod
    def _outside(run: Trajectory) -> np.ndarray:
        limits = run.scenario.limits  # compared in the record's own precision, as the tables do
        return np.count_nonzero(~((run.vm_pu >= limits.band_min_pu) & (run.vm_pu <= limits.band_max_pu)), axis=1)

    def _recorded(self, run: Trajectory) -> list[JsonObject]:
        """Return each device's recorded series, those of a device side by side; of a kind with equal decimals."""
        found = []
        for kind, index, _ in self.devices:
            series = [np.asarray(run.devices[one.name], float)[:, index] for one in kind.recorded]
            every = [np.asarray(self.runs[0].devices[one.name], float) for one in kind.recorded]
            decimals = min(decimals_for(float(np.abs(values).max(initial=0.0))) for values in every)
            found.append(packed(np.stack(series, axis=1), decimals))
        return found


def played(runs: Sequence[Trajectory], feeder: AnyFeeder, most_bytes: int) -> Played:
    """Choose the buses, devices and days that a page carries.

    Parameters
    ----------
    runs
        The policy's first; all of equal scenario and days.
    feeder
        That they were played on.
    most_bytes
        Of all runs together, about.
    """
    first = runs[0]
    devices = [
        (kind, index, device) for kind in first.scenario.kinds for index, device in enumerate(first.scenario.of(kind))
    ]
    shown = tuple(devices[:MOST_DEVICES])
    vm_pu = np.nan_to_num(np.asarray(first.vm_pu, float), nan=1.0)
    extremes = [*np.argsort(vm_pu.min(axis=0))[:20], *np.argsort(-vm_pu.max(axis=0))[:20]]
    at_devices = [feeder.bus_position(device.bus) for _, _, device in shown]
    grid = drawn_feeder(feeder, [*at_devices, *(int(feeder.nodes.bus_position[node]) for node in extremes)])
    numbers = 2 * len(grid.buses) + 12 + 3 * len(first.scenario.agents)
    numbers += sum(1 + len(kind.recorded) for kind, _, _ in shown)
    a_day = BYTES_A_NUMBER * numbers * first.scenario.steps_per_day * len(runs)
    day_cost = np.asarray(first.cost, float).reshape(-1, first.scenario.steps_per_day).sum(axis=1)
    return Played(tuple(runs), grid, shown, len(devices), days_that_fit(day_cost, int(most_bytes / a_day)))


def _least(values: np.ndarray) -> np.ndarray:
    """Return each row's lowest number, NaN where it has none."""
    return np.where(np.isnan(values).all(axis=1), np.nan, np.nan_to_num(values, nan=np.inf).min(axis=1, initial=np.inf))


def _extremes(vm_pu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of each row's lowest and highest voltage."""
    return np.nan_to_num(vm_pu, nan=np.inf).argmin(axis=1), np.nan_to_num(vm_pu, nan=-np.inf).argmax(axis=1)
