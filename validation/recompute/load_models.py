"""What loads with phases draw at given voltages, a second time, by the models of OpenDSS's manual.

A branch with m times its nominal voltage draws its share of the nominal power times f(m): within ``vminpu < m <=
vmaxpu`` ``z m^2 + i m + p`` or ``m^a``; above, what an impedance does that draws the same at vmaxpu; below, the current
runs in a straight line from that at vminpu to that of the nominal impedance at `v_line_pu`; from vlowpu down it is the
nominal impedance. A load with a cut-off voltage drops out below it.
"""

from __future__ import annotations

import numpy as np

from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.grid.unbalanced import Load


def drawn_mw(feeder: UnbalancedFeeder, load_p_mw: np.ndarray, vm_pu: np.ndarray, va_degree: np.ndarray) -> np.ndarray:
    """Active power of all loads together, (n,), at nominal powers (n, n_load) and voltages (n, n_node)."""
    volts_kv = vm_pu * np.exp(1j * np.deg2rad(va_degree)) * feeder.v_base_kv
    volts_kv = np.concatenate([volts_kv, np.zeros((len(volts_kv), 1))], axis=1)  # ground is the last, -1
    total = np.zeros(len(volts_kv))
    for number, load in enumerate(feeder.loads):
        share = load_p_mw[:, number] / load.n_phases
        for start, end in load.branches:
            m = np.abs(volts_kv[:, start] - volts_kv[:, end]) / load.v_nominal_kv
            total += share * _followed(load, m)
    return total


def _followed(load: Load, m: np.ndarray) -> np.ndarray:
    """Factor on a branch's nominal active power at m times its nominal voltage, (n,)."""
    model = load.model
    low, high = model.v_min_pu, model.v_max_pu
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if model.p_exponent is None:
            impedance, current, power = model.p_inside
            inside = impedance * m**2 + current * m + power
        else:
            inside = m**model.p_exponent
        impedance, current, power = model.p_outside
        above = impedance * m**2 + (current / high + power / high**2) * m**2
        at_low = (current * low + power) / low if low > 0 else 0.0  # current of these shares at vminpu, in nominal ones
        end = (current + power) * model.v_line_pu  # and of the nominal impedance where the line ends
        slope = (at_low - end) / (low - model.v_line_pu) if low > model.v_line_pu else 0.0
        below = impedance * m**2 + (end + slope * (m - model.v_line_pu)) * m
        found = np.where(m > high, above, np.where(m > low, inside, below))
        if model.cut_off_pu:
            found = found * (1 + np.tanh(500 * (m - model.cut_off_pu))) / 2
        return np.where(m <= model.v_low_pu, m**2, found)
