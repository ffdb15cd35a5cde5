"""Lines and switches of a net as two-ports, and what an element leaves behind that hangs open.

A line of length l and n parallel systems: ``z = (r + jx) l / n``, ``y = (g + j 2 pi f c) l n``. An open end carries no
current, so that a two-port that hangs on one end is the shunt ``y/2 + (y/2) / (1 + z y/2)`` there, seen through
the ratio at the `from` end. A bus-bus switch with ``z_ohm`` is a branch of r/x = 2, `runpp`'s default.
Source: pandapower 3.5, build_branch.py.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.checks import SAME_LEVEL, SLIGHTLY
from neomflex_jax.grid.from_pandapower.rows import Rows

if TYPE_CHECKING:
    from pandapower import pandapowerNet

NO_RATING_KA = 9999.0  # from here on a rating is a placeholder: pandapower's nets hold 99999 where none is known
SWITCH_R_OVER_X = 2.0
MOST_NEGATIVE = 2.0  # of r over |x|: lines of reduced networks, case145's say, have r down to -|x|


@dataclass(frozen=True)
class Branch:
    """A two-port between two buses of the net, in the terms of `grid.feeder`."""

    number: int  # of the element, in its table
    title: str
    from_bus: int  # the net's own bus number
    to_bus: int
    z_ohm: complex
    y_siemens: complex = 0.0
    back_z_ohm: complex | None = None  # as seen from the `to` end, where that is another
    ratio: float = 1.0
    shift_degree: float = 0.0
    rated_ratio: float = 1.0
    max_i_ka: float = math.nan
    max_loading_percent: float = math.nan
    stated: str = ""  # what the net says of it: the columns that its impedance and ratio come from
    is_line: bool = True
    is_equivalent: bool = False  # of something with more than two ends; by itself it may have r below 0
    windings_of: int | None = None  # number of the three-winding transformer, all closed, that it is one of three of
    from_siemens: complex = 0.0  # what that end has beyond y/2, at the voltage level of the `to` bus
    to_siemens: complex = 0.0
    from_closed: bool = True
    to_closed: bool = True

    @property
    def may_have_negative_r(self) -> bool:
        """True for what is no plain line: a transformer, an equivalent, a line of a reduced network."""
        return not self.is_line or self.z_ohm.real < -SLIGHTLY * abs(self.z_ohm.imag)

    @property
    def is_closed(self) -> bool:
        """True if both ends are connected."""
        return self.from_closed and self.to_closed

    def hanging_siemens(self) -> complex:
        """Return the admittance, at the voltage level of the `to` bus, that the one closed end sees."""
        near, far = self.y_siemens / 2 + self.from_siemens, self.y_siemens / 2 + self.to_siemens
        if self.to_closed:
            near, far = far, near
        return near + far / (1 + self.z_ohm * far)

    def short_siemens(self) -> complex:
        """Return the admittance, at the voltage level of the `to` bus, of the branch with both ends at one bus."""
        n = self.ratio * cmath.exp(1j * math.radians(self.shift_degree))
        half = self.y_siemens / 2
        from_end, to_end = (half + self.from_siemens) / self.ratio**2, half + self.to_siemens
        return from_end + to_end + abs(1 - 1 / n) ** 2 / self.z_ohm

    def defect(self, vn_kv: dict[int, float]) -> str | None:
        """Return why this cannot be a branch of a feeder, as the end of "... has"; None if it can."""
        if self.is_line and abs(vn_kv[self.from_bus] / vn_kv[self.to_bus] - 1) > SAME_LEVEL:
            return f"ends of {vn_kv[self.from_bus]:g} and {vn_kv[self.to_bus]:g} kV; it needs one voltage level"
        both_z_ohm = self.z_ohm, self.z_ohm if self.back_z_ohm is None else self.back_z_ohm
        if not (np.isfinite([*both_z_ohm, self.y_siemens]).all() and math.isfinite(self.shift_degree)):
            return f"an impedance or admittance that is not finite, by its {self.stated}"
        smaller = min(both_z_ohm, key=abs)  # 0 from either end is none
        r, x = smaller.real, smaller.imag
        if (self.is_line and r < -MOST_NEGATIVE * abs(x)) or r == x == 0:
            advice = "r may not be far below 0, nor both 0 (a closed bus-bus switch joins two buses without impedance)"
            return f"an impedance of r = {r:g} and x = {x:g} ohm, by its {self.stated}; {advice}"
        if not 0.5 <= self.ratio <= 2:
            levels = f"{vn_kv[self.from_bus]:g} and {vn_kv[self.to_bus]:g} kV"
            advice = f"its vn_hv_kv and vn_lv_kv must fit the vn_kv of its buses, {levels}"
            return f"an off-nominal ratio of {self.ratio:g}, by its {self.stated}; {advice}"
        return None


def line_branches(net: pandapowerNet) -> Iterator[Branch]:
    """Return every line: those in service, then those out of service."""
    rows = Rows.of(net, "line")
    f_hz = net.get("f_hz", 50.0)
    if not isinstance(f_hz, int | float) or not f_hz > 0:
        raise InputError(f"net.f_hz = {f_hz!r}; it must be a number above 0")
    open_ends = open_switches(net, "l", rows, ("from_bus", "to_bus"))
    for part, closed in ((rows.in_service(), True), (rows.out_of_service(), False)):
        length_km, parallel = part.numbers("length_km"), part.numbers("parallel", absent=1.0)
        if closed:
            part.refuse_values(parallel <= 0, "parallel", parallel, "it must be above 0")
        parallel[parallel <= 0] = np.nan
        per_km = {name: part.numbers(name) for name in ("r_ohm_per_km", "x_ohm_per_km")}
        r_ohm, x_ohm = (values * length_km / parallel for values in per_km.values())
        capacitance_f = part.numbers("c_nf_per_km") * 1e-9 * length_km * parallel
        g_us = part.numbers("g_us_per_km", absent=0.0)
        if closed:
            part.refuse_values(g_us < 0, "g_us_per_km", g_us, "it must be at least 0")
        g_siemens = g_us * 1e-6 * length_km * parallel
        b_siemens = 2 * math.pi * f_hz * capacitance_f
        rating_ka = part.numbers("max_i_ka", absent=np.nan, or_empty=True, or_infinite=True)
        derating = part.numbers("df", absent=1.0, or_empty=True)
        rated = (rating_ka > 0) & (rating_ka < NO_RATING_KA) & (derating > 0)
        max_i_ka = np.where(rated, rating_ka * derating * parallel, np.nan)
        limits = loading_limits(part)
        ends = zip(part.numbers_of_rows, part.labels("from_bus"), part.labels("to_bus"), strict=True)
        for row, (number, from_bus, to_bus) in enumerate(ends):
            yield Branch(
                number=number,
                title=part.title(row),
                from_bus=from_bus,
                to_bus=to_bus,
                z_ohm=complex(r_ohm[row], x_ohm[row]),
                y_siemens=complex(g_siemens[row], b_siemens[row]),
                max_i_ka=float(max_i_ka[row]),
                max_loading_percent=float(limits[row]),
                stated=stated({name: values[row] for name, values in per_km.items()} | {"length_km": length_km[row]}),
                from_closed=closed and (number, "from_bus") not in open_ends,
                to_closed=closed and (number, "to_bus") not in open_ends,
            )


def loading_limits(rows: Rows) -> np.ndarray:
    """Limits of the loading, per cent of the ratings; NaN where none is stated: they say nothing of a power flow."""
    limits = rows.numbers("max_loading_percent", absent=np.nan, or_empty=True, or_infinite=True)
    return np.where((limits > 0) & np.isfinite(limits), limits, np.nan)


def stated(columns: dict[str, float]) -> str:
    """Write what columns of a row say."""
    return ", ".join(f"{name} = {value:g}" for name, value in columns.items())


def switch_branches(net: pandapowerNet) -> Iterator[Branch]:
    """Return the closed bus-bus switches that have an impedance."""
    rows = Rows.of(net, "switch")
    rows = rows.where(np.array([kind == "b" for kind in rows.texts("et")], bool) & rows.flags("closed"))
    z_ohm = rows.numbers("z_ohm", absent=0.0)
    angle = math.atan2(1.0, SWITCH_R_OVER_X)
    for row, (from_bus, to_bus) in enumerate(zip(rows.labels("bus"), rows.labels("element"), strict=True)):
        if z_ohm[row] > 0:
            impedance = z_ohm[row] * complex(math.cos(angle), math.sin(angle))
            number = rows.numbers_of_rows[row]
            yield Branch(
                number=number,
                title=rows.title(row),
                from_bus=from_bus,
                to_bus=to_bus,
                z_ohm=impedance,
                stated=stated({"z_ohm": z_ohm[row]}),
            )


def open_switches(net: pandapowerNet, kind: str, elements: Rows, ends: tuple[str, ...]) -> set[tuple[int, str]]:
    """Find the ends (number of the element, column of the bus) at which an open switch of that kind stands."""
    switches = Rows.of(net, "switch")
    of_kind = np.array([value == kind for value in switches.texts("et")], bool)
    switches = switches.where(of_kind & ~switches.flags("closed"))
    known = elements.where(np.ones(len(elements), bool), lenient=True)
    at = {end: dict(zip(known.numbers_of_rows, known.labels(end), strict=True)) for end in ends}
    found = set()
    for row, (bus, element) in enumerate(zip(switches.labels("bus"), switches.labels("element"), strict=True)):
        end = next((end for end in ends if at[end].get(element) == bus), None)
        if end is None:
            raise InputError(
                f"{switches.title(row)} stands at bus {bus} of {elements.table} {element}, which does not end there"
            )
        found.add((element, end))
    return found
