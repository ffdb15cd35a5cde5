"""How far a record leaves what its devices can do, worked out from the scenario's ratings and the recorded sun.

Batteries: ``|p| <= power``, ``soc_min <= soc <= soc_max``, ``p^2 + q^2 <= s^2``, no q without a rating. PV: ``0 <= p <=
available``, ``p^2 + q^2 <= s^2``, available ``= solar p_max`` (at most that where devices may fail), and all of it
where nothing may hold it back. Flexible loads: ``0 <= curtailed <= share of the load``, ``0 <= owed <= buffer``, the
power between them at most `shift_mw`. Powers in MW, batteries positive discharging. Not judged: battery ramps.
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
    return np.max([*(excess / share for excess in over), *outside], axis=0)


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
