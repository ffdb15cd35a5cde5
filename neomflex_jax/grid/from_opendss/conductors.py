"""What every element of OpenDSS has: conductors at nodes, and currents into them."""

from __future__ import annotations

import numpy as np

from neomflex_jax.grid.from_opendss.engine import Engine


def name_of(engine: Engine) -> str:
    """Name of the active element with its class, in lower case."""
    return str(engine.CktElement.Name()).lower()


def nodes_of(engine: Engine) -> tuple[int, ...]:
    """Positions of the nodes at the active element's conductors, -1 for ground."""
    return tuple(int(node) - 1 for node in engine.CktElement.NodeRef())


def admittance_of(engine: Engine) -> np.ndarray:
    """Primitive admittance of the active element in siemens, (n_conductor, n_conductor)."""
    values = complex_of(engine.CktElement.YPrim())
    order = len(nodes_of(engine))
    return values.reshape(order, order).T.copy()  # column after column


def voltages_of(engine: Engine) -> np.ndarray:
    """Voltages of the active element's conductors against ground in volts, as OpenDSS solved them."""
    return complex_of(engine.CktElement.Voltages())


def currents_of(engine: Engine) -> np.ndarray:
    """Currents into the active element in amperes, as OpenDSS solved them."""
    return complex_of(engine.CktElement.Currents())


def complex_of(values: list[float]) -> np.ndarray:
    """Complex numbers from real and imaginary parts in turn."""
    return np.asarray(values, float).view(complex)
