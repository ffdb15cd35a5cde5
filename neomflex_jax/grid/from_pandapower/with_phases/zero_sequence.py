"""What lines and transformers are in the zero sequence, as `pandapower.runpp_3ph` takes them, by the element's number.

A line is a pi of ``(r0 + j x0) l / n`` and ``j 2 pi f c0 l n``. A transformer is a T of ``z1 = s z0`` at hv,
``z2 = (1 - s) z0`` at lv and the iron zm between them, with s = ``si0_hv_partial``, z0 of ``vk0`` and ``vkr0`` at lv's
rated voltage, and ``|zm| = |z0| mag0``; as a triangle it has y12 across, y1 and y2 at its ends. What of it is there
depends on the windings:

- YNyn: all of it; Dyn, whose delta is a short circuit: ``y12 + y2`` to ground at lv, and nothing at hv;
- Yzn: at lv ``1.1547 (1 / (1/y12 + 1/y1) + y2)``.

Source: pandapower 3.5, pd2ppc_zero.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_pandapower.rows import Rows
from neomflex_jax.grid.from_pandapower.transformers import tapped_lv_kv
from neomflex_jax.grid.from_pandapower.with_phases.sequences import two_port

if TYPE_CHECKING:
    from pandapower import pandapowerNet

GROUPS = ("Dyn", "YNyn", "Yzn")
YZN = 1.1547
WITHOUT = "phases=False (`neomflex feeder import`) reads the net as balanced"


def column(rows: Rows, name: str) -> np.ndarray:
    """Numbers of a column that a net with phases has to have."""
    if name not in rows.frame and len(rows):
        raise InputError(f"{rows.title(0)} has no {name}, which a net with phases states; state it, or {WITHOUT}")
    return rows.numbers(name)


def zero_lines(net: pandapowerNet) -> dict[int, np.ndarray]:
    """Two-ports of the lines in service."""
    rows = Rows.of(net, "line").in_service()
    length_km, parallel = rows.numbers("length_km"), rows.numbers("parallel", absent=1.0)
    r, x = (column(rows, f"{part}0_ohm_per_km") * length_km / parallel for part in "rx")
    rows.refuse((r == 0) & (x == 0), lambda row: "r0_ohm_per_km = x0_ohm_per_km = 0; one of them must not be 0")
    c_farad = column(rows, "c0_nf_per_km") * 1e-9 * length_km * parallel
    halves = 1j * math.pi * float(net.get("f_hz", 50.0)) * c_farad
    values = zip(rows.numbers_of_rows, r + 1j * x, halves, strict=True)
    return {number: two_port(z_ohm, half, half) for number, z_ohm, half in values}


def zero_transformers(
    net: pandapowerNet, levels: Mapping[int, float], ratios: Mapping[int, complex]
) -> dict[int, np.ndarray]:
    """Two-ports of the transformers in service, by nominal voltages of lv over hv and off-nominal ratios."""
    rows = Rows.of(net, "trafo").in_service()
    groups = rows.texts("vector_group")
    wrong = np.array([group.lower() not in {known.lower() for known in GROUPS} for group in groups], bool)
    rows.refuse(wrong, lambda row: f"vector_group = {groups[row]!r}; runpp_3ph solves {', '.join(GROUPS)}; {WITHOUT}")
    for name in ("xn_ohm", "rn_ohm"):
        ohm = rows.numbers(name, absent=0.0, or_empty=True)
        rows.refuse_values(ohm != 0, name, ohm, "an earthing impedance is not modelled; set it to 0")
    s_base = net.get("sn_mva", 1.0)
    twisted = np.array([group.lower() == "yzn" for group in groups], bool) & (s_base != 1)
    rows.refuse(
        twisted, lambda _: f"vector group Yzn, which runpp_3ph multiplies by net.sn_mva = {s_base}; set that to 1"
    )
    z0_ohm, iron_ohm = _impedances(rows, tapped_lv_kv(net, rows))
    share = column(rows, "si0_hv_partial")
    rows.refuse_values((share <= 0) | (share >= 1), "si0_hv_partial", share, "it must lie between 0 and 1")
    found = {}
    for row, number in enumerate(rows.numbers_of_rows):
        triangle = _triangle(share[row] * z0_ohm[row], (1 - share[row]) * z0_ohm[row], iron_ohm[row])
        found[number] = _connected(groups[row].lower(), triangle, ratios[number], levels[number])
    return found


def _impedances(rows: Rows, lv_kv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leakage and iron of the T at the low-voltage level in ohm."""
    vk, vkr = column(rows, "vk0_percent"), column(rows, "vkr0_percent")
    rows.refuse_values(vk <= 0, "vk0_percent", vk, "it must be above 0")
    why = "it must lie above 0 (where runpp_3ph takes vkr_percent) and be at most vk0_percent"
    rows.refuse_values((vkr <= 0) | (vkr > vk), "vkr0_percent", vkr, why)
    scale = lv_kv**2 / rows.numbers("sn_mva") / 100 / rows.numbers("parallel", absent=1.0)
    z, r = vk * scale, vkr * scale
    ratio, r_over_x = column(rows, "mag0_percent") / 100, column(rows, "mag0_rx")
    rows.refuse_values(ratio <= 0, "mag0_percent", 100 * ratio, "it must be above 0")
    iron_x = z * ratio / np.sqrt(r_over_x**2 + 1)
    return r + 1j * np.sqrt(z**2 - r**2), iron_x * (r_over_x + 1j)


def _triangle(z1: complex, z2: complex, zm: complex) -> tuple[complex, complex, complex]:
    """y12, y1 and y2 of a T."""
    total = z1 * z2 + z2 * zm + zm * z1
    return zm / total, z2 / total, z1 / total


def _connected(group: str, triangle: tuple[complex, complex, complex], ratio: complex, levels: float) -> np.ndarray:
    y12, y1, y2 = triangle
    if group == "ynyn":
        return two_port(1 / y12, y1, y2, ratio, levels)
    at_lv = y12 + y2 if group == "dyn" else YZN * (1 / (1 / y12 + 1 / y1) + y2)
    return np.array([[0, 0], [0, at_lv]], complex)
