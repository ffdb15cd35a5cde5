"""The whole net: what is balanced is read as for a balanced feeder, and the other sequences beside it."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.files.digest import file_sha256
from neomflex_jax.grid.from_pandapower.branches import Branch
from neomflex_jax.grid.from_pandapower.convert import Grid, opened, read_grid, refuse_unsupplied
from neomflex_jax.grid.from_pandapower.rows import Rows
from neomflex_jax.grid.from_pandapower.with_phases.loads import read_loads
from neomflex_jax.grid.from_pandapower.with_phases.sequences import between_phases, seen_from, two_port
from neomflex_jax.grid.from_pandapower.with_phases.sources import read_sources
from neomflex_jax.grid.from_pandapower.with_phases.zero_sequence import WITHOUT, zero_lines, zero_transformers
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.grid.unbalanced.circuit import Circuit
from neomflex_jax.grid.unbalanced.element import Element
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.grid.unbalanced.grounding import check_grounded

if TYPE_CHECKING:
    from pandapower import pandapowerNet

BALANCED_ONLY = (
    *("trafo3w", "impedance", "shunt", "svc", "tcsc", "gen", "dcline", "storage", "motor", "ward", "xward"),
)
ZERO_SEQUENCE = {"line": ("r0_ohm_per_km",), "trafo": ("vk0_percent", "vector_group"), "ext_grid": ("x0x_max",)}


def has_phases(net: pandapowerNet) -> bool:
    """True for a net or ``net.json`` with asymmetric loads or sgens in service and any zero-sequence data."""
    with opened(net) as (found, _):
        unequal = any(len(Rows.of(found, f"asymmetric_{table}").in_service()) for table in ("load", "sgen"))
        return unequal and any(
            name in Rows.of(found, table).frame and Rows.of(found, table).frame[name].notna().any()
            for table, names in ZERO_SEQUENCE.items()
            for name in names
        )


def read_unbalanced(net: pandapowerNet, *, strict: bool = True) -> UnbalancedFeeder:
    """Read a net, or the ``net.json`` at a path, with its phases, without changing it.

    Parameters
    ----------
    strict
        False leaves out what nothing connects to an external grid; otherwise it is refused.

    Raises
    ------
    InputError
        If the net holds something that is not modelled or not sound, naming the element and what to do.
    """
    with opened(net) as (found, name):
        _refuse_balanced_only(found)
        grid = read_grid(found)
        if strict:
            refuse_unsupplied(grid)
        feeder = _feeder(grid, name)
        check_grounded(feeder)
    return replace(feeder, circuit=_circuit(net))


def _circuit(net: object) -> Circuit | None:
    """Return where the net lies, for a referee that has pandapower read it again; None for one in memory."""
    if not isinstance(net, str | Path):
        return None
    path = Path(net).resolve()
    return Circuit(path, file_sha256(path))


def _refuse_balanced_only(net: pandapowerNet) -> None:
    for table in BALANCED_ONLY:
        rows = Rows.of(net, table)
        if len(rows) and len(rows := rows.in_service()):
            raise InputError(f"{rows.title(0)} is not modelled with phases; take it out of service, or {WITHOUT}")
    rows = Rows.of(net, "switch")
    ohm = rows.numbers("z_ohm", absent=0.0, or_empty=True)
    closed = np.array([kind == "b" for kind in rows.texts("et")], bool) & rows.flags("closed")
    rows.refuse_values(closed & (ohm > 0), "z_ohm", ohm, f"with phases a switch has none; set it to 0, or {WITHOUT}")


def _feeder(grid: Grid, name: str) -> UnbalancedFeeder:
    labels = sorted(grid.supplied)
    place = {label: 3 * row for row, label in enumerate(labels)}
    first_node = {bus: place[label] for bus, label in grid.electrical.items() if label in place}
    sources = tuple(read_sources(grid.net, first_node, grid.vn_kv))
    at: dict[int, str] = {}
    for source in sources:
        here, title = source.element.nodes[0], source.element.name
        if here in at:
            raise InputError(f"{at[here]} and {title} stand at one bus, which says nothing of either; keep one")
        at[here] = title
    return UnbalancedFeeder(
        name=name,
        nodes=Nodes(
            tuple(f"{label}.{phase}" for label in labels for phase in (1, 2, 3)),
            tuple(str(label) for label in labels for _ in range(3)),
        ),
        v_base_kv=np.repeat(grid.vn_of(labels), 3) / np.sqrt(3),
        elements=tuple(_elements(grid, first_node)),
        sources=sources,
        loads=tuple(read_loads(grid.net, first_node, grid.vn_kv)),
        frequency_hz=float(grid.net.get("f_hz", 50.0)),
    )


def _elements(grid: Grid, first_node: Mapping[int, int]) -> Iterator[Element]:
    """Walk through the lines and transformers that are closed at an end that is supplied."""
    transformers = [branch for branch in grid.branches if not branch.is_line]
    zero = {
        True: zero_lines(grid.net),
        False: zero_transformers(
            grid.net,
            {one.number: _levels(one, grid.vn_kv) for one in transformers},
            {one.number: _ratio(one) for one in transformers},
        ),
    }
    for branch in grid.branches:
        ends = branch.from_bus in first_node, branch.to_bus in first_node
        closed = branch.from_closed and ends[0], branch.to_closed and ends[1]
        if not any(closed):
            continue
        defect = branch.defect(grid.vn_kv)
        if defect:
            raise InputError(f"{branch.title} has {defect}")
        positive = _positive(branch, grid.vn_kv)
        y = np.array(
            [zero[branch.is_line][branch.number], positive, positive.T]
        )  # of the other turn in the negative sequence
        if not all(closed):
            y = seen_from(y, 0 if closed[0] else 1)
        buses = [bus for bus, is_closed in zip((branch.from_bus, branch.to_bus), closed, strict=True) if is_closed]
        nodes = tuple(first_node[bus] + phase for bus in buses for phase in range(3))
        kept = [3 * end + phase for end in (0, 1) if closed[end] for phase in range(3)]
        admittance = between_phases(y)[np.ix_(kept, kept)]
        kind = "line" if branch.is_line else "trafo"
        rating_ka = branch.max_i_ka / (branch.rated_ratio if closed[0] else 1.0)  # of the first end that is closed
        yield Element(f"{kind}.{branch.number}", nodes, len(buses), admittance, rating_ka)


def _positive(branch: Branch, vn_kv: Mapping[int, float]) -> np.ndarray:
    half = branch.y_siemens / 2
    ends = half + branch.from_siemens, half + branch.to_siemens
    return two_port(branch.z_ohm, *ends, _ratio(branch), _levels(branch, vn_kv))


def _ratio(branch: Branch) -> complex:
    return cmath.rect(branch.ratio, math.radians(branch.shift_degree))


def _levels(branch: Branch, vn_kv: Mapping[int, float]) -> float:
    """Nominal voltage of the `to` end over that of the `from` end."""
    return vn_kv[branch.to_bus] / vn_kv[branch.from_bus]
