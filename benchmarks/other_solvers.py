"""power-grid-model, lightsim2grid and pandapower, each behind the one interface that `power_flow.py` measures.

A solver is made for one feeder. `prepare` takes injections of shape (n_cases, n_bus), positive into the grid, turns
them into the solver's own format, and gives the function that is timed: it solves all cases and returns an `Answer`.
Each solver gets its best chance: all cores, a start and a method that suit it, no output beyond the answer, and
(see `power_flow.choose_tolerance`) no more accuracy than is asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from machine import available_cores

from neomflex_jax.grid.feeder import Feeder

MAX_ITERATIONS = 100
SOLVER_NAMES = (
    "pgm_iterative_current",
    "pgm_newton_raphson",
    "lightsim2grid_newton",
    "lightsim2grid_chord",
    "pandapower",
    "pandapower_recycle",
)
PACKAGE_OF = {"pgm": "power_grid_model", "lightsim2grid": "lightsim2grid", "pandapower": "pandapower"}


class Answer(NamedTuple):
    """What every solver must deliver for every case."""

    vm_pu: Any  # (n_cases, n_bus)
    converged: Any  # (n_cases,) bool
    iterations: Any = None  # (n_cases,) where the solver tells them
    va_degree: Any = None  # (n_cases, n_bus) of dc alone


class Solver(Protocol):
    """A power-flow solver bound to a feeder."""

    name: str
    exact: bool  # must agree with the reference
    one_by_one: bool  # has no batch: some cases are solved in a loop
    tolerance: float | None  # in the solver's own measure; None where the solver keeps its default

    def prepare(self, p_injection_mw: np.ndarray, q_injection_mvar: np.ndarray) -> Callable[[], Answer]:
        """Return the function to time."""


def other_solver(name: str, feeder: Feeder) -> Solver:
    """Make one of `SOLVER_NAMES`; `ImportError` where its package is not installed."""
    package, _, variant = name.partition("_")
    if package == "pgm":
        return PowerGridModelSolver(feeder, name, variant)
    if package == "lightsim2grid":
        return LightSim2GridSolver(feeder, name, keeps_factors=variant == "chord")
    return PandapowerSolver(feeder, name, recycle=variant == "recycle")


class PowerGridModelSolver:
    """power-grid-model's batch calculation: row-based input, one column of output, all hardware threads."""

    exact, one_by_one = True, False

    def __init__(self, feeder: Feeder, name: str, method: str) -> None:
        from power_grid_model import PowerGridModel, initialize_array

        self.name, self.method = name, method
        self.tolerance: float | None = 1e-6
        n, topology = feeder.n_bus, feeder.topology
        node = initialize_array("input", "node", n)
        node["id"], node["u_rated"] = np.arange(n), 1e3 * feeder.vn_kv
        line = initialize_array("input", "line", topology.n_branch)
        line["id"] = n + np.arange(topology.n_branch)
        line["from_node"], line["to_node"] = topology.from_bus, topology.to_bus
        line["from_status"] = line["to_status"] = np.array(topology.in_service)
        line["r1"], line["x1"], line["c1"], line["tan1"] = feeder.r_ohm, feeder.x_ohm, 0.0, 0.0
        self.buses = loaded_buses(feeder)
        load = initialize_array("input", "sym_load", len(self.buses))
        load["id"] = n + topology.n_branch + np.arange(len(self.buses))
        load["node"], load["status"], load["type"] = self.buses, 1, 0  # 0: constant power
        load["p_specified"], load["q_specified"] = 0.0, 0.0
        source = initialize_array("input", "source", 1)
        source["id"], source["node"], source["status"] = load["id"][-1] + 1, topology.slack, 1
        source["u_ref"], source["sk"] = feeder.slack_vm_pu, 1e20  # as good as no internal impedance
        self.load_ids = load["id"]
        self.model = PowerGridModel({"node": node, "line": line, "sym_load": load, "source": source})

    def prepare(self, p_injection_mw: np.ndarray, q_injection_mvar: np.ndarray) -> Callable[[], Answer]:
        """Return the function to time."""
        from power_grid_model import initialize_array

        n_cases = len(p_injection_mw)
        update = initialize_array("update", "sym_load", (n_cases, len(self.buses)))
        update["id"] = self.load_ids
        update["p_specified"] = -1e6 * p_injection_mw[:, self.buses]
        update["q_specified"] = -1e6 * q_injection_mvar[:, self.buses]

        def solve() -> Answer:
            output = self.model.calculate_power_flow(
                calculation_method=self.method,
                error_tolerance=self.tolerance,
                max_iterations=MAX_ITERATIONS,
                update_data={"sym_load": update},
                threading=0,
                output_component_types={"node": ["u_pu"]},
                continue_on_batch_error=True,
            )
            converged = np.ones(n_cases, bool)
            if self.model.batch_error is not None:
                converged[self.model.batch_error.failed_scenarios] = False
            return Answer(output["node"]["u_pu"], converged)

        return solve


class LightSim2GridSolver:
    """lightsim2grid's sweep over independent injections: Newton with KLU, all cores, started from the nominal case.

    With `keeps_factors` the Jacobian is factored once ("chord"): more iterations, each cheaper.
    """

    exact, one_by_one = True, False

    def __init__(self, feeder: Feeder, name: str, keeps_factors: bool) -> None:
        from lightsim2grid.network import init_from_pandapower

        self.name, self.keeps_factors = name, keeps_factors
        self.tolerance: float | None = 1e-6
        net, self.buses = pandapower_net(feeder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells that it adds a generator at the slack, as it should
            self.grid = init_from_pandapower(net)
        self.start = np.full(feeder.n_bus, complex(feeder.slack_vm_pu))

    def prepare(self, p_injection_mw: np.ndarray, q_injection_mvar: np.ndarray) -> Callable[[], Answer]:
        """Return the function to time."""
        from lightsim2grid.injectionSweep import InjectionSweepCPP

        sweep = InjectionSweepCPP(self.grid)  # a new one, for it accepts one number of cases only
        sweep.change_algorithm("NRSing_KLU")  # a single slack
        sweep.nb_thread = available_cores()
        sweep.init_from_n_powerflow = True
        config = sweep.get_algo_config()
        integers = list(config.int_params)
        integers[1] = 2 if self.keeps_factors else 0  # RefactorPolicyType: Chord, AlwaysRefactor
        config.int_params = integers  # a new list: the attribute is a copy
        sweep.set_algo_config(config)
        sweep.modify_load_p(np.ascontiguousarray(-p_injection_mw[:, self.buses]))
        sweep.modify_load_q(np.ascontiguousarray(-q_injection_mvar[:, self.buses]))

        def solve() -> Answer:
            sweep.compute(self.start, MAX_ITERATIONS, self.tolerance)
            return Answer(np.abs(sweep.get_voltages()), np.array(sweep.converged_mask()))

        return solve


class PandapowerSolver:
    """pandapower's `runpp` in a loop, plain or with what it can keep from flow to flow (`recycle`)."""

    exact, one_by_one = True, True

    def __init__(self, feeder: Feeder, name: str, recycle: bool) -> None:
        self.name = name
        self.tolerance: float | None = None  # pandapower's own, 1e-8 MVA
        self.net, self.buses = pandapower_net(feeder)
        self.options: dict[str, object] = {"algorithm": "nr", "init": "flat", "lightsim2grid": False}
        if recycle:
            kept = {"bus_pq": True, "trafo": False, "gen": False}
            self.options = {"algorithm": "nr", "init": "results", "recycle": kept, "lightsim2grid": False}

    def prepare(self, p_injection_mw: np.ndarray, q_injection_mvar: np.ndarray) -> Callable[[], Answer]:
        """Return the function to time."""
        import pandapower as pp

        p_mw, q_mvar = -p_injection_mw[:, self.buses], -q_injection_mvar[:, self.buses]
        pp.runpp(self.net, lightsim2grid=False)  # `init="results"` needs some to start from

        def solve() -> Answer:
            vm_pu, converged = np.empty_like(p_injection_mw), np.ones(len(p_mw), bool)
            for case in range(len(p_mw)):
                self.net.load["p_mw"], self.net.load["q_mvar"] = p_mw[case], q_mvar[case]
                try:
                    pp.runpp(self.net, **self.options)
                except pp.LoadflowNotConverged:
                    converged[case] = False
                vm_pu[case] = self.net.res_bus["vm_pu"].to_numpy()
            return Answer(vm_pu, converged)

        return solve


def loaded_buses(feeder: Feeder) -> np.ndarray:
    """Positions of the buses with a load; the others need no component in the other solvers."""
    return np.flatnonzero((feeder.load_p_mw != 0.0) | (feeder.load_q_mvar != 0.0))


def pandapower_net(feeder: Feeder) -> tuple[Any, np.ndarray]:
    """Turn a feeder into a pandapower net, open branches left out, and say which bus each of its loads is at."""
    import pandapower as pp

    topology, buses = feeder.topology, loaded_buses(feeder)
    closed = np.flatnonzero(topology.in_service)
    net = pp.create_empty_network(sn_mva=feeder.s_base_mva)
    pp.create_buses(net, feeder.n_bus, vn_kv=float(np.max(feeder.vn_kv)))
    pp.create_lines_from_parameters(
        net,
        np.array(topology.from_bus)[closed],
        np.array(topology.to_bus)[closed],
        length_km=1.0,
        r_ohm_per_km=feeder.r_ohm[closed],
        x_ohm_per_km=feeder.x_ohm[closed],
        c_nf_per_km=0.0,
        max_i_ka=1.0,
    )
    pp.create_loads(net, buses, p_mw=feeder.load_p_mw[buses], q_mvar=feeder.load_q_mvar[buses])
    pp.create_ext_grid(net, topology.slack, vm_pu=float(feeder.slack_vm_pu))
    return net, buses
