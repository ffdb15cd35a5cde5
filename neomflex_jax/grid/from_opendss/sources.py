"""Sources, from what they do: with the admittance Y, the solved voltages v and currents i, ``j = Y v - i``."""

from __future__ import annotations

import numpy as np

from neomflex_jax.grid.from_opendss.conductors import admittance_of, currents_of, name_of, nodes_of, voltages_of
from neomflex_jax.grid.from_opendss.engine import Engine
from neomflex_jax.grid.unbalanced.element import Element
from neomflex_jax.grid.unbalanced.source import Source


def read_source(engine: Engine) -> Source:
    """Read the active source."""
    nodes = nodes_of(engine)
    y = np.zeros((len(nodes),) * 2, complex) if name_of(engine).startswith("isource.") else admittance_of(engine)
    element = Element(name_of(engine), nodes, int(engine.CktElement.NumTerminals()), y)
    return Source(element, y @ voltages_of(engine) - currents_of(engine))
