"""Flexible loads: ``owed' = owed + h (p0 - curtailed - p)`` with the nominal consumption p0 and the actual p in MW.

Limits: ``0 <= curtailed <= share of the load``, ``0 <= owed <= buffer``, the power between them at most `shift_mw`.
Where loads are random their p0 is not recorded, and what rests on it is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Num

from neomflex_jax.devices import FlexibleLoad
from neomflex_jax.scenario import Scenario
from validation.recompute.devices.twin import Part, Store, Twin


class LoadStore(Store[FlexibleLoad]):
    """Consumption in MWh that was deferred and not caught up."""

    entry: ClassVar = "owed"
    before: ClassVar = "load_owed_before_mwh"
    after: ClassVar = "load_owed_mwh"

    def size_mwh(self, device: FlexibleLoad) -> float:
        """Return the most that may be owed."""
        return device.buffer_mwh

    def energy_mwh(self, device: FlexibleLoad, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the energy that is owed."""
        return values

    def observed(self, device: FlexibleLoad, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the share of the buffer that is owed."""
        return values / (device.buffer_mwh or 1.0)

    def gap_mwh(self, part: Part[FlexibleLoad]) -> Float[np.ndarray, " n_steps"]:
        """Return what is missing in each step's energy balance, (n,)."""
        if part.scenario.uncertainty.varies_loads:
            return np.zeros_like(part.demand)
        missing_mw = part.demand * part.nominal_load_p_mw - part["load_curtailed_mw"] - part.load_p_mw
        return part.scenario.step_hours * missing_mw - (part[self.after] - part[self.before])


class FlexibleLoadTwin(Twin[FlexibleLoad]):
    """Flexible loads as the referee has them."""

    table: ClassVar = "flexible_loads"
    delivered: ClassVar = ("load_curtailed_mw",)
    store: ClassVar = LoadStore()

    def excess(self, part: Part[FlexibleLoad]) -> Float[np.ndarray, " n_steps"]:
        """Return by how much each step is outside what may be shed, shifted and owed, (n,)."""
        load, curtailed_mw, owed_mwh = part.device, part["load_curtailed_mw"], part["load_owed_mwh"]
        shifted_mw = np.abs(owed_mwh - part["load_owed_before_mwh"]) / part.scenario.step_hours
        over = [-curtailed_mw, shifted_mw - load.shift_mw, -owed_mwh, owed_mwh - load.buffer_mwh]
        if not part.scenario.uncertainty.varies_loads:
            over.append(curtailed_mw - load.curtail_share * part.nominal_load_p_mw * part.demand)
        return np.max(over, axis=0) / max(part.nominal_load_p_mw, load.shift_mw, load.buffer_mwh, 1.0)

    def costs(
        self, device: FlexibleLoad, scenario: Scenario, recorded: Mapping[str, Num[np.ndarray, " n_steps"]]
    ) -> Iterator[np.ndarray]:
        """Yield the cost of energy that is not served, (n,)."""
        if scenario.reward.curtailment_weight:
            yield scenario.reward.curtailment_weight * scenario.step_hours * recorded["load_curtailed_mw"]


TWIN = FlexibleLoadTwin()
