"""The one place where signs and units turn into pandapower's.

Here, and everywhere else in this project: powers of devices positive into the grid, load positive out of it, loss and
slack power positive for losses and import. In pandapower a storage is a consumer, so that its powers change their sign;
a static generator, a load and an external grid have the signs used here.
pandapower's rows are found by bus label, never by position: its tables may be stored in any order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.loose_types import Keywords
from neomflex_jax.matplotlib_import import load_matplotlib
from neomflex_jax.one_line import one_line
from neomflex_jax.scenario import Scenario
from validation.recompute.devices.twin import FeedIn
from validation.recompute.set_points import SetPoints
from validation.recompute.twins import feed_ins_of
from validation.referee.feeder_net import net_from_feeder, runpp_needs, shares_in_percent
from validation.referee.grid_settings import SetRows, add_settings
from validation.referee.net_agreement import check_agreement, rows_of_branches, rows_of_impedances
from validation.referee.supply import Supply, supply_of
from validation.referee.windings import end_currents_ka, rated_ratio, with_windings

if TYPE_CHECKING:
    from pandapower import pandapowerNet

PANDAPOWER_FEEDERS = ("case33bw",)  # packaged feeders whose data pandapower ships too, under the same name
BUS_COLUMNS = {
    "bus": (),
    "line": ("from_bus", "to_bus"),
    "trafo": ("hv_bus", "lv_bus"),
    "impedance": ("from_bus", "to_bus"),
    "shunt": ("bus",),
    "load": ("bus",),
    "ext_grid": ("bus",),
    "gen": ("bus",),
    "storage": ("bus",),
    "sgen": ("bus",),
}

SIGNS = {"storage": -1.0, "sgen": 1.0}  # of power into the grid, by what a device is in pandapower
IGNORED = ("poly_cost", "pwl_cost", "bus_geodata", "line_geodata")  # tables without influence on a power flow


@dataclass(frozen=True, eq=False)
class GridResults:
    """What pandapower answers, in this project's order and signs; first axis: steps."""

    vm_pu: np.ndarray  # (n, n_bus)
    loss_mw: np.ndarray  # (n,) of all branches in service
    slack_p_mw: np.ndarray  # (n,) import
    slack_q_mvar: np.ndarray  # (n,)
    branch_i_ka: np.ndarray  # (n, n_branch) as `powerflow.result` has it, 0 in open branches
    held_p_mw: np.ndarray | None = None  # (n, n_held) what is delivered where voltages beside the slack's are held
    held_q_mvar: np.ndarray | None = None

    __repr__ = one_line

    def arrays(self) -> dict[str, np.ndarray]:
        """All of them by name."""
        return {name: values for name, values in vars(self).items() if values is not None}


@dataclass(frozen=True, eq=False)
class PandapowerNet:
    """A pandapower net with `n_copies` islands, each a copy of the scenario's feeder for one step."""

    net: pandapowerNet
    n_copies: int
    bus_rows: np.ndarray  # (n_copies, n_bus) rows of the bus table in the feeder's bus order
    load_p_mw: np.ndarray  # (n_load,) nominal, by row of one copy's load table
    load_q_mvar: np.ndarray  # (n_load,)
    load_bus: np.ndarray  # (n_load,) position of its bus in the feeder's order
    line_rows: np.ndarray  # (n_branch,) row of one copy's line table, -1 where the branch is no line
    trafo_rows: np.ndarray  # (n_branch,) likewise of its transformer table
    supply: Supply
    feed_in: dict[str, list[FeedIn]]  # kinds by the table that their devices are rows of, in the order of its rows
    sets: tuple[SetRows, ...]  # positions of tap changers and shunts
    needs: Keywords  # options of runpp that this grid needs
    # needed where loads follow the voltage, and for the currents of windings and impedances
    feeder: Feeder | None = None
    impedance_rows: np.ndarray | None = None  # (n_branch,) as `line_rows`; None: there is no such table's row

    __repr__ = one_line

    def write(self, set_points: SetPoints) -> None:
        """Write one step's set-points into each copy, in place; `set_points` has n_copies rows."""
        net = self.net
        p_mw = np.outer(set_points.demand, self.load_p_mw)
        q_mvar = np.outer(set_points.load_q_factor, self.load_q_mvar)
        if set_points.load_p_extra_mw is not None and set_points.load_q_extra_mvar is not None:
            _, first = np.unique(self.load_bus, return_index=True)  # at the first of a bus's loads
            p_mw[:, first] += set_points.load_p_extra_mw[:, self.load_bus[first]]
            q_mvar[:, first] += set_points.load_q_extra_mvar[:, self.load_bus[first]]
        net.load["p_mw"], net.load["q_mvar"] = p_mw.ravel(), q_mvar.ravel()
        for element, kinds in self.feed_in.items():
            p_mw = np.concatenate([set_points.devices[powers.p_mw] for powers in kinds], axis=1)
            q_mvar = np.concatenate([_reactive(set_points, powers) for powers in kinds], axis=1)
            net[element]["p_mw"] = SIGNS[element] * p_mw.ravel()
            net[element]["q_mvar"] = SIGNS[element] * q_mvar.ravel()
        for rows in self.sets:
            rows.write(net, set_points, self.n_copies)

    def read(self) -> GridResults:
        """Read the results of the last power flow."""
        net, shape = self.net, (self.n_copies, -1)
        vm_pu = net.res_bus["vm_pu"].reindex(net.bus.index).to_numpy()
        loss_mw = np.zeros(self.n_copies)
        for branches in ("line", "trafo", "impedance"):
            closed = net[branches]["in_service"].to_numpy(bool)
            each_mw = np.where(closed, net[f"res_{branches}"]["pl_mw"].to_numpy(), 0.0)
            loss_mw += each_mw.reshape(shape).sum(axis=1) if len(each_mw) else 0.0
        return GridResults(
            vm_pu=vm_pu[self.bus_rows],
            loss_mw=loss_mw,
            branch_i_ka=self._branch_i_ka(),
            **self.supply.read(net, self.n_copies),
        )

    def _branch_i_ka(self) -> np.ndarray:
        """Return the larger end's current, (n_copies, n_branch); of a high-voltage end by its rated ratio."""
        net = self.net
        each_ka = {"line": (self.line_rows, net.res_line["i_ka"].to_numpy())}
        if len(net.trafo):
            of_rows = (net.trafo["vn_hv_kv"] / net.trafo["vn_lv_kv"]).to_numpy()
            high_ka, low_ka = (net.res_trafo[name].to_numpy() for name in ("i_hv_ka", "i_lv_ka"))
            each_ka["trafo"] = (self.trafo_rows, np.maximum(high_ka * of_rows, low_ka))
        if self.impedance_rows is not None and self.feeder is not None:
            from_ratio = np.zeros(len(net.impedance) // self.n_copies)
            here = self.impedance_rows >= 0
            from_ratio[self.impedance_rows[here]] = rated_ratio(self.feeder)[here]
            from_ka, to_ka = (net.res_impedance[f"i_{end}_ka"].to_numpy() for end in ("from", "to"))
            larger_ka = np.maximum(from_ka * np.tile(from_ratio, self.n_copies), to_ka)
            each_ka["impedance"] = (self.impedance_rows, larger_ka)
        current_ka = np.zeros((self.n_copies, len(self.line_rows)))
        for table, (rows, found_ka) in each_ka.items():
            closed_ka = np.where(net[table]["in_service"].to_numpy(bool), found_ka, 0.0)
            here = rows >= 0
            current_ka[:, here] = closed_ka.reshape(self.n_copies, -1)[:, rows[here]]
        return self._with_windings(current_ka)

    def _with_windings(self, branch_i_ka: np.ndarray) -> np.ndarray:
        net, feeder = self.net, self.feeder
        if feeder is None or feeder.windings is None:
            return branch_i_ka
        from_ka, to_ka = (np.zeros_like(branch_i_ka, complex) for _ in range(2))
        for table, rows in (("line", self.line_rows), ("trafo", self.trafo_rows)):
            here = rows >= 0
            for currents_ka, found_ka in zip((from_ka, to_ka), end_currents_ka(net, table), strict=True):
                currents_ka[:, here] = found_ka.reshape(self.n_copies, -1)[:, rows[here]]
        voltages = net.res_bus["vm_pu"] * np.exp(1j * np.deg2rad(net.res_bus["va_degree"])) * net.bus["vn_kv"]
        v_kv = voltages.reindex(net.bus.index).to_numpy()[self.bus_rows]
        return with_windings(branch_i_ka, feeder, from_ka, to_ka, v_kv)


def build_net(scenario: Scenario, feeder: Feeder) -> PandapowerNet:
    """Build the scenario's feeder with its devices in pandapower, for one step at a time.

    The feeder data are pandapower's own where it ships them.

    Raises
    ------
    InputError
        If pandapower's own data are not those of `feeder`.
    """
    load_matplotlib()  # which pandapower imports
    import pandapower

    one = _shipped_net(feeder) if scenario.feeder in PANDAPOWER_FEEDERS else net_from_feeder(feeder)
    one.user_pf_options = {}  # options stored in a net would overrule the ones given to runpp
    _check_elements(one)
    check_agreement(one, feeder)
    for label in sorted({element.bus for element in feeder.elements.rows} - set(one.load["bus"])):
        shares = shares_in_percent(feeder, feeder.bus_position(label))
        pandapower.create_load(one, label, p_mw=0.0, q_mvar=0.0, **shares)  # nominally 0, in a step perhaps not
    feed_in: dict[str, list[FeedIn]] = {}
    for powers, devices in feed_ins_of(scenario):
        create = getattr(pandapower, f"create_{powers.element}")
        for device in devices:
            create(one, device.bus, p_mw=0.0, **powers.ratings(device))
        if devices:
            feed_in.setdefault(powers.element, []).append(powers)
    line_rows, trafo_rows = rows_of_branches(one, feeder)
    sets = add_settings(one, scenario, feeder, trafo_rows)
    line_rows[trafo_rows >= 0] = -1
    impedance_rows = rows_of_impedances(one, feeder)
    return PandapowerNet(
        net=one,
        n_copies=1,
        bus_rows=one.bus.index.get_indexer(list(feeder.bus_labels))[None],
        load_p_mw=one.load["p_mw"].to_numpy(float).copy(),
        load_q_mvar=one.load["q_mvar"].to_numpy(float).copy(),
        load_bus=np.array([feeder.bus_position(bus) for bus in one.load["bus"]], int),
        line_rows=line_rows,
        trafo_rows=trafo_rows,
        supply=supply_of(one, feeder),
        feed_in=feed_in,
        sets=sets,
        needs=runpp_needs(feeder) | ({"enforce_q_lims": True} if scenario.enforce_q_lims else {}),
        feeder=feeder,
        impedance_rows=impedance_rows if len(one.impedance) else None,
    )


def side_by_side(built: PandapowerNet, n_copies: int) -> PandapowerNet:
    """Copy a net into islands of one net: tables repeat whole, labels and bus numbers move up by copy."""
    one, net = built.net, deepcopy(built.net)
    bus_stride = int(one.bus.index.max()) + 1
    for element, bus_columns in BUS_COLUMNS.items():
        table = one[element]
        if table.empty:
            continue
        copies = table.iloc[np.tile(np.arange(len(table)), n_copies)].copy()
        copy = np.repeat(np.arange(n_copies), len(table))
        copies.index = copies.index + copy * (int(table.index.max()) + 1)
        for column in bus_columns:
            copies[column] = copies[column].to_numpy() + copy * bus_stride
        net[element] = copies
    rows = built.bus_rows + len(one.bus) * np.arange(n_copies)[:, None]
    return dataclasses.replace(built, net=net, n_copies=n_copies, bus_rows=rows)


def _shipped_net(feeder: Feeder) -> pandapowerNet:
    import pandapower.networks

    return deepcopy(_read_once(getattr(pandapower.networks, feeder.name)))


@cache
def _read_once(read: Callable[[], pandapowerNet]) -> pandapowerNet:
    """Return the net that a function of pandapower's reads from a file, which takes it half a second."""
    return read()


def _check_elements(net: pandapowerNet) -> None:
    """Raise unless the net holds nothing but the elements that this module copies."""
    import pandas

    for name, table in net.items():
        element = isinstance(table, pandas.DataFrame) and not name.startswith(("_", "res_"))
        if element and len(table) and name not in BUS_COLUMNS and name not in IGNORED:
            raise InputError(
                f"pandapower's {net.name!r} has {len(table)} {name}; replay knows {', '.join(BUS_COLUMNS)}"
            )


def _reactive(set_points: SetPoints, powers: FeedIn) -> np.ndarray:
    """Reactive power of a kind's devices, (n, n_device) into the grid."""
    if powers.q_mvar is None:
        return np.zeros_like(set_points.devices[powers.p_mw])
    return set_points.devices[powers.q_mvar]


def unsupplied(built: PandapowerNet) -> bool:
    """Return True if some bus has no path to an external grid."""
    import pandapower.topology

    return bool(pandapower.topology.unsupplied_buses(built.net))
