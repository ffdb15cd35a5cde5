"""How far a record leaves what its devices can do, worked out from the scenario's ratings and the recorded sun.

Batteries: ``|p| <= power``, ``soc_min <= soc <= soc_max``, ``p^2 + q^2 <= s^2``, no q without a rating, and with a ramp
``clip(p_before - ramp) <= p <= clip(p_before + ramp)``, where clip keeps to the rating and to what the energy before
the step can give or take: a battery that runs empty stops at once. ``p_before`` is the step before's, 0 before the
first step and, where energies are drawn anew, before every day. PV: ``0 <= p <= available``, ``p^2 + q^2 <= s^2``,
available ``= solar p_max`` (at most that where devices may fail), and all of it where nothing may hold it back.
Flexible loads: ``0 <= curtailed <= share of the load``, ``0 <= owed <= buffer``, the power between them at most
`shift_mw`. Powers in MW, batteries positive discharging.
"""

from __future__ import annotations

import numpy as np

from neomflex_jax.devices import Battery, FlexibleLoad, PvInverter
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid.feeder import Feeder


def device_excess(trajectory: Trajectory, feeder: Feeder) -> np.ndarray:
    """Give by how much each device is outside its limits, (n, n_device): batteries, PV inverters, flexible loads.

    In MW, MWh or per unit of charge; of ratings above 1 MW as a share of the rating, for records are float32. At most 0
    within the limits, NaN where the record is.
    """
    scenario = trajectory.scenario
    columns = [_battery(trajectory, number, battery) for number, battery in enumerate(scenario.batteries)]
    columns += [_pv(trajectory, number, inverter) for number, inverter in enumerate(scenario.pv_inverters)]
    columns += [_flexible(trajectory, feeder, number, load) for number, load in enumerate(scenario.flexible_loads)]
    return np.stack(columns, axis=1) if columns else np.zeros((trajectory.n_steps, 0))


def _column(trajectory: Trajectory, name: str, number: int) -> np.ndarray:
    return np.asarray(getattr(trajectory, name)[:, number], float)


def _battery(trajectory: Trajectory, number: int, battery: Battery) -> np.ndarray:
    p_mw, q_mvar = (_column(trajectory, name, number) for name in ("battery_p_mw", "battery_q_mvar"))
    over = [np.abs(p_mw) - battery.power_mw]
    over.append(np.abs(q_mvar) if battery.s_mva is None else np.hypot(p_mw, q_mvar) - battery.s_mva)
    share = max(battery.power_mw, battery.s_mva or 0.0, 1.0)
    soc = [_column(trajectory, name, number) for name in ("battery_soc_before", "battery_soc")]
    outside = [excess for value in soc for excess in (battery.soc_min - value, value - battery.soc_max)]
    ramp = [] if battery.ramp_mw is None else [_ramp_excess(trajectory, number, battery, battery.ramp_mw, share)]
    return np.max([*(excess / share for excess in over), *outside, *ramp], axis=0)


def _ramp_excess(
    trajectory: Trajectory, number: int, battery: Battery, ramp_mw: float, rounding_mw: float
) -> np.ndarray:
    """How far p is from what the ramp leaves it, (n,); of large stores as a share of what fills them in one step."""
    scenario, p_mw = trajectory.scenario, _column(trajectory, "battery_p_mw", number)
    begins = trajectory.step == 0 if scenario.rules.energies != "carried" else np.arange(len(p_mw)) == 0
    before_mw = np.where(begins, 0.0, np.roll(p_mw, 1))
    mw_per_soc = battery.capacity_mwh / scenario.step_hours
    soc = _column(trajectory, "battery_soc_before", number)
    gives_mw = np.clip(soc - battery.soc_min, 0.0, None) * mw_per_soc * battery.discharge_efficiency
    takes_mw = np.clip(battery.soc_max - soc, 0.0, None) * mw_per_soc / battery.charge_efficiency
    most_mw, least_mw = np.minimum(battery.power_mw, gives_mw), -np.minimum(battery.power_mw, takes_mw)
    low_mw, high_mw = (np.clip(before_mw + step_mw, least_mw, most_mw) for step_mw in (-ramp_mw, ramp_mw))
    excess_mw = np.maximum(low_mw - p_mw, p_mw - high_mw)
    if scenario.uncertainty.outage_probability > 0:  # one that fails stops at once
        excess_mw = np.where(p_mw == 0, 0.0, excess_mw)
    return excess_mw / max(rounding_mw, mw_per_soc)


def _pv(trajectory: Trajectory, number: int, inverter: PvInverter) -> np.ndarray:
    names = ("pv_p_mw", "pv_q_mvar", "pv_available_mw")
    p_mw, q_mvar, available_mw = (_column(trajectory, name, number) for name in names)
    sun_mw = np.asarray(trajectory.solar, float) * inverter.p_max_mw
    over = [-p_mw, p_mw - available_mw, np.hypot(p_mw, q_mvar) - inverter.s_mva, available_mw - sun_mw]
    if trajectory.scenario.uncertainty.outage_probability == 0:
        over.append(sun_mw - available_mw)
    if not inverter.curtailable and inverter.priority == "p" and inverter.export_limit_mw is None:
        over.append(np.minimum(available_mw, inverter.s_mva) - p_mw)
    return np.max(over, axis=0) / max(inverter.p_max_mw, inverter.s_mva, 1.0)


def _flexible(trajectory: Trajectory, feeder: Feeder, number: int, load: FlexibleLoad) -> np.ndarray:
    curtailed_mw = _column(trajectory, "load_curtailed_mw", number)
    owed_before_mwh, owed_mwh = (
        _column(trajectory, name, number) for name in ("load_owed_before_mwh", "load_owed_mwh")
    )
    shifted_mw = np.abs(owed_mwh - owed_before_mwh) / trajectory.scenario.step_hours
    over = [-curtailed_mw, shifted_mw - load.shift_mw, -owed_mwh, owed_mwh - load.buffer_mwh]
    nominal_mw = float(feeder.load_p_mw[feeder.bus_position(load.bus)])
    if not trajectory.scenario.uncertainty.varies_loads:  # what such a load would consume is not recorded
        over.append(curtailed_mw - load.curtail_share * nominal_mw * np.asarray(trajectory.demand, float))
    return np.max(over, axis=0) / max(nominal_mw, load.shift_mw, load.buffer_mwh, 1.0)
