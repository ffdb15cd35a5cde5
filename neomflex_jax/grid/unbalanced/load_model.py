"""How a load follows its voltage.

With m the voltage across one of the load's branches in per unit of its nominal one, the branch draws the nominal power
times ``k(m) m^2``, for p and q apart, where k is its admittance in per unit of the nominal one. Within
``v_min_pu < m <= v_max_pu`` k is a sum by shares of constant impedance, current and power, or follows an exponent a::

    k(m) = z + i / m + c / m^2      or      k(m) = m^(a - 2)

Outside, shares of its own hold, and constant current and power turn into an impedance: above, k keeps what it has at
``v_max_pu``; below, the current falls in a straight line from the one at ``v_min_pu`` to the one that the nominal
impedance draws at ``v_line_pu``; and from ``v_low_pu`` down the load is its nominal impedance, k = 1. With `cut_off_pu`
a load drops out below that voltage: k is multiplied by ``(1 + tanh(500 (m - cut_off_pu))) / 2``.

These are the models of OpenDSS (R. C. Dugan, "OpenDSS Manual", chapter on Load; `OPENDSS` has them by number), of which
a ZIP load and one of exponents are special cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Shares: TypeAlias = tuple[float, float, float]  # of constant impedance, current and power

Z, I, P = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)  # noqa: E741

# by OpenDSS's number: shares of p and q within the limits, and outside of them; 4 and 8 have figures of their own
OPENDSS: dict[int, tuple[Shares, Shares, Shares, Shares]] = {
    1: (P, P, P, P),  # constant power
    2: (Z, Z, Z, Z),  # constant impedance
    3: (P, Z, P, P),  # a motor: constant p, q of an impedance
    4: (P, P, P, P),  # exponents (CVR) within the limits
    5: (I, I, I, I),  # constant current
    6: (P, P, P, Z),  # constant p, fixed q
    7: (P, Z, P, Z),  # constant p, fixed impedance for q
}


@dataclass(frozen=True)
class LoadModel:
    """Shares, exponents and limits of one load; the defaults are a constant power at any voltage."""

    p_inside: Shares = P
    q_inside: Shares = P
    p_outside: Shares = P
    q_outside: Shares = P
    p_exponent: float | None = None  # in the place of p_inside
    q_exponent: float | None = None
    v_min_pu: float = 0.0
    v_max_pu: float = float("inf")
    v_low_pu: float = 0.0
    v_line_pu: float = 0.0
    cut_off_pu: float = 0.0  # 0: none


CONSTANT_POWER = LoadModel()
