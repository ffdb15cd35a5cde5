"""EV chargers: ``w' = w + eta h p`` with p in MW into the grid, never above 0, and w in MWh what a vehicle still wants.

Only while a vehicle is there it draws power, at most its session's times the share of the step that it is there for,
and at most what it still wants; w begins with the session's energy and what is left of it as the vehicle leaves is
unmet, which costs. The step in which one leaves has no other vehicle. ``q = p tan(acos(power_factor))``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Num

from neomflex_jax.devices import EvCharger
from neomflex_jax.scenario import Scenario
from validation.recompute.devices.twin import FeedIn, Part, Store, Twin

ROUNDING_HOURS = 1e-3 / 60


class Wanted(Store[EvCharger]):
    """What the vehicle that is there still wants, in MWh."""

    entry: ClassVar = "wanted"
    before: ClassVar = "ev_wanted_before_mwh"
    after: ClassVar = "ev_wanted_mwh"

    def size_mwh(self, device: EvCharger) -> float:
        """Return the energy of the largest session."""
        return max([device.largest_mwh, *(energy_mwh for _, _, energy_mwh, _ in device.sessions)])

    def energy_mwh(self, device: EvCharger, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return what is wanted."""
        return values

    def observed(self, device: EvCharger, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return what is wanted as a share of the largest session."""
        return values / self.size_mwh(device)

    def gap_mwh(self, part: Part[EvCharger]) -> Float[np.ndarray, " n_steps"]:
        """Return what is missing in each step's energy balance, (n,)."""
        comes_mwh, _, _ = _sessions(part)
        before_mwh = np.where(comes_mwh > 0, comes_mwh, part[self.before])
        charged_mwh = -part.device.efficiency * part.scenario.step_hours * part["ev_p_mw"]
        return before_mwh - charged_mwh - part["ev_unmet_mwh"] - part[self.after]


class EvChargerTwin(Twin[EvCharger]):
    """EV chargers as the referee has them."""

    table: ClassVar = "ev_chargers"
    delivered: ClassVar = ("ev_p_mw", "ev_q_mvar", "ev_unmet_mwh")
    has_sessions: ClassVar = True
    feed_in: ClassVar = FeedIn("ev_p_mw", "ev_q_mvar", "sgen", lambda charger: {})
    store: ClassVar = Wanted()

    def excess(self, part: Part[EvCharger]) -> Float[np.ndarray, " n_steps"]:
        """Return by how much each step is outside the session's power, its energy and its time, (n,)."""
        charger, (p_mw, q_mvar, unmet_mwh) = part.device, (part[name] for name in self.delivered)
        _, most_mw, ends = _sessions(part)
        q_per_p = math.tan(math.acos(charger.power_factor))
        left_mwh = part["ev_wanted_mwh"]
        over = [p_mw, -p_mw - most_mw, np.abs(q_mvar - q_per_p * p_mw), -unmet_mwh, -left_mwh]
        over.append(np.where(most_mw > 0, 0.0, left_mwh))  # nobody is there
        over.append(np.where(ends, left_mwh, unmet_mwh))  # only who leaves goes without, and leaves nothing to do
        return np.max(over, axis=0) / max(1.0, float(most_mw.max()))

    def costs(
        self, device: EvCharger, scenario: Scenario, recorded: Mapping[str, Num[np.ndarray, " n_steps"]]
    ) -> Iterator[np.ndarray]:
        """Yield the cost of what vehicles leave without, (n,)."""
        yield device.unmet_cost * recorded["ev_unmet_mwh"]


def _sessions(part: Part[EvCharger]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energy that a vehicle wants as it comes, else 0; mean power that it may draw, 0 without one; its end."""
    if not part.device.sessions:
        return part["session_energy_mwh"], part["session_power_mw"], part["session_ends"] > 0
    step, step_hours = part["step"], part.scenario.step_hours
    comes_mwh, most_mw, ends = np.zeros(len(step)), np.zeros(len(step)), np.zeros(len(step), bool)
    begin = step * step_hours % 24.0
    free = 0.0  # from when on no step is one in which the vehicle before leaves
    for arrival, departure, energy_mwh, power_mw in part.device.sessions:
        arrives, free = max(arrival, free), math.ceil((departure - ROUNDING_HOURS) / step_hours) * step_hours
        hours = np.minimum(departure, begin + step_hours) - np.maximum(arrives, begin)
        there = hours > ROUNDING_HOURS
        comes_mwh += energy_mwh * (there & (arrives > begin - ROUNDING_HOURS))
        most_mw += power_mw * np.where(there, hours / step_hours, 0.0)
        ends |= there & (departure < begin + step_hours + ROUNDING_HOURS)
    return comes_mwh, most_mw, ends


TWIN = EvChargerTwin()
