"""Two-winding transformers of a net as two-ports, from `hv_bus` to `lv_bus`.

With v_hv and v_lv the rated voltages, taps applied, s the rated power and n transformers in parallel::

    z = |z| from vk:  r = vkr/100 v_lv^2/s,  x = sqrt((vk/100 v_lv^2/s)^2 - r^2) with the sign of vk,  both over n
    y = n (pfe - j sqrt((i0/100 s)^2 - pfe^2)) / v_lv^2
    ratio = (v_hv / v_lv) / (vn_kv of hv_bus / vn_kv of lv_bus)

The magnetising branch y stands in the middle of z (``trafo_model="t"``, the default); as a pi with the same behaviour
this is ``z (1 + z y / 4)`` in series and ``y / (1 + z y / 4)`` across, half of it at each end. Where leakage ratios
put it elsewhere, the two ends differ, and what is across each is a shunt at its bus.

A tap away from neutral by d steps adds to the winding's voltage u, for ``Ratio`` and ``Symmetrical``,
``d step_percent/100 u`` at the angle ``step_degree``; ``Ideal`` turns it by ``d step_degree``, or by
``2 asin(d step_percent/200)``. A winding at lv turns the other way. Without a ``tap_changer_type``, or a ``tap_side``,
pandapower 3 applies no tap. One that follows a tap table (`step_tables.py`) takes vk, vkr, the factor on the rated
voltage and the turn from there, whatever its type. Source: pandapower 3.5, build_branch.py.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_pandapower.branches import Branch, loading_limits, open_switches, stated
from neomflex_jax.grid.from_pandapower.rows import Rows
from neomflex_jax.grid.from_pandapower.step_tables import StepTable, refuse_unlike_steps, step_table

if TYPE_CHECKING:
    from pandapower import pandapowerNet

SIDES = ("hv", "lv")


@dataclass(frozen=True)
class Step:
    """Where a tap changer stands: `number` of steps away from neutral, and what one step is."""

    number: float
    percent: float
    degree: float


@dataclass(frozen=True)
class Winding:
    """What taps do to one side: a factor on its rated voltage and a turn."""

    factor: float = 1.0
    shift_degree: float = 0.0


NAMEPLATE = ("sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "vkr_percent", "pfe_kw", "i0_percent")
LEAKAGE = ("leakage_resistance_ratio_hv", "leakage_reactance_ratio_hv")  # shares of r and x before the iron
OPTIONAL = {"shift_degree": 0.0, "parallel": 1.0, "df": 1.0}
SMALLEST = 1e-12  # of what must be above 0 and is divided by
POSITIVE = ("sn_mva", "vn_hv_kv", "vn_lv_kv", "parallel", "df")


def transformer_branches(net: pandapowerNet, vn_kv: dict[int, float]) -> Iterator[Branch]:
    """Return every two-winding transformer: those in service, then those out of service; `vn_kv` by bus number."""
    rows = Rows.of(net, "trafo")
    open_ends = open_switches(net, "t", rows, ("hv_bus", "lv_bus"))
    for part, closed in ((_checked(net, rows.in_service()), True), (_sound(rows.out_of_service()), False)):
        table = tap_table(net, part)
        taps = [_taps(part, tap, table if tap == "" else None) for tap in ("", "2")]
        plates, limits = _plates(part, table), loading_limits(part)
        ends = zip(part.numbers_of_rows, part.labels("hv_bus"), part.labels("lv_bus"), strict=True)
        for row, (number, hv_bus, lv_bus) in enumerate(ends):
            yield two_port(
                {name: float(values[row]) for name, values in plates.items()},
                [tap[row] for tap in taps],
                level_ratio=vn_kv.get(hv_bus, math.nan) / vn_kv.get(lv_bus, math.nan),
                number=number,
                title=part.title(row),
                from_bus=hv_bus,
                to_bus=lv_bus,
                max_loading_percent=float(limits[row]),
                from_closed=closed and (number, "hv_bus") not in open_ends,
                to_closed=closed and (number, "lv_bus") not in open_ends,
            )


def tapped_lv_kv(net: pandapowerNet, rows: Rows) -> np.ndarray:
    """Rated voltages of the low-voltage windings, taps applied, (n_row,)."""
    table = tap_table(net, rows)
    first, second = (_taps(rows, tap, table if tap == "" else None) for tap in ("", "2"))
    factors = [one["lv"].factor * other["lv"].factor for one, other in zip(first, second, strict=True)]
    return rows.numbers("vn_lv_kv") * np.array(factors, float)


def tap_table(net: pandapowerNet, rows: Rows) -> StepTable:
    """Find the lines of the net's tap tables at which transformers stand; those out of service follow none."""
    if rows.lenient:
        rows = rows.where(np.zeros(len(rows), bool))
    found = step_table(net, rows, "tap_dependency_table", "tap_pos", "trafo_characteristic_table")
    refuse_unlike_steps(rows, found)
    return found


def _plates(rows: Rows, table: StepTable | None = None) -> dict[str, np.ndarray]:
    optional = {name: rows.numbers(name, absent=value) for name, value in OPTIONAL.items()}
    shares = {name: rows.numbers(name, absent=0.5, or_empty=True) for name in LEAKAGE}
    plates = {name: rows.numbers(name) for name in NAMEPLATE}
    if table:
        plates |= {name: table.instead_of(plates[name], name) for name in ("vk_percent", "vkr_percent")}
    return plates | optional | shares


def two_port(plate: dict[str, float], taps: list[dict[str, Winding]], level_ratio: float, **ends: Any) -> Branch:
    """Make a branch of a rating plate; `level_ratio` is `vn_kv` of the high-voltage bus over that of the other."""
    v_hv = plate["vn_hv_kv"] * math.prod(tap["hv"].factor for tap in taps)
    v_lv = plate["vn_lv_kv"] * math.prod(tap["lv"].factor for tap in taps)
    s_mva, parallel = plate["sn_mva"], plate["parallel"]
    r, z = (plate[name] / 100 * v_lv**2 / s_mva for name in ("vkr_percent", "vk_percent"))
    z_ohm = complex(r, math.copysign(math.sqrt(max(z**2 - r**2, 0.0)), z)) / parallel
    p_iron_mw = plate["pfe_kw"] * 1e-3
    q_magnetising_mvar = math.sqrt(max((plate["i0_percent"] / 100 * s_mva) ** 2 - p_iron_mw**2, 0.0))
    y_siemens = complex(p_iron_mw, -q_magnetising_mvar) / v_lv**2 * parallel
    shares = [plate.get(name, 0.5) for name in LEAKAGE]
    z_hv_ohm = complex(z_ohm.real * shares[0], z_ohm.imag * shares[1])
    series_ohm, across_siemens, from_siemens, to_siemens = _pi(z_ohm, y_siemens, z_hv_ohm)
    return Branch(
        z_ohm=series_ohm,
        y_siemens=across_siemens,
        from_siemens=from_siemens,
        to_siemens=to_siemens,
        ratio=v_hv / v_lv / level_ratio,
        shift_degree=plate["shift_degree"] + sum(tap[side].shift_degree for tap in taps for side in SIDES),
        rated_ratio=plate["vn_hv_kv"] / plate["vn_lv_kv"],
        max_i_ka=s_mva * plate["df"] * parallel / (math.sqrt(3) * plate["vn_lv_kv"]),
        stated=stated({name: plate[name] for name in ("vk_percent", "vkr_percent", "sn_mva", "vn_hv_kv", "vn_lv_kv")}),
        is_line=False,
        **ends,
    )


def _pi(z: complex, y: complex, z_hv: complex) -> tuple[complex, complex, complex, complex]:
    """Return the pi of a T with y after the part `z_hv` of z.

    Returns
    -------
    series, across, at_hv, at_lv
        Series impedance, the admittance that both ends share by halves, and what each has of its own.
    """
    if z_hv == z / 2:
        wye_to_delta = 1 + z * y / 4
        return z * wye_to_delta, y / wye_to_delta, 0j, 0j
    z_lv = z - z_hv
    series = z + z_hv * z_lv * y
    return series, 0j, z_lv * y / series, z_hv * y / series


def _checked(net: pandapowerNet, rows: Rows) -> Rows:
    plates = _plates(rows, tap_table(net, rows))
    for name in LEAKAGE:
        rows.refuse_values((plates[name] < 0) | (plates[name] > 1), name, plates[name], "it must lie in 0 to 1")
    for name in POSITIVE:
        rows.refuse_values(plates[name] < SMALLEST, name, plates[name], "it must be above 0")
    rows.refuse_values(plates["pfe_kw"] < 0, "pfe_kw", plates["pfe_kw"], "it must be at least 0")
    vk, vkr = np.abs(plates["vk_percent"]), plates["vkr_percent"]
    rows.refuse_values(vk < SMALLEST, "vk_percent", vk, "it must not be 0")
    why = "it must lie in 0 to vk_percent"  # or, in the equivalent of a network, below 0
    rows.refuse(np.abs(vkr) > vk, lambda row: f"vkr_percent = {vkr[row]:.15g}; {why} = {vk[row]:.15g}")
    if "tap_phase_shifter" in rows.frame and "tap_changer_type" not in rows.frame and len(rows):
        raise InputError("net.trafo has tap_phase_shifter of pandapower 2; pandapower.convert_format(net) updates it")
    return rows


def _sound(rows: Rows) -> Rows:
    """Return the transformers that would be branches if they were in service."""
    plates = _plates(rows)
    sound = np.all([np.isfinite(values) for values in plates.values()], axis=0) & (plates["vk_percent"] != 0)
    return rows.where(sound & np.all([plates[name] > 0 for name in POSITIVE], axis=0), lenient=True)


def _taps(rows: Rows, tap: str, table: StepTable | None) -> list[dict[str, Winding]]:
    """Read what tap changer `tap` ("" or "2") does to the windings of each transformer."""
    kinds, sides = rows.texts(f"tap{tap}_changer_type"), rows.texts(f"tap{tap}_side")
    position, neutral, percent, degree = (
        rows.numbers(f"tap{tap}_{name}", absent=absent, or_empty=True)
        for name, absent in (("pos", np.nan), ("neutral", np.nan), ("step_percent", 0.0), ("step_degree", 0.0))
    )
    found = []
    for row, (kind, side) in enumerate(zip(kinds, sides, strict=True)):
        step = Step(float(position[row] - neutral[row]), float(percent[row]), float(degree[row]))
        title = "" if rows.lenient else rows.title(row)
        by_itself = kind and side and not (table and table.followed[row])
        found.append(tap_of(title, tap, kind, side, step) if by_itself else dict.fromkeys(SIDES, Winding()))
    if table and "tap_changer_type" in rows.frame:
        for row, ratio, turn in zip(table.row.tolist(), *of_step(table), strict=True):
            if sides[row] in SIDES:
                found[row][sides[row]] = Winding(ratio, turn if sides[row] == "hv" else -turn)
    return found


def of_step(table: StepTable) -> tuple[list[float], list[float]]:
    """Return what the lines of a tap table do to the rated voltage of a winding: factors, and turns in degrees."""
    ratio, degree = table.lines.numbers("voltage_ratio"), table.lines.numbers("angle_deg")
    table.lines.refuse_values(ratio <= 0, "voltage_ratio", ratio, "it must be above 0")
    return ratio.tolist(), degree.tolist()


def tap_of(title: str, tap: str, kind: str, side: str, step: Step) -> dict[str, Winding]:
    """Return what a tap changer does to each winding; an unsound one is refused, or does nothing without a title."""
    windings = dict.fromkeys(SIDES, Winding())
    defect = _tap_defect(tap, kind, side, step)
    if defect and title:
        raise InputError(f"{title} has {defect}")
    if not defect and math.isfinite(step.number):
        windings[side] = CHANGERS[kind](step, 1.0 if side == "hv" else -1.0)
    return windings


def _tap_defect(tap: str, kind: str, side: str, step: Step) -> str | None:
    if side not in SIDES:
        return f"tap{tap}_side = {side!r}; it must be hv or lv"
    if kind not in CHANGERS:
        return f"tap{tap}_changer_type = {kind!r}; modelled are {', '.join(sorted(CHANGERS))} and none"
    if kind == "Ideal" and step.percent and step.degree:
        return f"tap{tap}_step_percent and tap{tap}_step_degree at an Ideal tap changer; one of them must be 0"
    if kind == "Ideal" and not math.isfinite(step.number):
        return f"an Ideal tap changer without tap{tap}_pos or tap{tap}_neutral"
    if abs(step.number * step.percent) >= 100:
        return f"a tap{tap}_pos that changes the voltage by all of it or more"
    return None


def _voltage_step(step: Step, direction: float) -> Winding:
    turned = 1 + step.number * step.percent / 100 * cmath.exp(1j * math.radians(step.degree))
    return Winding(abs(turned), direction * math.degrees(cmath.phase(turned)))


def _turn(step: Step, direction: float) -> Winding:
    if step.degree:
        return Winding(shift_degree=direction * step.number * step.degree)
    return Winding(shift_degree=direction * math.degrees(2 * math.asin(step.number * step.percent / 200)))


CHANGERS = {"Ratio": _voltage_step, "Symmetrical": _voltage_step, "Ideal": _turn}
