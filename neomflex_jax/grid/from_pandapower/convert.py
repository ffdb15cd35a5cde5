"""From the parts of a net to a feeder's columns; what is modelled and left out is said in the package's docstring."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError
from neomflex_jax.grid.columns import FeederColumns
from neomflex_jax.grid.from_pandapower.branches import Branch, line_branches, switch_branches
from neomflex_jax.grid.from_pandapower.buses import bus_levels, check_buses, fuse, supplied_from
from neomflex_jax.grid.from_pandapower.elements import Consumers, drawn_by, elements_of
from neomflex_jax.grid.from_pandapower.extended_wards import inner_branches, inner_buses, inner_sources
from neomflex_jax.grid.from_pandapower.facts import svc_sources, tcsc_branches
from neomflex_jax.grid.from_pandapower.held import Source, generators_of, held_buses, slacks_of
from neomflex_jax.grid.from_pandapower.ignored import ignored_inputs
from neomflex_jax.grid.from_pandapower.impedances import impedance_branches
from neomflex_jax.grid.from_pandapower.json_file import read_net
from neomflex_jax.grid.from_pandapower.rated_ends import rated_ends, without_partial_ratings
from neomflex_jax.grid.from_pandapower.refusals import refuse_unsupported
from neomflex_jax.grid.from_pandapower.rows import Rows
from neomflex_jax.grid.from_pandapower.shunts import shunts_of
from neomflex_jax.grid.from_pandapower.three_windings import three_winding_branches
from neomflex_jax.grid.from_pandapower.transformers import transformer_branches
from neomflex_jax.grid.from_pandapower.unsupplied import Unsupplied, unsupplied_at, unsupplied_texts
from neomflex_jax.grid.from_pandapower.voltage_dependence import voltage_shares
from neomflex_jax.grid.parts import OwnDevices

if TYPE_CHECKING:
    from pandapower import pandapowerNet

MOST_NAMED = 4  # of what is left out


def read_columns(
    net: pandapowerNet, name: str | None = None, *, islands: bool = False, strict: bool = True
) -> FeederColumns:
    """Read a pandapower net, or the ``net.json`` at a path, without changing it.

    What the net states and its power flow leaves out (a tap of no kind, a load at a dead bus) is warned of.

    Parameters
    ----------
    islands, strict
        As in `Feeder.from_pandapower`.

    Raises
    ------
    InputError
        If the net holds something that is not modelled or not sound, naming the element and what to do; if a file is
        none that `pandapower.to_json` writes, naming the file.
    """
    with opened(net) as (found, own_name):
        grid = read_grid(found, strict)
        if strict:
            _refuse_several_slacks(grid, islands)
        columns = _columns(grid, name or own_name)
        if strict:
            refuse_unsupplied(grid)
        ignored = [*unsupplied_texts(grid.unsupplied), *ignored_inputs(found)]
        _warn_of(ignored, str(net) if isinstance(net, str | Path) else f"pandapower net {own_name!r}")
    return replace(columns, source=_source(net))


def _warn_of(ignored: list[str], where: str) -> None:
    if ignored:
        more = f"; and {len(ignored) - MOST_NAMED} more like these" if len(ignored) > MOST_NAMED else ""
        said = "; ".join(ignored[:MOST_NAMED]) + more
        warnings.warn(f"{where}: states what its power flow leaves out: {said}", stacklevel=4)


def fused_buses(net: pandapowerNet) -> dict[int, int]:
    """Return, for every supplied bus of a pandapower net or ``net.json``, the label of the feeder's bus it became."""
    with opened(net) as (found, _):
        grid, own = read_grid(found), set(Rows.of(found, "bus").numbers_of_rows)
        return {bus: label for bus, label in sorted(grid.electrical.items()) if bus in own and label in grid.supplied}


@contextmanager
def opened(net: pandapowerNet) -> Iterator[tuple[pandapowerNet, str]]:
    """Yield the net and its name; an error that leaves the block says which net or file it is about."""
    where = _source(net)
    if isinstance(net, str | Path):
        found, name = read_net(Path(net)), Path(net).stem  # whose errors name the file themselves
    else:
        found, name = net, _own_name(net) or "pandapower_net"
    try:
        yield found, name
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _source(net: pandapowerNet) -> str:
    """Return what a message calls a net: its file, or its own name."""
    if isinstance(net, str | Path):
        return str(net)
    if not (isinstance(net, dict) and isinstance(net.get("bus"), pd.DataFrame)):
        raise InputError(f"a pandapower net or the path of a net.json is needed; got a {type(net).__name__}")
    return f"pandapower net {net['name']!r}" if _own_name(net) else "pandapower net"


def _own_name(net: pandapowerNet) -> str:
    name = net.get("name")
    return name if isinstance(name, str) else ""


@dataclass(frozen=True)
class Grid:
    """The parts of a net, before they are a feeder's."""

    net: pandapowerNet
    slacks: list[Source]
    generators: list[Source]
    vn_kv: dict[int, float]  # by the net's own bus numbers, as everything here
    electrical: dict[int, int]  # label in the feeder of every bus in service
    supplied: set[int]  # labels of the feeder
    branches: list[Branch]  # an end at a bus out of service is open
    loads: list[Consumers]
    shunts: list[Consumers]
    unsupplied: list[Unsupplied]

    def vn_of(self, buses: list[int]) -> np.ndarray:
        """Nominal voltages of buses in kV."""
        return np.array([self.vn_kv[bus] for bus in buses], np.float64)


def read_grid(net: pandapowerNet, strict: bool = False) -> Grid:
    """Read what a net has, its supplied buses and its branches; raises `InputError` for what is not sound."""
    refuse_unsupported(net)
    vn_kv, active = bus_levels(net)
    inner = _add_inner_buses(net, vn_kv, active)
    slacks = slacks_of(net)
    if not strict:
        slacks = [slack for slack in slacks if slack.bus in active or slack.bus not in vn_kv] or slacks
    electrical = fuse(net, vn_kv, active, slacks)
    branches = []
    for branch in _all_branches(net, vn_kv, active, inner):
        if branch.from_closed or branch.to_closed:
            check_buses(branch.title, (branch.from_bus, branch.to_bus), vn_kv)
        ends_active = branch.from_bus in active, branch.to_bus in active
        if not branch.is_line and not all(ends_active):  # pandapower switches such a transformer off altogether
            ends_active = False, False
        from_closed, to_closed = branch.from_closed and ends_active[0], branch.to_closed and ends_active[1]
        branches.append(replace(branch, from_closed=from_closed, to_closed=to_closed))
    supplied = supplied_from((electrical[slack.bus] for slack in slacks), branches, electrical)
    generators = [*generators_of(net), *svc_sources(net), *inner_sources(net, inner)]
    loads = [(rows, power_mva) for rows, _, power_mva in drawn_by(net)]
    shunts = list(shunts_of(net, vn_kv))
    for rows, _ in loads:
        for row, bus in enumerate(rows.labels("bus")):
            check_buses(rows.title(row), (bus,), vn_kv)
    for source in generators:
        check_buses(source.title, (source.bus,), vn_kv)
    dead = {bus for bus, label in electrical.items() if label not in supplied}
    unsupplied = list(unsupplied_at(dead, [*loads, *shunts], generators))
    return Grid(net, slacks, generators, vn_kv, electrical, supplied, branches, loads, shunts, unsupplied)


def _refuse_several_slacks(grid: Grid, islands: bool) -> None:
    """Refuse external grids whose parts a net leaves open: at one bus and, unless asked for, of islands."""
    slacks, feeding = grid.slacks, [grid.electrical[slack.bus] for slack in grid.slacks]
    if len(set(feeding)) < len(feeding):
        why = "two stand at one bus, which says nothing of what each of them supplies"
        raise _unclear(slacks, why, "Feeder.from_pandapower(net, strict=False) takes them as one, as runpp does")
    if not islands and not set(feeding) <= supplied_from(feeding[:1], grid.branches, grid.electrical):
        why = "they feed islands, which Feeder.from_pandapower(net, islands=True) takes as one feeder"
        raise _unclear(slacks, why, "pandapower.toolbox.select_subnet(net, buses) takes one island")


def _unclear(slacks: list[Source], why: str, advice: str) -> InputError:
    titles = ", ".join(slack.title for slack in slacks[:3]) + (f" and {len(slacks) - 3} more" if slacks[3:] else "")
    return InputError(f"external grids in service: {titles}: {why}. Keep one in service; {advice}")


def refuse_unsupplied(grid: Grid) -> None:
    """Raise `InputError` for what consumes or produces where nothing is connected to an external grid."""
    for one in grid.unsupplied:
        raise InputError(
            f"{one.title} is at bus {one.bus}, which nothing connects to the external grid; close a switch or a "
            "branch, or take it out of service (Feeder.from_pandapower(net, strict=False) leaves it out, as runpp does)"
        )


def _add_inner_buses(net: pandapowerNet, vn_kv: dict[int, float], active: set[int]) -> dict[int, int]:
    """Add the inner buses of extended wards to those of the net; return their numbers by those of the wards."""
    inner, rows = inner_buses(net, active), Rows.of(net, "xward").in_service()
    for number, bus in zip(rows.numbers_of_rows, rows.labels("bus"), strict=True):
        if number in inner:
            vn_kv[inner[number]] = vn_kv[bus]
            active.add(inner[number])
    return inner


def _all_branches(
    net: pandapowerNet, vn_kv: dict[int, float], active: set[int], inner: dict[int, int]
) -> Iterator[Branch]:
    """Walk through the branches kind by kind, each in the order of their numbers."""
    for kind in (
        line_branches(net),
        transformer_branches(net, vn_kv),
        switch_branches(net),
        three_winding_branches(net, vn_kv, active),
        impedance_branches(net, vn_kv),
        inner_branches(net, inner),
        tcsc_branches(net),
    ):
        yield from sorted(kind, key=lambda branch: branch.number)


def _columns(grid: Grid, name: str) -> FeederColumns:
    labels = sorted(grid.supplied)
    if len(labels) < 2:
        reached = "nothing else is connected to the external grid"
        raise InputError(f"bus {grid.slacks[0].bus} is alone: {reached}; close switches, or put branches into service")
    position = {label: index for index, label in enumerate(labels)}
    of_bus = {bus: position[label] for bus, label in grid.electrical.items() if label in position}
    kept, shunts_mva = _sort_branches(grid, of_bus, _at_buses(grid.shunts, of_bus, len(labels)))
    load_mva = _at_buses(grid.loads, of_bus, len(labels))
    label_of = {bus: labels[row] for bus, row in of_bus.items()}
    held, beside_mw = held_buses(grid.slacks, grid.generators, label_of)
    slack_bus = labels[of_bus[grid.slacks[0].bus]]
    load_mva[position[slack_bus]] -= beside_mw
    shares = voltage_shares(grid.net, grid.electrical, position)
    ends = [(labels[of_bus[branch.from_bus]], labels[of_bus[branch.to_bus]]) for branch in kept]
    y_us = np.array([branch.y_siemens for branch in kept], complex) * 1e6
    return FeederColumns(
        name=name,
        bus_labels=labels,
        vn_kv=grid.vn_of(labels),
        load_p_mw=load_mva.real,
        load_q_mvar=load_mva.imag,
        branches=ends,
        r_ohm=[branch.z_ohm.real for branch in kept],
        x_ohm=[branch.z_ohm.imag for branch in kept],
        back_r_ohm=[math.nan if branch.back_z_ohm is None else branch.back_z_ohm.real for branch in kept],
        back_x_ohm=[math.nan if branch.back_z_ohm is None else branch.back_z_ohm.imag for branch in kept],
        equivalent=[branch.may_have_negative_r for branch in kept],
        in_service=[branch.is_closed for branch in kept],
        max_i_ka=[branch.max_i_ka for branch in kept],
        max_loading_percent=[branch.max_loading_percent for branch in kept],
        g_us=y_us.real,
        b_us=y_us.imag,
        ratio=[branch.ratio for branch in kept],
        shift_degree=[branch.shift_degree for branch in kept],
        rated_ratio=[branch.rated_ratio for branch in kept],
        windings=rated_ends(kept, grid.vn_kv),
        shunt_p_mw=shunts_mva.real,
        shunt_q_mvar=shunts_mva.imag,
        p_current_share=shares.get("p_current_share"),
        p_impedance_share=shares.get("p_impedance_share"),
        q_current_share=shares.get("q_current_share"),
        q_impedance_share=shares.get("q_impedance_share"),
        slack_bus=slack_bus,
        slack_vm_pu=grid.slacks[0].vm_pu,
        held=held,
        own_devices=_own_devices(grid.net),
        elements=elements_of(grid.net, label_of, slack_bus, beside_mw),
    )


def _own_devices(net: pandapowerNet) -> OwnDevices:
    """Count the net's own generators and storages in service that move active power."""
    counts, powers_mw = {}, {}
    for table in ("sgen", "storage"):
        rows = Rows.of(net, table).in_service()
        p_mw = np.abs(rows.numbers("p_mw") * rows.numbers("scaling", absent=1.0))
        counts[table], powers_mw[table] = int((p_mw > 0).sum()), float(p_mw.sum())
    return OwnDevices(counts["sgen"], powers_mw["sgen"], counts["storage"], powers_mw["storage"])


def _sort_branches(grid: Grid, of_bus: dict[int, int], shunts_mva: np.ndarray) -> tuple[list[Branch], np.ndarray]:
    """Branches that the feeder has, and the shunts of those that hang open at one end or lie between fused buses."""
    kept = []
    for branch in grid.branches:
        a, b = of_bus.get(branch.from_bus), of_bus.get(branch.to_bus)
        live_from, live_to = branch.from_closed and a is not None, branch.to_closed and b is not None
        joins_two = a is not None and b is not None and a != b
        defect = branch.defect(grid.vn_kv) if joins_two or live_from or live_to else None
        if defect and (live_from or live_to):
            raise InputError(f"{branch.title} has {defect}")
        if joins_two and not defect:
            kept.append(branch)
        if live_from and live_to and a == b:
            if not (branch.is_line or branch.is_equivalent):
                raise InputError(f"{branch.title} joins two buses that closed switches make one; open a switch")
            shunts_mva[a] += _at_1_pu(branch.short_siemens(), grid.vn_kv[branch.to_bus])
        elif live_from and live_to:
            shunts_mva[a] += _at_1_pu(branch.from_siemens, grid.vn_kv[branch.to_bus]) / branch.ratio**2
            shunts_mva[b] += _at_1_pu(branch.to_siemens, grid.vn_kv[branch.to_bus])
        elif live_from and not branch.to_closed:
            hanging = _at_1_pu(branch.hanging_siemens(), grid.vn_kv[branch.to_bus])
            shunts_mva[a] += hanging / branch.ratio**2
        elif live_to and not branch.from_closed:
            shunts_mva[b] += _at_1_pu(branch.hanging_siemens(), grid.vn_kv[branch.to_bus])
    return without_partial_ratings(kept), shunts_mva


def _at_1_pu(y_siemens: complex, vn_kv: float) -> complex:
    """Consumption of an admittance at nominal voltage, MVA."""
    return y_siemens.conjugate() * vn_kv**2


def _at_buses(consumers: list[Consumers], of_bus: dict[int, int], n_bus: int) -> np.ndarray:
    """Sum what rows consume by the feeder's bus, MVA (n_bus,); what stands at none of them is left out."""
    total_mva = np.zeros(n_bus, complex)
    for rows, power_mva in consumers:
        for bus, power in zip(rows.labels("bus"), power_mva, strict=True):
            if bus in of_bus:
                total_mva[of_bus[bus]] += power
    return total_mva
