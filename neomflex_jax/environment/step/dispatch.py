"""Requests to what the devices deliver: the loads as they are today, then batteries, then PV inverters.

The order matters at a connection point with an export limit: the inverter gets what load and battery leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.devices import (
    deliver_battery_power,
    deliver_battery_q,
    deliver_flexible_load,
    deliver_pv_power,
    export_room_mw,
)
from neomflex_jax.environment.step.injections import sum_at_bus
from neomflex_jax.grid.territories import TerritoryLayout
from neomflex_jax.scenario import Scenario

Requests = dict[str, Array]
InService = tuple[Array | bool, ...]  # True: all of them, known beforehand


class Stores(NamedTuple):
    """What devices carry from step to step."""

    battery_soc: Array  # (n_battery,)
    battery_p_mw: Array  # (n_battery,) of the last step
    load_owed_mwh: Array  # (n_flexible,)


@dataclass(frozen=True, eq=False)
class Delivered:
    """What is fed in and consumed in one step; batteries positive discharging, PV into the grid, loads out of it."""

    battery_p_mw: Array  # (n_battery,)
    battery_q_mvar: Array  # (n_battery,)
    pv_p_mw: Array  # (n_pv,)
    pv_q_mvar: Array  # (n_pv,)
    pv_available_mw: Array  # (n_pv,)
    load_p_mw: Array  # (n_bus,)
    load_q_mvar: Array  # (n_bus,)
    load_curtailed_mw: Array  # (n_flexible,)
    clipped: Array  # (n_device,) missing share of what was asked for, 0 where everything was delivered


def deliver(
    scenario: Scenario,
    layout: TerritoryLayout,
    requests: Requests,
    stores: Stores,
    *,
    load_p_mw: Array,
    load_q_mvar: Array,
    solar: Array,
    in_service: InService,
) -> tuple[Delivered, Stores]:
    """Deliver the requests; loads (n_bus,) as they would be without flexibility."""
    battery_works, pv_works, load_works = in_service
    load_p_mw, load_q_mvar, curtailed_mw, owed_mwh, load_clipped = _flex(
        scenario, layout, requests, stores, load_p_mw, load_q_mvar, load_works
    )
    battery_p_mw, battery_q_mvar, soc, battery_clipped = _dispatch_batteries(scenario, requests, stores, battery_works)
    room_mw: Array | float = np.inf
    limits_mw = rating(scenario, "pv_inverters")["export_limit_mw"]
    if np.isfinite(limits_mw).any():
        others_mw = sum_at_bus(battery_p_mw, layout.battery_bus, load_p_mw.shape[-1])[layout.pv_bus]
        room_mw = export_room_mw(limits_mw, load_p_mw[layout.pv_bus], others_mw)
    pv_p_mw, pv_q_mvar, available_mw, pv_clipped = _dispatch_pv(scenario, requests, solar, room_mw, pv_works)
    delivered = Delivered(
        battery_p_mw=battery_p_mw,
        battery_q_mvar=battery_q_mvar,
        pv_p_mw=pv_p_mw,
        pv_q_mvar=pv_q_mvar,
        pv_available_mw=available_mw,
        load_p_mw=load_p_mw,
        load_q_mvar=load_q_mvar,
        load_curtailed_mw=curtailed_mw,
        clipped=jnp.concatenate([battery_clipped, pv_clipped, load_clipped]),
    )
    return delivered, Stores(soc, battery_p_mw, owed_mwh)


def _dispatch_batteries(
    scenario: Scenario, requests: Requests, stores: Stores, in_service: Array | bool
) -> tuple[Array, Array, Array, Array]:
    """Give the batteries' p and q, their next soc, and the missing share of what was asked for."""
    sizes = rating(scenario, "batteries")
    asked_mw = requests["battery_p"] * sizes["power_mw"]
    p_mw, soc = deliver_battery_power(
        asked_mw,
        stores.battery_soc,
        capacity_mwh=sizes["capacity_mwh"],
        power_mw=sizes["power_mw"],
        soc_min=sizes["soc_min"],
        soc_max=sizes["soc_max"],
        step_hours=scenario.step_hours,
        charge_efficiency=sizes["charge_efficiency"],
        discharge_efficiency=sizes["discharge_efficiency"],
        previous_p_mw=stores.battery_p_mw,
        ramp_mw=sizes["ramp_mw"],
        available=in_service,
    )
    q_mvar = jnp.zeros_like(p_mw)
    if "battery_q" in requests:
        q_mvar = deliver_battery_q(requests["battery_q"], p_mw, s_mva=sizes["s_mva"], available=in_service)
    return p_mw, q_mvar, soc, jnp.where(in_service, jnp.abs(asked_mw - p_mw), 0.0) / sizes["power_mw"]


def _dispatch_pv(
    scenario: Scenario, requests: Requests, solar: Array, room_mw: Array | float, in_service: Array | bool
) -> tuple[Array, Array, Array, Array]:
    """Give the inverters' p and q, the power that the sun offers, and the missing share of what was asked for."""
    sizes = rating(scenario, "pv_inverters")
    curtail = jnp.maximum(-requests["pv_curtailment"], 0.0) if "pv_curtailment" in requests else 0.0
    p_mw, q_mvar = deliver_pv_power(
        requests["pv_q"],
        solar,
        p_max_mw=sizes["p_max_mw"],
        s_mva=sizes["s_mva"],
        curtail_fraction=curtail,
        q_priority=np.array([device.priority == "q" for device in scenario.pv_inverters], bool),
        p_limit_mw=room_mw,
        available=in_service,
    )
    available_mw = jnp.where(in_service, solar * jnp.asarray(sizes["p_max_mw"]), 0.0)
    return p_mw, q_mvar, available_mw, (available_mw * (1.0 - curtail) - p_mw) / sizes["p_max_mw"]


def _flex(
    scenario: Scenario,
    layout: TerritoryLayout,
    requests: Requests,
    stores: Stores,
    load_p_mw: Array,
    load_q_mvar: Array,
    in_service: Array | bool,
) -> tuple[Array, Array, Array, Array, Array]:
    """Give loads after curtailing and shifting, what was shed, what is owed, and the missing share of the shift."""
    nothing = jnp.zeros_like(stores.load_owed_mwh)
    if not scenario.flexible_loads:
        return load_p_mw, load_q_mvar, nothing, stores.load_owed_mwh, nothing
    sizes, bus = rating(scenario, "flexible_loads"), layout.flexible_bus
    before_p_mw, before_q_mvar = load_p_mw[bus], load_q_mvar[bus]
    shift = requests.get("load_shift", nothing)
    p_mw, curtailed_mw, owed_mwh = deliver_flexible_load(
        jnp.maximum(-requests.get("load_curtailment", nothing), 0.0),
        shift,
        before_p_mw,
        stores.load_owed_mwh,
        curtail_share=sizes["curtail_share"],
        shift_mw=sizes["shift_mw"],
        buffer_mwh=sizes["buffer_mwh"],
        step_hours=scenario.step_hours,
        available=in_service,
    )
    # q follows p: the load keeps its power factor
    ratio = p_mw / jnp.where(before_p_mw > 0, before_p_mw, 1.0)
    q_mvar = jnp.where(before_p_mw > 0, before_q_mvar * ratio, before_q_mvar)
    n_bus = load_p_mw.shape[-1]
    shifted_mw = before_p_mw - p_mw - curtailed_mw  # positive: deferred
    scale = np.where(sizes["shift_mw"] > 0, sizes["shift_mw"], 1.0)
    return (
        load_p_mw + sum_at_bus(p_mw - before_p_mw, bus, n_bus),
        load_q_mvar + sum_at_bus(q_mvar - before_q_mvar, bus, n_bus),
        curtailed_mw,
        owed_mwh,
        jnp.where(in_service, jnp.abs(shift * sizes["shift_mw"] - shifted_mw), 0.0) / scale,
    )


def rating(scenario: Scenario, kind: str) -> dict[str, np.ndarray]:
    """Give the numbers of a kind of devices as new arrays (n_device,); None is infinite, and for `s_mva` 0.

    New at every call, for JAX 0.10.2 mixes up the precisions of programs that share one NumPy array.
    """
    devices = getattr(scenario, kind)
    names = {
        "batteries": (
            "capacity_mwh power_mw soc_min soc_max soc_initial s_mva ramp_mw "
            "charge_efficiency discharge_efficiency throughput_cost"
        ),
        "pv_inverters": "p_max_mw s_mva export_limit_mw",
        "flexible_loads": "curtail_share shift_mw buffer_mwh",
    }[kind].split()
    absent = {"s_mva": 0.0, "ramp_mw": np.inf, "export_limit_mw": np.inf}
    values = {
        name: [absent[name] if getattr(each, name) is None else getattr(each, name) for each in devices]
        for name in names
    }
    return {name: np.array(column, float) for name, column in values.items()}
