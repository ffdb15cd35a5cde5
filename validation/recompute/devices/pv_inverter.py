"""PV inverters: ``0 <= p <= available`` and ``p^2 + q^2 <= s^2`` in MW and Mvar, positive into the grid.

Available is ``solar p_max``, at most that where devices may fail, and all of it is fed in where nothing may hold it
back: no curtailment, no priority of reactive power, no export limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Num

from neomflex_jax.devices import PvInverter
from neomflex_jax.scenario import Scenario
from validation.recompute.devices.twin import FeedIn, Part, Sun, Twin


class PvInverterTwin(Twin[PvInverter]):
    """PV inverters as the referee has them."""

    table: ClassVar = "pv_inverters"
    delivered: ClassVar = ("pv_p_mw", "pv_q_mvar", "pv_available_mw")
    feed_in: ClassVar = FeedIn("pv_p_mw", "pv_q_mvar", "sgen", lambda inverter: {"sn_mva": inverter.s_mva})
    sun: ClassVar = Sun("pv_available_mw", lambda inverter: inverter.p_max_mw)

    def excess(self, part: Part[PvInverter]) -> Float[np.ndarray, " n_steps"]:
        """Return by how much each step is outside the rating and what the sun offers, (n,)."""
        inverter, (p_mw, q_mvar, available_mw) = part.device, (part[name] for name in self.delivered)
        sun_mw = part.solar * inverter.p_max_mw
        over = [-p_mw, p_mw - available_mw, np.hypot(p_mw, q_mvar) - inverter.s_mva, available_mw - sun_mw]
        if part.scenario.uncertainty.outage_probability == 0:
            over.append(sun_mw - available_mw)
        if not inverter.curtailable and inverter.priority == "p" and inverter.export_limit_mw is None:
            over.append(np.minimum(available_mw, inverter.s_mva) - p_mw)
        return np.max(over, axis=0) / max(inverter.p_max_mw, inverter.s_mva, 1.0)

    def costs(
        self, device: PvInverter, scenario: Scenario, recorded: Mapping[str, Num[np.ndarray, " n_steps"]]
    ) -> Iterator[np.ndarray]:
        """Yield the costs of reactive power and of energy that is not fed in, (n,) each."""
        reward = scenario.reward
        if reward.reactive_weight:
            yield reward.reactive_weight * np.abs(recorded["pv_q_mvar"])
        if reward.curtailment_weight:
            lost_mw = recorded["pv_available_mw"] - recorded["pv_p_mw"]
            yield reward.curtailment_weight * scenario.step_hours * lost_mw


TWIN = PvInverterTwin()
