"""pandapower's `runpp_3ph` for the steps of a feeder with phases that was read from a ``net.json``.

pandapower reads its own net, not our tables; only powers are set, step by step, each step from a flat start, so that no
step sees another's values. Signs flip here: loads are consumption, and what devices feed in at a node is an asymmetric
sgen at its bus. `runpp_3ph` stops where powers are right to some 3e-8 of ``net.sn_mva`` whatever its tolerance, so that
a small one is set; a zigzag winding, whose impedance it multiplies by it, keeps the net's own. It says nothing where
voltages are not to be had: an answer that is not finite is a failed step.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any, NamedTuple

import numpy as np

from neomflex_jax.errors import InputError, short_path
from neomflex_jax.files.digest import file_sha256
from neomflex_jax.files.paths import is_file
from neomflex_jax.grid.from_pandapower.json_file import read_net
from neomflex_jax.grid.from_pandapower.with_phases import read_unbalanced
from neomflex_jax.grid.unbalanced.circuit import Circuit
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.loose_types import Keywords
from neomflex_jax.one_line import one_line
from validation.recompute.phase_set_points import PhaseSetPoints
from validation.referee.runpp import NON_FINITE, NOT_CONVERGED, OK, ONE_AT_A_TIME, Solved

PHASES = "abc"
CONSUMES = {"load": 1.0, "asymmetric_load": 1.0, "sgen": -1.0, "asymmetric_sgen": -1.0}
ENDS = {"line": ("from", "to"), "trafo": ("hv", "lv")}
BASE_MVA = 0.01
RELATIVE = 1e-9  # the same decimal numbers, read twice
OPTIONS: Keywords = {"init": "dc", "max_iteration": 50, "tolerance_mva": 1e-9, "numba": False}
RETRY: Keywords = {"max_iteration": 500}


class Place(NamedTuple):
    """Where one part of a power stands in the net: a phase of a row of a table."""

    table: str
    row: int
    phase: int
    factor: float  # of the load's consumption, or of what the device feeds in
    source: int  # position of the load, or of the node at which devices feed in


@dataclass(frozen=True, eq=False)
class PhaseNet:
    """A net, and where the feeder's loads and devices stand in it."""

    feeder: UnbalancedFeeder
    device_nodes: tuple[int, ...]
    net: Any  # pandapower's
    loads: tuple[Place, ...]
    devices: tuple[Place, ...]

    __repr__ = one_line

    def solve(self, points: PhaseSetPoints) -> Solved:
        """Solve steps."""
        feeder, n = self.feeder, len(points)
        numbers = {name: np.full(n, np.nan) for name in ("loss_mw", "slack_p_mw", "slack_q_mvar")}
        by_node = {name: np.full((n, feeder.n_node), np.nan) for name in ("vm_pu", "va_degree")}
        found: Solved = {**numbers, **by_node, "branch_i_ka": np.full((n, len(feeder.branch_labels)), np.nan)}
        found |= {"status": np.full(n, OK, "<U16"), "attempts": np.zeros(n, int)}
        for row in range(n):
            self._set(points, row)
            for attempt, more in enumerate(({}, RETRY), 1):
                status = _run(self.net, OPTIONS | more)
                found["status"][row], found["attempts"][row] = status, attempt
                if status == OK:
                    break
            answer = self._answer() if status == OK else {}
            if not all(np.isfinite(values).all() for values in answer.values()):
                found["status"][row], answer = NON_FINITE, {}
            for name, values in answer.items():
                found[name][row] = values
        self._add_what_stands_at_sources(points, found)
        return found

    def _add_what_stands_at_sources(self, points: PhaseSetPoints, found: Solved) -> None:
        """Complete the import by what stands at the sources' own buses."""
        nodes, buses = self.feeder.nodes, self._source_buses
        loads = [place for place, load in enumerate(self.feeder.loads) if nodes.bus[load.nodes[0]] in buses]
        devices = [place for place, node in enumerate(self.device_nodes) if nodes.bus[node] in buses]
        for name, load, device in (
            ("slack_p_mw", points.load_p_mw, points.device_p_mw),
            ("slack_q_mvar", points.load_q_mvar, points.device_q_mvar),
        ):
            found[name] += load[:, loads].sum(axis=1) - device[:, devices].sum(axis=1)

    def _set(self, points: PhaseSetPoints, row: int) -> None:
        """Set a step's powers."""
        for quantity, unit, load, device in (
            ("p", "mw", points.load_p_mw[row], points.device_p_mw[row]),
            ("q", "mvar", points.load_q_mvar[row], points.device_q_mvar[row]),
        ):
            totals = {table: np.zeros((len(self.net[table]), 3)) for table in CONSUMES}
            for places, values in ((self.loads, load), (self.devices, device)):
                for place in places:
                    totals[place.table][place.row, place.phase] += place.factor * values[place.source]
            for table, total in totals.items():
                if not table.startswith("asymmetric"):
                    self.net[table][f"{quantity}_{unit}"] = total.sum(axis=1)
                    continue
                for number, phase in enumerate(PHASES):
                    self.net[table][f"{quantity}_{phase}_{unit}"] = total[:, number]

    def _answer(self) -> Solved:
        """Take pandapower's results in the feeder's order."""
        net, feeder = self.net, self.feeder
        bus = [int(label.rpartition(".")[0]) for label in map(str, feeder.node_labels)]
        phase = [int(label.rpartition(".")[2]) - 1 for label in map(str, feeder.node_labels)]
        both = {}
        for name, kind in (("vm_pu", "vm_{}_pu"), ("va_degree", "va_{}_degree")):
            table = net.res_bus_3ph.loc[bus, [kind.format(each) for each in PHASES]].to_numpy(float)
            both[name] = table[np.arange(len(bus)), phase]
        losses = [
            float(np.nansum(net[f"res_{kind}_3ph"][f"pl_{each}_mw"])) for kind in ("line", "trafo") for each in PHASES
        ]
        imported = sum(self._into_branches(), 0j)
        return both | {
            "loss_mw": np.array(sum(losses)),
            "slack_p_mw": np.array(imported.real),
            "slack_q_mvar": np.array(imported.imag),
            "branch_i_ka": np.array(list(self._currents())),
        }

    @property
    def _source_buses(self) -> set[int | str]:
        return {self.feeder.nodes.bus[source.element.nodes[0]] for source in self.feeder.sources}

    def _into_branches(self) -> Iterator[complex]:
        """Walk through what goes into branches at the sources' buses, in MVA.

        `res_ext_grid_3ph` has what its other sequences' impedances take beside that, and not what stands at its bus.
        """
        buses = self._source_buses
        for element in self.feeder.elements:
            kind, _, number = element.name.partition(".")
            here = self.net[f"res_{kind}_3ph"].loc[int(number)]
            at = [self.feeder.nodes.bus[element.nodes[3 * end]] for end in range(element.n_terminals)]
            sides = zip(ENDS[kind], at if len(at) == 2 else at * 2, strict=True)  # the open one takes nothing
            for side in (side for side, bus in sides if bus in buses):
                for phase in PHASES:
                    p, q = here[f"p_{phase}_{side}_mw"], here[f"q_{phase}_{side}_mvar"]
                    yield complex(np.nan_to_num(p), np.nan_to_num(q))

    def _currents(self) -> Iterator[float]:
        """Walk through the currents into the conductors of the elements' first terminals in kA."""
        for element in self.feeder.elements:
            kind, _, number = element.name.partition(".")
            here = self.net[f"res_{kind}_3ph"].loc[int(number)]
            # with one end open the closed one carries all there is
            sides = ENDS[kind] if element.n_terminals == 1 else ENDS[kind][:1]
            for phase in PHASES:
                yield max(float(np.nan_to_num(here[f"i_{phase}_{side}_ka"])) for side in sides)


def of_pandapower(feeder: UnbalancedFeeder) -> bool:
    """True for a feeder that was read from a pandapower net."""
    return feeder.circuit is not None and feeder.circuit.path.suffix.lower() == ".json"


def check_net(feeder: UnbalancedFeeder) -> Circuit:
    """Return where the net is that a feeder was read from.

    Raises
    ------
    InputError
        If it is gone, or says something else since.
    """
    circuit = feeder.circuit
    assert circuit is not None  # `of_pandapower` said so
    if not is_file(circuit.path):
        raise InputError(
            f"{short_path(circuit.path)}: the net that feeder {feeder.name!r} was read from is gone; put it back"
        )
    if file_sha256(circuit.path) != circuit.sha256:
        raise InputError(
            f"{short_path(circuit.path)} says something else than when feeder {feeder.name!r} was read from it; make "
            "the feeder again, and play the run on it again"
        )
    return circuit


def open_phase_net(feeder: UnbalancedFeeder, device_nodes: tuple[int, ...] = ()) -> PhaseNet:
    """Read the net that a feeder was made of, ready for steps.

    Raises
    ------
    InputError
        As `check_net`, and if the net is another grid than the feeder, naming a node, element or load.
    """
    import pandapower

    path = check_net(feeder).path
    _check_agreement(read_unbalanced(path, strict=False), feeder)
    net = read_net(path)
    net.user_pf_options = {}
    if "Yzn" not in list(net.trafo.get("vector_group", ())):
        net.sn_mva = BASE_MVA
    for table in CONSUMES:
        if "scaling" in net[table]:
            net[table]["scaling"] = 1.0
    buses = list(dict.fromkeys(int(str(feeder.nodes.bus[node])) for node in device_nodes))
    first = len(net.asymmetric_sgen)
    for bus in buses:
        pandapower.create_asymmetric_sgen(net, bus, name="device", type="wye")
    devices = [
        Place(
            "asymmetric_sgen",
            first + buses.index(int(str(feeder.nodes.bus[node]))),
            _phase_of(feeder, node),
            1.0,
            number,
        )
        for number, node in enumerate(device_nodes)
    ]
    return PhaseNet(feeder, device_nodes, net, tuple(_load_places(feeder, net)), tuple(devices))


def _phase_of(feeder: UnbalancedFeeder, node: int) -> int:
    return int(str(feeder.node_labels[node]).rpartition(".")[2]) - 1


def _load_places(feeder: UnbalancedFeeder, net: Any) -> Iterator[Place]:
    """Walk through where the parts of the feeder's loads stand."""
    rows = {table: {int(label): row for row, label in enumerate(net[table].index)} for table in CONSUMES}
    for source, load in enumerate(feeder.loads):
        table, number, *phase = load.name.split(".")
        own = [PHASES.index(each) for each in phase] or range(3)
        for each in own:
            yield Place(table, rows[table][int(number)], each, CONSUMES[table] / len(own), source)


def _check_agreement(found: UnbalancedFeeder, feeder: UnbalancedFeeder) -> None:
    """Raise `InputError` unless nodes, elements and loads of the net are the feeder's; voltages tell the rest."""
    where = f"pandapower's net of feeder {feeder.name!r}"
    for what, theirs, own in (
        ("node", list(map(str, found.node_labels)), list(map(str, feeder.node_labels))),
        ("element", [each.name for each in found.elements], [each.name for each in feeder.elements]),
        ("load", [each.name for each in found.loads], [each.name for each in feeder.loads]),
    ):
        if theirs != own:
            other = next(iter(sorted(set(theirs) ^ set(own))), "in another order")
            has = "has" if other in theirs else "has no"
            raise InputError(f"{where} {has} {what} {other}, other than the feeder; make the feeder again")
    for theirs_one, one in zip(found.loads, feeder.loads, strict=True):
        for read, known, unit in ((theirs_one.p_mw, one.p_mw, "MW"), (theirs_one.q_mvar, one.q_mvar, "Mvar")):
            if abs(read - known) > RELATIVE * max(abs(read), abs(known)):
                raise InputError(f"{where}: {one.name} consumes {read:g} {unit}, and in the feeder {known:g}")


def _run(net: Any, options: Keywords) -> str:
    """Solve a net as it stands, from nothing that was solved before."""
    import pandapower

    with ONE_AT_A_TIME, warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        try:
            pandapower.runpp_3ph(net, **options)
        except (pandapower.LoadflowNotConverged, ValueError, FloatingPointError, ZeroDivisionError):
            return NOT_CONVERGED
    return OK if net.converged else NOT_CONVERGED
