"""Finding the twins of a scenario's kinds; a kind without one cannot be judged."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import AnyFeeder
from neomflex_jax.scenario import Scenario
from validation.recompute import devices
from validation.recompute.device_nodes import loads_at, nodes_at
from validation.recompute.device_solar import recorded_solar, solar_columns
from validation.recompute.devices.twin import FeedIn, Part, Sets, SomeDevice, SomeStore, SomeTwin
from validation.recompute.session_rows import session_names

OUTDOOR = "outdoor_temperature_c"


def _packaged() -> dict[str, SomeTwin]:
    modules = [import_module(f"{devices.__name__}.{found.name}") for found in iter_modules(devices.__path__)]
    return {module.TWIN.table: module.TWIN for module in modules if hasattr(module, "TWIN")}


TWINS: dict[str, SomeTwin] = _packaged()  # by table of the scenario


def register_twin(twin: SomeTwin) -> None:
    """Register the twin of a user's own kind of device, without which its runs are never validated.

    Parameters
    ----------
    twin
        Found by its `table`, the name of the kind's table in scenarios.

    Raises
    ------
    InputError
        If the kind has one already.
    """
    if twin.table in TWINS:
        raise InputError(f"there is a twin of {twin.table!r} already; register each kind's once")
    TWINS[twin.table] = twin


def series_names(scenario: Scenario) -> tuple[str, ...]:
    """Return the recorded arrays (n,) of what the series say and no device changes."""
    return ("demand", "solar", "price", *([OUTDOOR] if scenario.series.outdoor_temperature else []))


def devices_by_table(scenario: Scenario) -> dict[str, tuple[SomeDevice, ...]]:
    """Devices of every kind that a record of the scenario names, in its order; of some there may be none."""
    return {kind.table: scenario.of(kind) for kind in scenario.kinds}


def twins_of(scenario: Scenario) -> list[tuple[SomeTwin, tuple[SomeDevice, ...]]]:
    """Twins of the scenario's kinds with its devices, in its order."""
    return [(TWINS[table], own) for table, own in devices_by_table(scenario).items() if table in TWINS]


def feed_ins_of(scenario: Scenario) -> list[tuple[FeedIn, tuple[SomeDevice, ...]]]:
    """Kinds that feed in, or draw, power of their own, with their devices."""
    return [(twin.feed_in, own) for twin, own in twins_of(scenario) if twin.feed_in is not None]


def sets_of(scenario: Scenario) -> list[tuple[Sets, tuple[SomeDevice, ...]]]:
    """Kinds that set ratios or shunts of the grid, with their devices; those without devices are left out."""
    return [(twin.sets, own) for twin, own in twins_of(scenario) if twin.sets is not None and own]


def stores_of(scenario: Scenario) -> list[tuple[str, SomeStore, tuple[SomeDevice, ...]]]:
    """Tables of the kinds that store energy, their stores and their devices."""
    return [(twin.table, twin.store, own) for twin, own in twins_of(scenario) if twin.store is not None]


def without_twin(scenario: Scenario) -> tuple[str, ...]:
    """Tables with devices that no twin is found for."""
    return tuple(table for table, own in devices_by_table(scenario).items() if own and table not in TWINS)


def parts_of(trajectory: Trajectory, feeder: AnyFeeder) -> Iterator[tuple[SomeTwin, Part[SomeDevice]]]:
    """Twin and part of every device that has a twin."""
    demand, solar = (np.asarray(values, float) for values in (trajectory.demand, trajectory.solar))
    knows_outdoor = bool(trajectory.scenario.series.outdoor_temperature)
    outdoor_c = np.asarray(trajectory.outdoor_temperature_c, float) if knows_outdoor else None
    for twin, own in twins_of(trajectory.scenario):
        has_own_sun = bool(solar_columns(trajectory.scenario, twin, own))
        suns = recorded_solar(trajectory, twin, own) if has_own_sun else np.repeat(solar[:, None], len(own), axis=1)
        for number, device in enumerate(own):
            loads, measured_bus = loads_at(feeder, device.bus), twin.measured_bus(device)
            measured_vm_pu = np.full(trajectory.n_steps, np.nan)
            if measured_bus is not None:
                at = nodes_at(feeder, measured_bus, device)
                measured_vm_pu = np.asarray(trajectory.vm_pu[:, at], float).mean(axis=1)
            names = (*twin.recorded, *session_names(trajectory.scenario, twin))
            recorded = {name: np.asarray(getattr(trajectory, name)[:, number], float) for name in names}
            yield (
                twin,
                Part(
                    device=device,
                    scenario=trajectory.scenario,
                    recorded=recorded | {"step": trajectory.step},
                    demand=demand,
                    solar=suns[:, number],
                    nominal_load_p_mw=float(feeder.load_p_mw[loads].sum()),
                    load_p_mw=np.asarray(trajectory.load_p_mw[:, loads], float).sum(axis=1),
                    measured_vm_pu=measured_vm_pu,
                    outdoor_temperature_c=outdoor_c,
                ),
            )
