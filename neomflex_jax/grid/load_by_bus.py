"""Nominal consumption bus by bus, of any feeder."""

from __future__ import annotations

import numpy as np

from neomflex_jax.grid.feeder import AnyFeeder, Feeder


def nominal_load_mw(feeder: AnyFeeder) -> np.ndarray:
    """Active nominal consumption of every bus, (n_bus,), the grid's own generation left out."""
    return nominal_load(feeder).real


def nominal_load(feeder: AnyFeeder) -> np.ndarray:
    """Nominal consumption of every bus, p + jq in MVA, (n_bus,), the grid's own generation left out."""
    if isinstance(feeder, Feeder):
        return feeder.consumption_mva()
    consumes = feeder.load_p_mw > 0
    return _by_bus(feeder, np.where(consumes, feeder.load_p_mw + 1j * feeder.load_q_mvar, 0.0))


def net_load_mw(feeder: AnyFeeder) -> np.ndarray:
    """Active nominal consumption of every bus, (n_bus,), less what the grid has of its own generation."""
    return _by_bus(feeder, np.asarray(feeder.load_p_mw, float))


def _by_bus(feeder: AnyFeeder, values: np.ndarray) -> np.ndarray:
    total = np.zeros(feeder.n_bus, values.dtype)
    np.add.at(total, [feeder.bus_position(bus) for bus in feeder.load_buses], values)
    return total
