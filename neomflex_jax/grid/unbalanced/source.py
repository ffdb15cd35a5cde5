"""What holds the voltage of a feeder: a source behind its impedance, in Norton's form.

The current into the element is ``i = Y v - j``: `element` has the admittance Y, and j is what the source would feed
into a short circuit at every conductor. A source of constant current has no admittance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomflex_jax.grid.unbalanced.element import Element
from neomflex_jax.one_line import one_line


@dataclass(frozen=True, eq=False)
class Source:
    """An element that feeds in."""

    element: Element
    i_ampere: np.ndarray  # (n_conductor,) complex, into the grid

    __repr__ = one_line
