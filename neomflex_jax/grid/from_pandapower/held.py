"""What holds the voltage of a bus: external grids, generators and the ends of DC lines.

All at one electrical bus are one, as in `pandapower.runpp`: their active powers and limits of q add up, and their
voltages must agree. Of external grids there the feeder knows the sum, which pandapower shares out among them equally.
Where an external grid stands, it holds the bus, and a generator beside it is a producer of its p. A DC line takes its
p from one end and gives ``|p| (1 - loss_percent/100) - loss_mw`` at the other, each end a generator. Angles count from
the first external grid. Source: pandapower 3.5, build_gen.py and auxiliary.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.columns import Held
from neomflex_jax.grid.from_pandapower.rows import Rows

if TYPE_CHECKING:
    from pandapower import pandapowerNet

NO_LIMIT_MVAR = 1e9
SAME_VOLTAGE = 1e-9  # relative difference up to which two set-points are one


@dataclass(frozen=True)
class Source:
    """Something that holds a bus of the net at a voltage."""

    title: str
    bus: int  # the net's own bus number
    vm_pu: float
    p_mw: float = 0.0
    va_degree: float | None = None  # of an external grid
    q_min_mvar: float = float("nan")  # NaN: no limit
    q_max_mvar: float = float("nan")


def slacks_of(net: pandapowerNet) -> list[Source]:
    """Find the external grids in service, generators that are a slack among them, the first one first."""
    found = []
    for table in ("ext_grid", "gen"):
        rows = Rows.of(net, table).in_service()
        if table == "gen":
            rows = rows.where(rows.flags("slack", absent=False))
        vm_pu = set_points(rows, "vm_pu")
        angles = np.zeros(len(rows)) if table == "gen" else rows.numbers("va_degree", absent=0.0, or_empty=True)
        for row, bus in enumerate(rows.labels("bus")):
            found.append(Source(rows.title(row), bus, float(vm_pu[row]), va_degree=float(angles[row])))
    if not found:
        raise InputError("a feeder has a slack; external grids in service: none. Put one into service")
    return found


def generators_of(net: pandapowerNet) -> Iterator[Source]:
    """Walk through what holds a bus at a voltage and gives p."""
    rows = Rows.of(net, "gen").in_service()
    rows = rows.where(~rows.flags("slack", absent=False))
    vm_pu, p_mw = set_points(rows, "vm_pu"), rows.numbers("p_mw") * rows.numbers("scaling", absent=1.0)
    q_min, q_max = (_limits(rows, name) for name in ("min_q_mvar", "max_q_mvar"))
    for row, bus in enumerate(rows.labels("bus")):
        limits = {"q_min_mvar": q_min[row], "q_max_mvar": q_max[row]}
        yield Source(rows.title(row), bus, float(vm_pu[row]), float(p_mw[row]), **limits)
    rows = Rows.of(net, "dcline").in_service()
    given_mw, lost_mw, share = (rows.numbers(name) for name in ("p_mw", "loss_mw", "loss_percent"))
    arriving_mw = np.abs(given_mw) * (1 - share / 100) - lost_mw
    for end, leads in (("to", given_mw > 0), ("from", ~(given_mw > 0))):
        vm_pu = set_points(rows, f"vm_{end}_pu")
        p_mw = np.where(leads, arriving_mw, -np.abs(given_mw))
        q_min, q_max = (_limits(rows, name) for name in (f"min_q_{end}_mvar", f"max_q_{end}_mvar"))
        for row, bus in enumerate(rows.labels(f"{end}_bus")):
            limits = {"q_min_mvar": q_min[row], "q_max_mvar": q_max[row]}
            yield Source(rows.title(row), bus, float(vm_pu[row]), float(p_mw[row]), **limits)


def _limits(rows: Rows, column: str) -> list[float]:
    """Limits of q in Mvar, NaN where there is none: pandapower's largest number means that too."""
    limits = rows.numbers(column, absent=np.nan, or_empty=True, or_infinite=True)
    return np.where(np.abs(limits) < NO_LIMIT_MVAR, limits, np.nan).tolist()


def held_buses(slacks: list[Source], generators: list[Source], label_of: dict[int, int]) -> tuple[list[Held], float]:
    """Join what holds the same bus, of those at the buses of `label_of`.

    Returns
    -------
    held, p_mw
        What is held beside the first slack's bus, and what generators produce at that one.
    """
    at: dict[int, list[Source]] = {}
    for source in (*slacks, *generators):
        if source.bus in label_of:
            at.setdefault(label_of[source.bus], []).append(source)
    held, beside_mw, first = [], 0.0, slacks[0]
    for label, sources in at.items():
        leader = sources[0]
        for other in sources[1:]:
            if abs(other.vm_pu / leader.vm_pu - 1) > SAME_VOLTAGE:
                raise InputError(
                    f"{leader.title} and {other.title} hold one bus, {label}, at {leader.vm_pu:g} and {other.vm_pu:g} "
                    "pu; give them one voltage"
                )
            if None not in (leader.va_degree, other.va_degree) and leader.va_degree != other.va_degree:
                raise InputError(
                    f"{leader.title} and {other.title} hold one bus, {label}, at {leader.va_degree:g} and "
                    f"{other.va_degree:g} degrees; give them one angle"
                )
        p_mw = sum(source.p_mw for source in sources)
        if leader is first:
            beside_mw = p_mw
        elif leader.va_degree is None:
            limits = {name: sum(getattr(source, name) for source in sources) for name in ("q_min_mvar", "q_max_mvar")}
            held.append(Held(label, leader.vm_pu, p_mw, **limits))
        else:
            held.append(Held(label, leader.vm_pu, p_mw, leader.va_degree - (first.va_degree or 0.0)))
    return sorted(held), beside_mw


def set_points(rows: Rows, column: str) -> np.ndarray:
    """Return the voltages at which rows hold their buses, pu."""
    vm_pu = rows.numbers(column)
    rows.refuse_values((vm_pu < 0.5) | (vm_pu > 1.5), column, vm_pu, "it must lie in 0.5 to 1.5")
    return vm_pu
