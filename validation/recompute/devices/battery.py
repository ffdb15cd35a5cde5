"""Batteries: ``e' = e - h (p / eta_d if p > 0 else eta_c p)`` with p in MW, positive discharging, and e in MWh.

Limits: ``|p| <= power``, ``soc_min <= soc <= soc_max``, ``p^2 + q^2 <= s^2``, no q without a rating, and with a ramp
``clip(p_before - ramp) <= p <= clip(p_before + ramp)``, where clip keeps to the rating and to what the energy before
the step can give or take: a battery that runs empty stops at once. ``p_before`` is the step before's, 0 before the
first step and, where energies are drawn anew, before every day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Num

from neomflex_jax.devices import Battery
from neomflex_jax.scenario import Scenario
from validation.recompute.devices.twin import FeedIn, Part, Store, Twin


class BatteryStore(Store[Battery]):
    """A state of charge, 0 to 1 of the capacity."""

    entry: ClassVar = "soc"
    before: ClassVar = "battery_soc_before"
    after: ClassVar = "battery_soc"

    def size_mwh(self, device: Battery) -> float:
        """Return the capacity."""
        return device.capacity_mwh

    def energy_mwh(self, device: Battery, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the energy in the store."""
        return values * device.capacity_mwh

    def observed(self, device: Battery, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the state of charge."""
        return np.clip(values, 0.0, 1.0)

    def gap_mwh(self, part: Part[Battery]) -> Float[np.ndarray, " n_steps"]:
        """Return what is missing in each step's energy balance, (n,)."""
        battery, p_mw = part.device, part["battery_p_mw"]
        from_store_mw = np.where(p_mw > 0, p_mw / battery.discharge_efficiency, p_mw * battery.charge_efficiency)
        change = part[self.after] - part[self.before]
        return change * battery.capacity_mwh + part.scenario.step_hours * from_store_mw


class BatteryTwin(Twin[Battery]):
    """Batteries as the referee has them."""

    table: ClassVar = "batteries"
    delivered: ClassVar = ("battery_p_mw", "battery_q_mvar")
    remembered: ClassVar = ("battery_p_mw",)
    feed_in: ClassVar = FeedIn(
        "battery_p_mw", "battery_q_mvar", "storage", lambda battery: {"max_e_mwh": battery.capacity_mwh}
    )
    store: ClassVar = BatteryStore()

    def excess(self, part: Part[Battery]) -> Float[np.ndarray, " n_steps"]:
        """Return by how much each step is outside ratings, window and ramp, (n,)."""
        battery, p_mw, q_mvar = part.device, part["battery_p_mw"], part["battery_q_mvar"]
        over = [np.abs(p_mw) - battery.power_mw]
        over.append(np.abs(q_mvar) if battery.s_mva is None else np.hypot(p_mw, q_mvar) - battery.s_mva)
        share = max(battery.power_mw, battery.s_mva or 0.0, 1.0)
        soc = [part["battery_soc_before"], part["battery_soc"]]
        outside = [excess for value in soc for excess in (battery.soc_min - value, value - battery.soc_max)]
        ramp = [] if battery.ramp_mw is None else [_ramp_excess(part, battery.ramp_mw, share)]
        return np.max([*(excess / share for excess in over), *outside, *ramp], axis=0)

    def costs(
        self, device: Battery, scenario: Scenario, recorded: Mapping[str, Num[np.ndarray, " n_steps"]]
    ) -> Iterator[np.ndarray]:
        """Yield the costs of throughput, of reactive power and of not charging in the solar hours, (n,) each."""
        reward, p_mw = scenario.reward, recorded["battery_p_mw"]
        yield (reward.throughput_weight + device.throughput_cost) * scenario.step_hours * np.abs(p_mw)
        if reward.reactive_weight:
            yield reward.reactive_weight * np.abs(recorded["battery_q_mvar"])
        if reward.solar_penalty:
            step = recorded["step"]
            idle = (step >= reward.solar_first_step) & (step <= reward.solar_last_step) & (p_mw >= 0)
            yield np.where(idle, reward.solar_penalty_weight * (device.power_mw - p_mw) / device.power_mw, 0.0)


def _ramp_excess(part: Part[Battery], ramp_mw: float, rounding_mw: float) -> np.ndarray:
    """Return how far p is from what the ramp leaves it, (n,); of large stores as a share of what fills them at once."""
    battery, scenario, p_mw = part.device, part.scenario, part["battery_p_mw"]
    begins = part["step"] == 0 if scenario.rules.energies != "carried" else np.arange(len(p_mw)) == 0
    before_mw = np.where(begins, 0.0, np.roll(p_mw, 1))
    mw_per_soc = battery.capacity_mwh / scenario.step_hours
    soc = part["battery_soc_before"]
    gives_mw = np.clip(soc - battery.soc_min, 0.0, None) * mw_per_soc * battery.discharge_efficiency
    takes_mw = np.clip(battery.soc_max - soc, 0.0, None) * mw_per_soc / battery.charge_efficiency
    most_mw, least_mw = np.minimum(battery.power_mw, gives_mw), -np.minimum(battery.power_mw, takes_mw)
    low_mw, high_mw = (np.clip(before_mw + step_mw, least_mw, most_mw) for step_mw in (-ramp_mw, ramp_mw))
    excess_mw = np.maximum(low_mw - p_mw, p_mw - high_mw)
    if scenario.uncertainty.outage_probability > 0:  # one that fails stops at once
        excess_mw = np.where(p_mw == 0, 0.0, excess_mw)
    return excess_mw / max(rounding_mw, mw_per_soc)


TWIN = BatteryTwin()
