"""AC power flows one after another on pandapower's own admittance matrices, prepared once.

``u <- Y^-1 (conj(s / u) - Y_slack u_slack)`` at all buses but the slack, from the unloaded voltages, until the bus
powers ``u conj(Y u)`` miss the injections by less than where `runpp` stops, and by as little as rounding allows. These
are the equations that `runpp` solves, without the tables that it reads and writes: most of its time. Where the
iteration has not settled after `MOST_SWEEPS`, the step goes to cold `runpp` and its retries. Every step starts anew, so
none inherits from another.
Source: pandapower 3.5, pypower/makeYbus.py, results of `net._ppc["internal"]`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.scenario import Scenario
from validation.recompute.devices.twin import FeedIn
from validation.recompute.set_points import SetPoints, idle
from validation.recompute.twins import feed_ins_of
from validation.referee.pandapower_net import PandapowerNet, build_net
from validation.referee.prepared_held import HeldBuses, held_voltages
from validation.referee.runpp import OK, RUNPP_OPTIONS, Solved, solve, solve_stubbornly
from validation.referee.windings import rated_ratio, with_windings

MOST_SWEEPS = 60
BASE_KV, BR_STATUS = 9, 10  # columns of pandapower's tables of buses and branches (pypower/idx_bus.py, idx_brch.py)
MOST_SETTINGS = 1000  # of tap changers and shunts, whose matrices are kept
SAME_PU = 1e-9  # the prepared matrices must give `runpp`'s own voltages, or they are not used


@dataclass(frozen=True, eq=False)
class Prepared:
    """Matrices of one net in the feeder's bus order, per unit of the net's power base."""

    y_bus: Any  # (n_bus, n_bus) sparse
    y_from: Any  # (n_closed, n_bus) sparse
    y_to: Any
    start: np.ndarray  # (n_closed,) bus of each branch in service
    end: np.ndarray
    from_ka: np.ndarray  # (n_closed,) per unit of current; of a high-voltage end by its transformer's rated ratio
    to_ka: np.ndarray
    closed_row: np.ndarray  # (n_branch,) of the feeder's branches among those in service, -1 for the others
    factors: Any  # of y_bus without the slack
    others: np.ndarray  # (n_bus - 1,) positions of all buses but the slack
    slack: int
    slack_u: complex
    unloaded: np.ndarray  # (n_bus - 1,)
    into_others: np.ndarray  # (n_bus - 1,) current that the slack's voltage drives into the other buses
    s_base_mva: float
    tolerance: float  # per unit, of p and of q

    def voltages(self, s: np.ndarray) -> np.ndarray | None:
        """Bus voltages (n_bus,) for injections (n_bus,), complex, per unit; None if the iteration does not settle."""
        own, u, before = s[self.others], self.unloaded, np.inf
        for _ in range(MOST_SWEEPS):
            current = np.conj(own / u)
            u = self.factors.solve(current - self.into_others)
            off = u * np.conj(current) - own
            largest = max(np.abs(off.real).max(), np.abs(off.imag).max())
            settled = largest <= self.tolerance
            if settled and largest > 0.5 * before:  # as close as rounding lets it
                break
            before = largest
        if not settled:
            return None
        full = np.full(len(s), self.slack_u)
        full[self.others] = u
        return full


@dataclass(frozen=True, eq=False)
class StepSolver:
    """Solves single steps of a scenario: by prepared matrices where there are any and they settle, else by `runpp`."""

    net: PandapowerNet
    feeder: Feeder
    prepared: Prepared | None
    load_p_mw: np.ndarray  # (n_bus,) nominal
    load_q_mvar: np.ndarray
    feed_in: tuple[tuple[FeedIn, np.ndarray], ...]  # of each kind, with the positions of its devices' buses (n_device,)
    held: HeldBuses | None  # beside the slack's
    as_set: dict[bytes, Prepared | None] = field(default_factory=dict)  # matrices by what devices set in the grid

    def solve(self, step: SetPoints) -> Solved:
        """Solve one step; fields as of `runpp.solve_stubbornly`."""
        prepared, setting = self.prepared, self._setting(step)
        if setting and self.feeder.voltage_dependence is None and "enforce_q_lims" not in self.net.needs:
            if setting not in self.as_set:
                return self._first_as_set(setting, step)
            prepared = self.as_set[setting]
        if prepared is not None:
            with np.errstate(all="ignore"):  # what diverges goes to `runpp`
                answers = self._by_matrices(prepared, step)
            if answers is not None:
                return answers
        return self.by_runpp(step)

    def _setting(self, step: SetPoints) -> bytes:
        """Name what devices set in the grid; nothing where none does."""
        return b"".join(np.round(step.devices[rows.name]).astype(np.int32).tobytes() for rows in self.net.sets)

    def _first_as_set(self, setting: bytes, step: SetPoints) -> Solved:
        """Solve the first step with its setting by `runpp`, and keep the matrices if they give the same."""
        answers = self.by_runpp(step)
        if answers["status"][0] != OK or len(self.as_set) >= MOST_SETTINGS:
            return answers
        prepared = _prepare(self.net, self.feeder)
        with np.errstate(all="ignore"):
            found = self._by_matrices(prepared, step)
        same = found is not None and all(
            np.abs(found[name] - answers[name]).max() <= SAME_PU for name in ("vm_pu", "branch_i_ka")
        )
        self.as_set[setting] = prepared if same else None
        return answers

    def once_more(self, step: SetPoints) -> Solved:
        """Solve one step in another way: by plain `runpp`."""
        return self.by_runpp(step)

    def by_runpp(self, step: SetPoints) -> Solved:
        """Solve one step by cold `runpp` and its retries alone."""
        return solve_stubbornly(self.net, step)

    def _by_matrices(self, prepared: Prepared, step: SetPoints) -> Solved | None:
        s = self._injections(step) / prepared.s_base_mva
        u = prepared.voltages(s) if self.held is None else self._held_voltages(prepared, self.held, s)
        if u is None:
            return None
        from_i, to_i = prepared.y_from @ u, prepared.y_to @ u
        from_end, to_end = u[prepared.start] * np.conj(from_i), u[prepared.end] * np.conj(to_i)
        larger_ka = np.maximum(np.abs(from_i) * prepared.from_ka, np.abs(to_i) * prepared.to_ka)
        row = prepared.closed_row
        branch_i_ka = np.where(row >= 0, larger_ka[row], 0.0)[None]
        if self.feeder.windings is not None:
            from_ka, to_ka = (
                np.where(row >= 0, (current * scale)[row], 0.0)[None]
                for current, scale in ((from_i, prepared.from_ka), (to_i, prepared.to_ka))
            )
            v_kv = (u * np.asarray(self.feeder.vn_kv, float))[None]
            branch_i_ka = with_windings(branch_i_ka, self.feeder, from_ka / rated_ratio(self.feeder), to_ka, v_kv)
        slack = prepared.slack
        drawn = (prepared.slack_u * np.conj((prepared.y_bus[slack] @ u)[0]) - s[slack]) * prepared.s_base_mva
        delivered = {}
        if self.held is not None:
            at_held = (u * np.conj(prepared.y_bus @ u) - s)[self.held.bus] * prepared.s_base_mva
            drawn += (at_held - self.held.p_mw)[self.held.is_slack].sum()
            delivered = {"held_p_mw": at_held.real[None], "held_q_mvar": at_held.imag[None]}
        return delivered | {
            "vm_pu": np.abs(u)[None],
            "loss_mw": np.array([(from_end + to_end).real.sum() * prepared.s_base_mva]),
            "slack_p_mw": np.array([drawn.real]),
            "slack_q_mvar": np.array([drawn.imag]),
            "branch_i_ka": branch_i_ka,
            "status": np.array([OK], "<U16"),
            "attempts": np.ones(1, int),
        }

    def _held_voltages(self, prepared: Prepared, held: HeldBuses, s: np.ndarray) -> np.ndarray | None:
        wanted, y = s.copy(), prepared.y_bus.toarray()
        wanted[held.bus] += held.p_mw / prepared.s_base_mva
        return held_voltages(held, y, wanted, prepared.slack, prepared.slack_u, prepared.tolerance)

    def _injections(self, step: SetPoints) -> np.ndarray:
        """Net injections p + jq of one step, (n_bus,), MW and Mvar into the grid."""
        s = -(step.demand[0] * self.load_p_mw + 1j * step.load_q_factor[0] * self.load_q_mvar)
        if step.load_p_extra_mw is not None and step.load_q_extra_mvar is not None:
            s -= step.load_p_extra_mw[0] + 1j * step.load_q_extra_mvar[0]
        for powers, bus in self.feed_in:
            np.add.at(s, bus, step.devices[powers.p_mw][0])
            if powers.q_mvar is not None:
                np.add.at(s, bus, 1j * step.devices[powers.q_mvar][0])
        return s


def step_solver(scenario: Scenario, feeder: Feeder) -> StepSolver:
    """Build a scenario's net and prepare its matrices, from a cold `runpp` at nominal load.

    Raises
    ------
    InputError
        If pandapower's own data of the feeder differ from ours.
    """
    net = build_net(scenario, feeder)
    load_p_mw, load_q_mvar = (np.asarray(load, float) for load in (feeder.load_p_mw, feeder.load_q_mvar))
    feed_in = tuple(
        (powers, np.array([feeder.bus_position(device.bus) for device in devices], int))
        for powers, devices in feed_ins_of(scenario)
    )
    held = None if feeder.held is None else HeldBuses.of(feeder.held)
    bare = StepSolver(net, feeder, None, load_p_mw, load_q_mvar, feed_in, held)
    # matrices hold for one setting: each is prepared when it first comes up; and injections are constant power, and
    # generators hold their voltages
    if net.sets or feeder.voltage_dependence is not None or scenario.enforce_q_lims:
        return bare
    light = idle(scenario, np.full(1, 0.1), np.full(1, 0.1))
    results, status = solve(net, light, RUNPP_OPTIONS)
    if status != OK:
        return bare
    prepared = _prepare(net, feeder)
    ready = replace(bare, prepared=prepared)
    found = ready._by_matrices(prepared, light)
    same = found is not None and np.abs(found["vm_pu"] - results.vm_pu).max() <= SAME_PU
    return ready if same else bare


def _prepare(built: PandapowerNet, feeder: Feeder) -> Prepared:
    """Take the matrices of the last `runpp`, in the feeder's bus order."""
    from scipy.sparse.linalg import splu

    internal = built.net._ppc["internal"]
    order = built.net._pd2ppc_lookups["bus"][list(feeder.bus_labels)]  # its own numbers of our buses
    position = np.empty(len(order), int)
    position[order] = np.arange(len(order))
    y_bus, y_from, y_to = (internal[name].tocsr()[:, order] for name in ("Ybus", "Yf", "Yt"))
    y_bus = y_bus[order]
    slack = feeder.topology.slack
    others = np.delete(np.arange(len(order)), slack)
    slack_u = complex(internal["V"][order[slack]])
    factors = splu(y_bus[others][:, others].tocsc())
    into_others = np.asarray(y_bus[others][:, [slack]].todense()).ravel() * slack_u
    tolerance = (RUNPP_OPTIONS | built.needs)["tolerance_mva"]  # which `runpp` compares per unit
    ends = internal["branch"][:, :2].real.astype(int)
    per_unit_ka = float(internal["baseMVA"]) / np.sqrt(3.0) / internal["bus"][:, BASE_KV].real
    from_ka, to_ka = per_unit_ka[ends[:, 0]], per_unit_ka[ends[:, 1]]
    closed_row = _rows_in_service(built)
    if len(built.net.trafo):
        of_rows = (built.net.trafo["vn_hv_kv"] / built.net.trafo["vn_lv_kv"]).to_numpy()
        here = (built.trafo_rows >= 0) & (closed_row >= 0)
        from_ka[closed_row[here]] *= of_rows[built.trafo_rows[here]]
    if built.impedance_rows is not None:
        here = (built.impedance_rows >= 0) & (closed_row >= 0)
        from_ka[closed_row[here]] *= rated_ratio(feeder)[here]
    return Prepared(
        y_bus=y_bus,
        y_from=y_from,
        y_to=y_to,
        start=position[ends[:, 0]],
        end=position[ends[:, 1]],
        from_ka=from_ka,
        to_ka=to_ka,
        closed_row=closed_row,
        factors=factors,
        others=others,
        slack=slack,
        slack_u=slack_u,
        unloaded=factors.solve(-into_others),
        into_others=into_others,
        s_base_mva=float(internal["baseMVA"]),
        tolerance=tolerance,
    )


def _rows_in_service(built: PandapowerNet) -> np.ndarray:
    """Row of the feeder's branches in the internal table, which holds those in service, (n_branch,); -1 elsewhere."""
    closed = built.net._ppc["branch"][:, BR_STATUS].real > 0
    place = np.where(closed, np.cumsum(closed) - 1, -1)
    found = np.full(len(built.line_rows), -1)
    tables = {"line": built.line_rows, "trafo": built.trafo_rows, "impedance": built.impedance_rows}
    for table, rows in tables.items():
        if rows is not None and table in built.net._pd2ppc_lookups["branch"]:
            first = built.net._pd2ppc_lookups["branch"][table][0]
            found = np.where(rows >= 0, place[first + rows], found)
    return found
