"""Three-winding transformers of a net as two-ports between the user's own buses.

pandapower splits one into three transformers that meet at an auxiliary bus, the star: one from `hv_bus` to the star,
two from there to `mv_bus` and `lv_bus`. Nothing but they stands at the star, so that it is eliminated without error,
and no voltage is reported at a bus that the user does not have. With y_i the series admittance of leg i and s_i the
half of its magnetising branch at either end, both seen from the star, and y_0 what the star has of them::

    y_ij = y_i y_j / (sum of all y + y_0)        between terminals i and j
    s_i + y_i y_0 / (sum of all y + y_0)         across terminal i, a shunt there

A leg with an open switch at its terminal adds what it draws to y_0, one at a bus out of service nothing. Of three
branches each is rated as the winding at its `to` end, ``sn / (sqrt(3) vn)`` of that winding, and what this carries is
the sum of the two that meet there and of the shunt; a branch alone, between two closed windings, is rated at both ends.
Per unit on 1 MVA and the buses' `vn_kv`, the star's that of `hv_bus`. Source: pandapower 3.5, build_branch.py,
`_trafo_df_from_trafo3w`, and results_branch.py, `_get_trafo3w_results`.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_pandapower.branches import Branch, loading_limits, open_switches, stated
from neomflex_jax.grid.from_pandapower.rows import Rows
from neomflex_jax.grid.from_pandapower.step_tables import StepTable
from neomflex_jax.grid.from_pandapower.transformers import (
    SIDES,
    SMALLEST,
    Step,
    Winding,
    of_step,
    tap_of,
    tap_table,
    two_port,
)
from neomflex_jax.loose_types import Keywords

if TYPE_CHECKING:
    from pandapower import pandapowerNet

WINDINGS = ("hv", "mv", "lv")
NEIGHBOUR = {"hv": ("hv", "mv"), "mv": ("mv", "lv"), "lv": ("hv", "lv")}  # windings that a vk_percent is measured at
RESONANT = 1e-9  # share of the largest admittance below which a sum of them counts as 0


@dataclass(frozen=True)
class Leg:
    """One winding's two-port, seen from the star."""

    side: str
    bus: int  # the net's own bus number
    vn_kv: float  # of that bus
    rated_kv: float
    rated_ka: float
    ratio: float  # the terminal's voltage over what the star sees of it, pu
    shift_degree: float
    series: complex  # admittance, pu
    half: complex  # of the magnetising branch, at either end
    is_closed: bool

    @property
    def hanging(self) -> complex:
        """Admittance that the star sees of a leg that is open at its terminal."""
        return self.half + self.series * self.half / (self.series + self.half)


def three_winding_branches(net: pandapowerNet, vn_kv: dict[int, float], active: set[int]) -> Iterator[Branch]:
    """Return every three-winding transformer in service; `vn_kv` by bus number, `active` the buses in service."""
    rows = Rows.of(net, "trafo3w")
    open_ends = open_switches(net, "t3", rows, tuple(f"{side}_bus" for side in WINDINGS))
    rows = rows.in_service()
    table = tap_table(net, rows)
    plates, taps = _plates(rows, table), _taps(rows, table)
    buses = {side: rows.labels(f"{side}_bus") for side in WINDINGS}
    for row, number in enumerate(rows.numbers_of_rows):
        title = rows.title(row)
        plate = {name: float(values[row]) for name, values in plates.items()}
        legs = []
        for side in WINDINGS:
            bus = buses[side][row]
            if bus not in vn_kv:
                raise InputError(f"{title} stands at bus {bus}, which net.bus does not have")
            if bus in active:
                levels = vn_kv[buses["hv"][row]], vn_kv[bus]
                is_closed = (number, f"{side}_bus") not in open_ends
                legs.append(_leg(plate, taps[row], side, bus, levels, is_closed))
        yield from _between_terminals(legs, number, title, plate)


def _plates(rows: Rows, table: StepTable) -> dict[str, np.ndarray]:
    """Read the rating plates, and what the legs of the star have of the impedances, in per cent of their own power."""
    each = [f"{name}_{side}_{unit}" for side in WINDINGS for name, unit in (("vn", "kv"), ("sn", "mva"))]
    plates = {name: rows.numbers(name) for name in each}
    for name, values in plates.items():
        rows.refuse_values(values < SMALLEST, name, values, "it must be above 0")
    measured = {}
    for side, (a, b) in NEIGHBOUR.items():
        vk, vkr = (table.instead_of(rows.numbers(name), name) for name in (f"vk_{side}_percent", f"vkr_{side}_percent"))
        rows.refuse_values(vk < SMALLEST, f"vk_{side}_percent", vk, "it must be above 0")
        why = f"it must lie in 0 to vk_{side}_percent"
        rows.refuse_values(np.abs(vkr) > vk, f"vkr_{side}_percent", vkr, why)
        to_hv_mva = plates["sn_hv_mva"] / np.minimum(plates[f"sn_{a}_mva"], plates[f"sn_{b}_mva"])
        measured[side] = (vkr + 1j * np.sqrt(np.maximum(vk**2 - vkr**2, 0.0))) * to_hv_mva
    for side, others in {"hv": ("lv", "mv"), "mv": ("hv", "lv"), "lv": ("mv", "hv")}.items():
        first, opposite = others
        whole = measured[side] + measured[first] - measured[opposite]
        z_percent = 0.5 * whole * plates[f"sn_{side}_mva"] / plates["sn_hv_mva"]
        left = f"no impedance left for its {side} winding"
        rows.refuse(np.abs(z_percent) < SMALLEST, partial(_always, left))
        plates |= {f"r_{side}": z_percent.real, f"x_{side}": z_percent.imag}
    pfe_kw = rows.numbers("pfe_kw")
    rows.refuse_values(pfe_kw < 0, "pfe_kw", pfe_kw, "it must be at least 0")
    plates |= {"pfe_kw": pfe_kw, "i0_percent": rows.numbers("i0_percent")}
    loss_sides = np.array([side or "hv" for side in rows.texts("loss_side")], object)
    plates |= {f"iron_{side}": (loss_sides == side).astype(float) for side in WINDINGS}
    plates["max_loading_percent"] = loading_limits(rows)
    return plates | {f"shift_{side}": rows.numbers(f"shift_{side}_degree", absent=0.0) for side in ("mv", "lv")}


def _always(text: str, row: int) -> str:
    return text


def _taps(rows: Rows, table: StepTable) -> list[dict[str, dict[str, Winding]]]:
    """Read what the tap changer does to each leg: by winding, then by the end of its leg."""
    kinds, sides = rows.texts("tap_changer_type"), rows.texts("tap_side")
    at_star = rows.flags("tap_at_star_point", absent=False)
    columns = (("pos", np.nan), ("neutral", np.nan), ("step_percent", 0.0), ("step_degree", 0.0))
    position, neutral, percent, degree = (
        rows.numbers(f"tap_{name}", absent=absent, or_empty=True) for name, absent in columns
    )
    found = []
    for row, (kind, side) in enumerate(zip(kinds, sides, strict=True)):
        legs = {winding: dict.fromkeys(SIDES, Winding()) for winding in WINDINGS}
        if kind and side and not (table and table.followed[row]):
            if side not in WINDINGS:
                raise InputError(f"{rows.title(row)} has tap_side = {side!r}; it must be hv, mv or lv")
            end = "hv" if (side == "hv") != bool(at_star[row]) else "lv"
            step = Step(float(position[row] - neutral[row]), float(percent[row]), float(degree[row]))
            legs[side] = tap_of(rows.title(row), "", kind, end, _from_star(step) if at_star[row] else step)
        found.append(legs)
    for row, ratio, turn in zip(table.row.tolist(), *of_step(table), strict=True) if table else ():
        side = sides[row]
        if side in WINDINGS:
            end = "hv" if (side == "hv") != bool(at_star[row]) else "lv"
            turned = turn if end == "hv" else -turn
            found[row][side][end] = Winding(1 / ratio, -turned) if at_star[row] else Winding(ratio, turned)
    return found


def _from_star(step: Step) -> Step:
    """Return the step at the star's end of a leg that does what this one does at the terminal."""
    if not math.isfinite(step.number):
        return step
    turned = step.percent * cmath.exp(1j * math.radians(step.degree))
    inverse = 100 * turned / (100 + turned * step.number)
    return Step(step.number, abs(inverse), math.degrees(cmath.phase(inverse)) - 180)


def _leg(
    plate: dict[str, float],
    taps: dict[str, dict[str, Winding]],
    side: str,
    bus: int,
    levels: tuple[float, float],
    is_closed: bool,
) -> Leg:
    r, x = plate[f"r_{side}"], plate[f"x_{side}"]
    iron = plate[f"iron_{side}"]
    two_windings = {
        "sn_mva": plate[f"sn_{side}_mva"],
        "vn_hv_kv": plate["vn_hv_kv"],
        "vn_lv_kv": plate[f"vn_{side}_kv"],
        "vk_percent": math.copysign(math.hypot(r, x), x),
        "vkr_percent": r,
        "pfe_kw": iron * plate["pfe_kw"],
        "i0_percent": iron * plate["i0_percent"],
        "shift_degree": plate.get(f"shift_{side}", 0.0),
        "parallel": 1.0,
        "df": 1.0,
    }
    ends = {"number": 0, "title": "", "from_bus": bus, "to_bus": bus}
    port = two_port(two_windings, [taps[side]], levels[0] / levels[1], **ends)
    toward_star = side == "hv"  # this leg alone has the star at its `to` end, where a two-port states its values
    seen = 1.0 if toward_star else port.ratio**2
    base_siemens = 1 / levels[1] ** 2
    return Leg(
        side=side,
        bus=bus,
        vn_kv=levels[1],
        rated_kv=plate[f"vn_{side}_kv"],
        rated_ka=plate[f"sn_{side}_mva"] / (math.sqrt(3) * plate[f"vn_{side}_kv"]),
        ratio=port.ratio if toward_star else 1 / port.ratio,
        shift_degree=port.shift_degree if toward_star else -port.shift_degree,
        series=1 / (port.z_ohm * base_siemens) / seen,
        half=port.y_siemens / 2 / base_siemens / seen,
        is_closed=is_closed,
    )


def _between_terminals(legs: list[Leg], number: int, title: str, plate: dict[str, float]) -> Iterator[Branch]:
    """Eliminate the star: a two-port for each pair of closed terminals, or what one alone draws."""
    closed = [leg for leg in legs if leg.is_closed]
    at_star = sum((leg.half if leg.is_closed else leg.hanging for leg in legs), 0j)
    total = sum((leg.series for leg in closed), at_star)
    if closed and abs(total) < RESONANT * max(abs(leg.series) for leg in closed):
        raise InputError(f"{title} has windings whose impedances resonate; check its vk and vkr in per cent")
    across = {leg.side: leg.half + leg.series * at_star / total for leg in closed}
    said = stated({name: plate[name] for name in (f"vn_{side}_kv" for side in WINDINGS)})
    common: Keywords = {
        "number": number,
        "title": title,
        "stated": said,
        "is_line": False,
        "is_equivalent": True,
        "max_loading_percent": plate["max_loading_percent"],
        "windings_of": number if len(closed) == 3 else None,
    }
    if len(closed) == 1:
        leg = closed[0]
        alone = across[leg.side] / leg.ratio**2 / leg.vn_kv**2
        yield Branch(from_bus=leg.bus, to_bus=leg.bus, z_ohm=1, from_siemens=alone, to_closed=False, **common)
    pairs = [(0, 1), (1, 2), (2, 0)] if len(closed) == 3 else [(0, 1)] if len(closed) == 2 else []
    for a, b in pairs:
        start, end = closed[a], closed[b]
        at_end = 1 / (end.ratio * end.vn_kv) ** 2  # siemens there for 1 pu at the star
        yield Branch(
            from_bus=start.bus,
            to_bus=end.bus,
            z_ohm=total / (start.series * end.series) / at_end,
            ratio=start.ratio / end.ratio,
            shift_degree=start.shift_degree - end.shift_degree,
            rated_ratio=start.rated_kv / end.rated_kv if len(pairs) == 3 else end.rated_ka / start.rated_ka,
            max_i_ka=end.rated_ka,
            from_siemens=across[start.side] * at_end,
            to_siemens=across[end.side] * at_end if len(pairs) == 1 else 0j,
            **common,
        )
