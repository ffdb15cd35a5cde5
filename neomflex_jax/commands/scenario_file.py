"""A scenario as a TOML file that a person can read and go on writing: every section with its remarks."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Sequence

import numpy as np

from neomflex_jax.commands.scenario_series import ScenarioSeries
from neomflex_jax.devices import Device
from neomflex_jax.grid.feeder import AnyFeeder, Feeder
from neomflex_jax.grid.load_by_bus import nominal_load_mw
from neomflex_jax.grid.placement import Placement
from neomflex_jax.loose_types import BusLabel
from neomflex_jax.scenario import Limits, RewardConfig, Rules
from neomflex_jax.scenario.loading import LoadingConfig

WIDTH = 34  # where remarks begin
USUAL_PERCENT = 100.0  # hard limit of loading where the feeder states none
SOFT_SHARE = 0.8  # soft limit of loading over the hard one
REMARKS = {
    "power_flow": "ac | calibrated | lindistflow | dc; calibrated is fitted to AC on this scenario",
    "profiles": "packaged training or testing profiles, or a CSV file with Demand and Solar",
    "evaluation_profiles": "days that training does not see",
    "unit": "of the columns that elements and devices follow; or MW, kW, W",
    "steps_per_day": "rows of the profiles that make a day",
    "band_min_pu": "the band that the reward asks for",
    "hard_min_pu": "outside: a violation",
    "voltage_weight": "per pu outside the band, summed over an agent's buses",
    "voltage_barrier": "band | l1 | l2 | bowl | bump | courant_beltrami",
    "reactive_weight": "per Mvar of reactive effort",
    "throughput_weight": "per MWh through the batteries",
    "curtailment_weight": "per MWh of PV not fed in and load not served",
    "price_weight": "times price times import; name the price's column of the profiles in tariff_column",
    "peak_weight": "per MW of import above peak_import_mw",
    "team_share": "for sharing = mixed: own reward + team_share x (team's mean - own)",
    "loss_weight": "per MW of losses, shared by number of buses",
    "violation_penalty": "when a hard limit is broken or the power flow fails",
    "unsolved_penalty": "beside it, when the power flow fails",
    "solar_penalty": "ask batteries to charge in the solar hours",
    "sharing": "team: every learner gets the mean of the local rewards; local: its own; mixed",
    "loading_soft_percent": "of a branch's rating; above it loading_weight",
    "loading_hard_percent": "above: a violation; single branches in [loading.branch_limits]",
    "loading_weight": "per rating above the soft limit, summed over branches, shared by number of buses",
    "loading_barrier": "band | courant_beltrami (the excess squared)",
    "loading_penalty": "when a branch is above its hard limit",
    "loading_observed": "true: agents see the loading of branches that end in their territory",
    "load_q": "or held_from_day_start: the load's q stays at the day's first value",
    "on_violation": "penalty added, the day goes on; or end_day: reward is the penalty alone, day replayed",
    "day_order": "or file",
    "energies": "at a day's start; or carried: as the day before left them",
    "first_observation": "of the grid, where play goes on into a day; or devices_at_zero, as in the original",
    "episode_steps": "of training, from a random hour on; 0: whole days",
    "capacity_mwh": "soc_min, soc_max and soc_initial are 0.2, 0.9 and 0.5 unless stated",
    "power_mw": "positive discharging",
    "p_max_mw": "active power under full sun",
    "s_mva": "p_mw and q_mvar together; active power comes first",
}

SUN_STEPS = ("solar_first_step", "solar_last_step")  # stated of days of 48 steps


def write_scenario_text(
    name: str,
    feeder: AnyFeeder,
    feeder_field: str,
    territories: Sequence[Sequence[BusLabel]],
    devices: Placement,
    series: ScenarioSeries | None = None,
) -> str:
    """Return the file's text.

    Parameters
    ----------
    feeder_field
        A packaged feeder's name, or a path from the file's folder.
    series
        Those beside the file; the packaged ones if None.
    """
    n_agents, n_pv, n_batteries = len(territories), len(devices.pv_inverters), len(devices.batteries)
    steps_per_day = 48 if series is None else series.steps_per_day
    counts = f"{feeder.n_bus} buses, {n_agents} agents, {n_batteries} batteries, {n_pv} PV inverters"
    load_mw = nominal_load_mw(feeder)
    pv_mw = sum(device.p_max_mw for device in devices.pv_inverters)
    battery_mw = sum(device.power_mw for device in devices.batteries)
    lines = [
        f"# {counts}, on feeder {feeder.name}.",
        "# Territories: by electrical distance, balanced by load; devices: sized by load, or the net's own with its",
        "# ratings. A suggestion to edit.",
        "# docs/scenarios.md has every field, also of [observation], [uncertainty], [[flexible_loads]], [[variants]].",
        f"# Nominal load {load_mw.sum():.4g} MW, PV {pv_mw:.4g} MW, batteries {battery_mw:.4g} MW.",
        field("name", name),
        field("description", counts),
        field("feeder", feeder_field),
        *fields(power_flow="ac"),
        *(fields(profiles="training", evaluation_profiles="testing") if series is None else ()),
        *fields(step_hours=24.0 / steps_per_day, steps_per_day=steps_per_day),
    ]
    if series is not None:
        lines[3:3] = textwrap.wrap(f"Series: {series.notice}", 118, initial_indent="# ", subsequent_indent="# ")
        lines += [
            "",
            "[profiles]",
            *(field(name, value, REMARKS.get(name, "")) for name, value in series.header.items()),
        ]
        for table, columns in series.maps.items():
            lines += ["", f"[profiles.{table}]", *(f"{_text(key)} = {_text(name)}" for key, name in columns.items())]
    for index, buses in enumerate(territories):
        own = [feeder.bus_position(bus) for bus in buses]
        lines += ["", "[[territories]]", f"# {len(buses)} buses, {load_mw[own].sum():.4g} MW of nominal load"]
        lines += [field("agent", f"agent_{index + 1}"), field("buses", list(buses))]
    for kind, of_kind in (("batteries", devices.batteries), ("pv_inverters", devices.pv_inverters)):
        for index, device in enumerate(of_kind):
            lines += ["", f"[[{kind}]]", *fields(index == 0, **_stated(device))]
    sun = {name: round(getattr(RewardConfig, name) * steps_per_day / 48) for name in SUN_STEPS}
    for table, part in (("limits", Limits()), ("reward", RewardConfig(**sun)), ("rules", Rules())):
        lines += ["", f"[{table}]", *fields(**dataclasses.asdict(part))]
    lines += _loading(feeder) if isinstance(feeder, Feeder) else []
    return "\n".join(lines) + "\n"


def _stated(device: Device) -> dict[str, object]:
    """Return a device's fields that are not their defaults."""
    own = dataclasses.fields(device)  # type: ignore[arg-type]  # every kind is a dataclass
    return {one.name: value for one in own if (value := getattr(device, one.name)) != one.default}


def _loading(feeder: Feeder) -> list[str]:
    """Lines of the table of loadings, by the feeder's own limits or 100 %; none if no branch has a rating."""
    rated = np.isfinite(feeder.max_i_ka) & np.array(feeder.topology.in_service)
    if not rated.any():
        return []
    stated = np.full(len(rated), USUAL_PERCENT) if feeder.max_loading_percent is None else feeder.max_loading_percent
    own_percent = np.where(np.isnan(stated), USUAL_PERCENT, stated)
    values, counts = np.unique(own_percent[rated], return_counts=True)
    hard = float(values[counts.argmax()])
    config = LoadingConfig(loading_soft_percent=SOFT_SHARE * hard, loading_hard_percent=hard)
    lines = ["", "[loading]", *fields(**dataclasses.asdict(config))]
    others = np.flatnonzero(rated & (own_percent != hard))
    if others.size:
        lines += ["", "[loading.branch_limits]"]
        lines += [field(json.dumps(feeder.branch_names[row]), own_percent[row]) for row in others]
    return lines


def fields(remarks: bool = True, **values: object) -> list[str]:
    """Return lines ``name = value``, with the name's remark if it has one, and without None, which TOML lacks."""
    return [
        field(name, value, REMARKS.get(name, "") if remarks else "")
        for name, value in values.items()
        if isinstance(value, bool | int | float | str)
    ]


def field(name: str, value: object, remark: str = "") -> str:
    """Return one line ``name = value  # remark``; long lists of numbers are wrapped."""
    if isinstance(value, list):
        text = ", ".join(_text(item) for item in value)
        if len(text) <= 100:
            return f"{name} = [{text}]"
        wrapped = textwrap.fill(text, 112, initial_indent="    ", subsequent_indent="    ")
        return f"{name} = [\n{wrapped},\n]"
    line = f"{name} = {_text(value)}"
    return f"{line:<{WIDTH - 2}}  # {remark}" if remark else line


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # JSON's escapes are TOML's
    return repr(float(value)) if isinstance(value, float | np.floating) else str(value)
