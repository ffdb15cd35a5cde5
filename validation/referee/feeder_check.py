"""Our AC power flow against pandapower on any feeder: the nominal state, then random ones.

In a random state every element (load, static generator, storage, generator) has its powers times random numbers of its
own; in every second one they may change their sign. Of a feeder whose source lists no elements the bus loads are
scaled, and in every second state every bus generates too.

The referee is the user's own pandapower net where there is one, and otherwise the net that `feeder_net` builds. In
both, a further load at every bus of the feeder carries the difference between a case's injection and the nominal one,
consumption ``nominal injection - injection``, so that what the net itself holds stays as it is. Losses are those of
lines, transformers and impedances; what a cable that hangs open at one end or the iron of three windings loses counts
as a shunt's consumption in the feeder.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.from_pandapower.json_file import read_net
from neomflex_jax.loose_types import Keywords
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow import PowerFlowResult, power_flow
from neomflex_jax.powerflow.stability import on_stable_branch
from validation.referee.feeder_net import net_from_feeder, runpp_needs, shares_in_percent
from validation.referee.net_agreement import check_agreement
from validation.referee.runpp import RUNPP_OPTIONS
from validation.referee.unsolved import Unsolved, unlike_in_parallel

if TYPE_CHECKING:
    import pandas as pd
    from pandapower import pandapowerNet

LOAD_FACTORS = (0.0, 1.5)  # on every load's p by itself
SIGNED_FACTORS = (-1.0, 1.0)  # the same in every second random case, where elements are known
Q_FACTORS = (-0.5, 1.5)
GENERATION = 2.0  # in every second random case: up to this many times the mean load of a bus, at every bus
MOST_SAMPLES = 100_000
MOST_JUDGED = 10  # cases whose stability is looked at, a determinant each
SHARED_MVAR = 1e-6  # pandapower shares a slack bus's q by its generators' limits, 1e9 Mvar if none, which rounds
BRANCHES = ("line", "trafo", "trafo3w", "impedance")


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers to the cases, float64; NaN where there is none; first axis: cases, nominal load first."""

    vm_pu: np.ndarray  # (n, n_bus)
    loss_mw: np.ndarray  # (n,)
    slack_p_mw: np.ndarray  # (n,) import
    slack_q_mvar: np.ndarray  # (n,)

    __repr__ = one_line

    @property
    def solved(self) -> np.ndarray:
        """Cases with an answer, (n,)."""
        return np.isfinite(self.vm_pu).all(axis=1)


@dataclass(frozen=True, eq=False)
class FeederCheck:
    """Our answers and pandapower's, side by side."""

    feeder: Feeder
    own: Answers
    pandapower: Answers
    # of the first few cases solved here alone: on the branch of solutions that begins without load, and behind its end
    stable: tuple[int, ...] = ()
    unstable: tuple[int, ...] = ()
    q_rounding_mvar: float = 0.0  # of pandapower's slack power

    __repr__ = one_line

    @property
    def compared(self) -> np.ndarray:
        """Cases that both solve, (n,)."""
        return self.own.solved & self.pandapower.solved

    @property
    def unsolved(self) -> Unsolved:
        """How many cases neither solves, and one alone."""
        return Unsolved.count(self.own.solved, self.pandapower.solved, len(self.stable), len(self.unstable))

    @property
    def unlike_in_parallel(self) -> str | None:
        """A sentence on transformers side by side with unlike ratios, a reason for what is not solved."""
        return unlike_in_parallel(self.feeder)

    def largest(self, quantity: str, cases: slice = slice(None)) -> float:
        """Largest difference of a field of `Answers` over some cases; NaN if nothing could be compared."""
        both = np.zeros_like(self.compared)
        both[cases] = self.compared[cases]
        difference = np.abs(getattr(self.own, quantity)[both] - getattr(self.pandapower, quantity)[both])
        return float(difference.max()) if both.any() else float("nan")

    @property
    def worst_bus(self) -> int | None:
        """Label of the bus at which voltages differ most."""
        both = self.compared
        if not both.any():
            return None
        difference = np.abs(self.own.vm_pu[both] - self.pandapower.vm_pu[both]).max(axis=0)
        return self.feeder.bus_labels[int(difference.argmax())]

    def differs(self, within_pu: float) -> bool:
        """Return True if one alone solves some case, or voltages or slack powers differ by more.

        False where neither solves any case. Slack powers may differ by this share of the largest: a shunt at the slack
        moves no voltage.
        """
        if self.unsolved.disputed:
            return True
        if not self.compared.any():
            return False
        both, within = self.compared, self.largest("vm_pu") <= within_pu
        for quantity in ("slack_p_mw", "slack_q_mvar"):
            scale = max(1.0, float(np.abs(getattr(self.pandapower, quantity)[both]).max()))
            rounding = self.q_rounding_mvar if quantity == "slack_q_mvar" else 0.0
            within = within and self.largest(quantity) <= within_pu * scale + rounding
        return not within

    def agrees(self, within_pu: float) -> bool:
        """Return True if both solve the nominal loads, and nothing differs."""
        return bool(self.compared[0]) and not self.differs(within_pu)


def check_feeder(
    feeder: Feeder,
    net_path: Path | None = None,
    *,
    n_samples: int = 50,
    seed: int = 0,
    method: str = "ac",
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> FeederCheck:
    """Solve nominal load and `n_samples` random cases with `method` in float64 and with pandapower.

    Parameters
    ----------
    feeder
        The feeder to check.
    net_path
        A ``net.json`` that the feeder was read from: the referee then. Otherwise a net is built from the feeder.
    n_samples, seed
        How many random cases, and from which seed.
    method
        What solves them here, `ac` or `newton`.
    on_case
        Called with the number of cases that pandapower has solved, and the number of all.

    Raises
    ------
    InputError
        If there are too many or too few samples, or pandapower cannot express the feeder.
    """
    if not 0 <= n_samples <= MOST_SAMPLES:
        raise InputError(f"samples = {n_samples} must lie in 0 to {MOST_SAMPLES}")
    if seed < 0:
        raise InputError(f"seed = {seed} must be at least 0")
    if net_path is None:
        net, trafo_model = net_from_feeder(feeder), "pi"
        check_agreement(net, feeder)
    else:
        net, trafo_model = read_net(net_path), "t"
        net.user_pf_options = {}  # options stored in a net would overrule the ones given to runpp
    p_mw, q_mvar = random_injections(feeder, n_samples, seed)
    theirs = _by_pandapower(feeder, net, trafo_model, p_mw, q_mvar, on_case)
    with jax.enable_x64(True):
        flow = power_flow(feeder, p_mw, q_mvar, method)
        ok = np.asarray(flow.converged)
        own = {name: np.asarray(getattr(flow, name), np.float64).copy() for name in Answers.__annotations__}
    own["vm_pu"] = own["vm_pu"][
        :, [position for position, label in enumerate(feeder.bus_labels) if label in net.bus.index]
    ]
    for values in own.values():
        values[~ok] = np.nan
    rounding = SHARED_MVAR if _slack_generators(net)[1].any() else 0.0
    check = FeederCheck(feeder, Answers(**own), theirs, q_rounding_mvar=rounding)
    alone = np.flatnonzero(check.own.solved & ~check.pandapower.solved)[:MOST_JUDGED]
    stable, unstable = _by_branch(feeder, flow, alone)
    return replace(check, stable=stable, unstable=unstable)


def _by_branch(feeder: Feeder, flow: PowerFlowResult, cases: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find which cases are on a stable branch and which on none; neither without a solution without load to go by."""
    if not len(cases):
        return (), ()
    try:
        stable = on_stable_branch(feeder, np.asarray(flow.vm_pu)[cases], np.asarray(flow.va_degree)[cases])
    except InputError:
        return (), ()
    return tuple(cases[stable].tolist()), tuple(cases[~stable].tolist())


def random_injections(feeder: Feeder, n_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Injections (1 + n_samples, n_bus), positive into the grid: the nominal loads first."""
    random = np.random.default_rng(seed)
    if feeder.elements:
        return _scaled_elements(feeder, n_samples, random)
    size = (n_samples, feeder.n_bus)
    p_mw = -random.uniform(*LOAD_FACTORS, size) * feeder.load_p_mw
    q_mvar = -random.uniform(*Q_FACTORS, size) * feeder.load_q_mvar
    generation_mw = random.uniform(0.0, GENERATION, size) * np.abs(feeder.load_p_mw).mean()
    p_mw[1::2] += generation_mw[1::2]
    return np.vstack([-feeder.load_p_mw, p_mw]), np.vstack([-feeder.load_q_mvar, q_mvar])


def _scaled_elements(feeder: Feeder, n_samples: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Injections (1 + n_samples, n_bus) with every element scaled by itself, generators that hold a voltage too."""
    rows, held = feeder.elements.rows, feeder.held
    at = [feeder.bus_position(row.bus) for row in rows] + ([] if held is None else list(held.bus))
    given_mw = np.array([-row.p_mw for row in rows] + ([] if held is None else list(held.p_mw)))
    given_mvar = np.array([-row.q_mvar for row in rows] + ([] if held is None else [0.0] * len(held.bus)))
    size = (n_samples, len(at))
    p_factors, q_factors = random.uniform(*LOAD_FACTORS, size), random.uniform(*Q_FACTORS, size)
    p_factors[1::2] = random.uniform(*SIGNED_FACTORS, size)[1::2]
    changes = []
    for factors, given in ((p_factors, given_mw), (q_factors, given_mvar)):
        change = np.zeros((feeder.n_bus, 1 + n_samples))
        np.add.at(change[:, 1:], at, ((factors - 1) * given).T)
        changes.append(change.T)
    return changes[0] - feeder.load_p_mw, changes[1] - feeder.load_q_mvar


def _by_pandapower(
    feeder: Feeder,
    net: pandapowerNet,
    trafo_model: str,
    p_mw: np.ndarray,
    q_mvar: np.ndarray,
    on_case: Callable[[int, int], None],
) -> Answers:
    import pandapower

    labels = [label for label in feeder.bus_labels if label in net.bus.index]  # the others are inside of elements
    here = [feeder.bus_position(label) for label in labels]
    added = [
        pandapower.create_load(net, label, p_mw=0.0, q_mvar=0.0, name="difference", **shares_in_percent(feeder, bus))
        for label, bus in zip(labels, here, strict=True)
    ]  # with the shares of its bus, so that the mean over the loads there stays what it is
    options = RUNPP_OPTIONS | runpp_needs(feeder) | {"trafo_model": trafo_model}
    rows = []
    p_mw, q_mvar = p_mw[:, here], q_mvar[:, here]
    for case, (p, q) in enumerate(zip(p_mw, q_mvar, strict=True)):
        net.load.loc[added, "p_mw"], net.load.loc[added, "q_mvar"] = p_mw[0] - p, q_mvar[0] - q
        rows.append(_solve(net, labels, options))
        on_case(case + 1, len(p_mw))
    vm_pu, loss_mw, slack_p_mw, slack_q_mvar = (np.array(values) for values in zip(*rows, strict=True))
    return Answers(vm_pu, loss_mw, slack_p_mw, slack_q_mvar)


def _solve(net: pandapowerNet, labels: list[int], options: Keywords) -> tuple[np.ndarray, float, float, float]:
    import pandapower

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # a diverging Newton overflows, which its status says
            pandapower.runpp(net, **options)
    except (pandapower.LoadflowNotConverged, FloatingPointError):  # the latter where a start from DC divides by x = 0
        nothing = float("nan")
        return np.full(len(labels), np.nan), nothing, nothing, nothing
    loss_mw = sum(float(net[f"res_{branches}"]["pl_mw"].sum()) for branches in BRANCHES) + _inside_wards_mw(net)
    return net.res_bus["vm_pu"].loc[labels].to_numpy(), loss_mw, *supplied_by_slacks(net)


def _inside_wards_mw(net: pandapowerNet) -> float:
    """Losses between extended wards' buses and their inner ones, which produce nothing."""
    if net.xward.empty:
        return 0.0
    wards = net.xward[net.xward["in_service"]]
    results = net.res_xward.loc[wards.index]
    return float((results["p_mw"] - wards["ps_mw"] - wards["pz_mw"] * results["vm_pu"] ** 2).sum())


def supplied_by_slacks(net: pandapowerNet) -> tuple[float, float]:
    """Return what external grids supply, MW and Mvar, those that are generators among them.

    Of other generators at their buses it is the reactive power, which pandapower shares out among all of a bus.
    """
    supplied = net.res_ext_grid[["p_mw", "q_mvar"]].sum()
    is_slack, is_beside = _slack_generators(net)
    p_mw, q_mvar = (net.res_gen[name].fillna(0.0) for name in ("p_mw", "q_mvar"))
    reactive = float(supplied["q_mvar"] + q_mvar[is_beside].sum())
    for end in ("from", "to"):  # of DC lines, whose ends hold voltages like generators
        here = _at_slacks(net, net.dcline[f"{end}_bus"]) & net.dcline["in_service"].to_numpy(bool)
        reactive -= float(net.res_dcline[f"q_{end}_mvar"][here].fillna(0.0).sum())
    return float(supplied["p_mw"] + p_mw[is_slack].sum()), reactive


def _slack_generators(net: pandapowerNet) -> tuple[np.ndarray, np.ndarray]:
    """Return which generators of a solved net are slacks, and which stand at slacks' buses, (n_gen,) each."""
    in_service = net.gen["in_service"].to_numpy(bool)
    return net.gen["slack"].to_numpy(bool) & in_service, _at_slacks(net, net.gen["bus"]) & in_service


def _at_slacks(net: pandapowerNet, buses: pd.Series) -> np.ndarray:
    """Return which of some buses of a solved net are slacks', (n,)."""
    if buses.empty:
        return np.zeros(0, bool)
    place = net._pd2ppc_lookups["bus"]
    slack_generators = net.gen["slack"].to_numpy(bool) & net.gen["in_service"].to_numpy(bool)
    slacks = [*net.ext_grid["bus"][net.ext_grid["in_service"]], *net.gen["bus"][slack_generators]]
    return np.isin(place[buses], place[slacks])
