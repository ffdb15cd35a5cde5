"""How many power flows a second, against batch size and against buses, beside three other solvers in the same run.

``python benchmarks/power_flow.py [--buses 33 141] [--batch-sizes 1 4096] [--methods ac pgm_newton_raphson]
[--seconds-per-row 1] [--output FOLDER]``; the other solvers come with ``pip install -e ".[benchmarks]"``.

Every solver gets the same cases (each bus's nominal load times its own random factors between 0 and 2 for p and q), all
cores, its inputs in its own format beforehand, and must deliver the voltage magnitude at every bus of every case and
whether each case converged. The exact ones must be within `AGREES_PU` of a sparse float64 reference; solvers with a
tolerance get the loosest that is accurate enough. Times are the best of repeated calls, the solvers in turns, so that a
noisy neighbour hurts all alike; compilation is left out and stated apart. On an accelerator our answers stay there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from machine import call_with_memory, matrix_product_gflops
from network_products import products_alone
from other_solvers import SOLVER_NAMES, Answer, Solver, other_solver
from power_flow_report import Row, print_report, write_report
from sparse_reference import solve_reference
from synthetic_feeder import benchmark_feeder

import neomflex_jax as nf
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.powerflow import METHODS

AGREES_PU = 1e-6
FIELDS = ("vm_pu", "converged", "iterations")
TOLERANCES = tuple(factor * 10.0**power for power in range(-4, -11, -1) for factor in (1.0, 0.3))
ONE_BY_ONE_CASES = 20
CHECKED_ELEMENTS = 2_500_000  # buses times cases compared with the reference


@dataclass(frozen=True)
class Options:
    """Measure power flows a second."""

    buses: tuple[int, ...] = (33, 69, 141, 533, 2000, 10000)
    """Sizes of the feeders; the packaged feeder where there is one, otherwise a synthetic one."""
    batch_sizes: tuple[int, ...] = (1, 16, 256, 1024, 4096, 16384, 65536)
    methods: tuple[str, ...] = (*METHODS, *SOLVER_NAMES)
    seconds_per_row: float = 1.0
    """Time for repeating one solver's calls on one batch, warming up left out."""
    max_elements: int = 12_000_000
    """Largest buses x batch size; larger batches are skipped (about 200 bytes each with all solvers at once)."""
    newton_max_buses: int = 600
    """`newton` is for single stressed cases: large feeders' batches would take minutes, and are skipped."""
    output: Path | None = None
    """Folder for power_flow.json and power_flow.png."""


class OurMethod:
    """A method of this package as `nf.power_flow` runs it, in JAX's default precision."""

    one_by_one = False

    def __init__(self, feeder: Feeder, name: str) -> None:
        self.feeder, self.bound = feeder, nf.bind(feeder, name)
        self.name, self.exact = name, self.bound.model.exact
        self.tolerance: float | None = None  # the method's own
        self.fields = (*FIELDS, "va_degree") if self.bound.model.angles_only else FIELDS

    def prepare(self, p_injection_mw: np.ndarray, q_injection_mvar: np.ndarray) -> Callable[[], Answer]:
        """Return the function to time."""
        p, q = jnp.asarray(p_injection_mw, float), jnp.asarray(q_injection_mvar, float)

        def solve() -> Answer:
            flow = nf.power_flow(self.feeder, p, q, method=self.bound, fields=self.fields)
            jax.block_until_ready(flow)
            return Answer(flow.vm_pu, flow.converged, flow.iterations, flow.va_degree)

        return solve


@dataclass(frozen=True, eq=False)
class Cases:
    """Injections of a feeder, positive into the grid, and the voltages of the first of them."""

    feeder: Feeder
    p_injection_mw: np.ndarray  # (n_cases, n_bus)
    q_injection_mvar: np.ndarray
    vm_pu: np.ndarray  # (n_checked, n_bus)

    def error_pu(self, answer: Answer) -> float:
        """Largest voltage error of an answer to the first cases; NaN if anything is NaN."""
        n = min(len(self.vm_pu), len(answer.vm_pu))
        return float(np.abs(np.asarray(answer.vm_pu[:n], np.float64) - self.vm_pu[:n]).max())


def make_cases(feeder: Feeder, n_cases: int, seed: int = 0) -> Cases:
    """Nominal loads times independent uniform factors from 0 to 2, for p and q at every bus."""
    factors = np.random.default_rng(seed).uniform(0.0, 2.0, (2, n_cases, feeder.n_bus))
    p, q = -factors[0] * feeder.load_p_mw, -factors[1] * feeder.load_q_mvar
    n_checked = max(1, min(n_cases, CHECKED_ELEMENTS // feeder.n_bus))
    return Cases(feeder, p, q, solve_reference(feeder, p[:n_checked], q[:n_checked]))


def choose_tolerance(solver: Solver, cases: Cases) -> None:
    """Set a solver's tolerance, if it has one: the loosest with which it errs by half of `AGREES_PU` on 256 cases."""
    if solver.tolerance is None:
        return
    n = min(256, len(cases.vm_pu))
    call = solver.prepare(cases.p_injection_mw[:n], cases.q_injection_mvar[:n])
    for tolerance in TOLERANCES:
        solver.tolerance = tolerance
        answer = call()
        if np.all(answer.converged) and cases.error_pu(answer) <= AGREES_PU / 2.0:
            return


def make_solvers(feeder: Feeder, cases: Cases, options: Options, skipped: list[str]) -> list[Solver]:
    """Make the solvers asked for, tolerances chosen; notes down what is left out and why."""
    solvers: list[Solver] = []
    for name in options.methods:
        if name == "newton" and feeder.n_bus > options.newton_max_buses:
            skipped.append(f"newton at {feeder.n_bus} buses: more than {options.newton_max_buses}")
            continue
        try:
            solver: Solver = OurMethod(feeder, name) if name in METHODS else other_solver(name, feeder)
        except (ImportError, nf.InputError) as error:
            skipped.append(f"{name}: {error}")
            continue
        choose_tolerance(solver, cases)
        solvers.append(solver)
    return solvers


def measure(solver: Solver, call: Callable[[], Answer], cases: Cases, batch: int) -> Row:
    """Check the answer and measure what is not a rate: the first call (which compiles), memory, sweeps."""
    before = time.perf_counter()
    answer, extra_mib = call_with_memory(call)
    first_s = time.perf_counter() - before
    error_pu, converged = cases.error_pu(answer), float(np.mean(answer.converged))
    sweeps = None if answer.iterations is None else float(np.mean(answer.iterations))
    n_cases = len(answer.vm_pu)
    products = None
    if isinstance(solver, OurMethod):
        del answer
        _, extra_mib = call_with_memory(call)  # without the compiler's memory
        if solver.name == "ac":
            products = products_alone(solver.bound, n_cases)
    return Row(
        buses=cases.feeder.n_bus,
        feeder=cases.feeder.name,
        solver=solver.name,
        batch=1 if solver.one_by_one else batch,
        cases=n_cases,
        tolerance=solver.tolerance,
        max_error_pu=error_pu,
        checked_cases=min(n_cases, len(cases.vm_pu)),
        converged_share=converged,
        agrees=(error_pu <= AGREES_PU and converged == 1.0) if solver.exact else None,
        sweeps=sweeps,
        first_call_s=first_s,
        peak_extra_mib=extra_mib,
        products=products,
    )


def time_in_turns(calls: list[Callable[[], Answer]], seconds: float, turns: int = 5) -> list[float]:
    """Best seconds of each call; each is repeated for a slice of its time, then the next has its turn."""
    best = [float("inf")] * len(calls)
    spent = [0.0] * len(calls)
    for turn in range(1, turns + 1):
        for index, call in enumerate(calls):
            while spent[index] < seconds * turn / turns or best[index] == float("inf"):
                before = time.perf_counter()
                call()
                took = time.perf_counter() - before
                best[index], spent[index] = min(best[index], took), spent[index] + took
    return best


def measure_batch(solvers: list[Solver], cases: Cases, batch: int, options: Options, square_gflops: float) -> list[Row]:
    """Rows of all solvers on the first `batch` cases."""
    calls, rows = [], []
    for solver in solvers:
        n = min(ONE_BY_ONE_CASES, len(cases.p_injection_mw)) if solver.one_by_one else batch
        calls.append(solver.prepare(cases.p_injection_mw[:n], cases.q_injection_mvar[:n]))
        rows.append(measure(solver, calls[-1], cases, batch))
    for row, seconds in zip(rows, time_in_turns(calls, options.seconds_per_row), strict=True):
        row.finish(seconds, square_gflops)
    return rows


def measure_feeder(n_bus: int, options: Options, square_gflops: float, skipped: list[str]) -> list[Row]:
    """Rows of one feeder: all solvers on all batches that fit; those without a batch once."""
    batches = [batch for batch in sorted(options.batch_sizes) if n_bus * batch <= options.max_elements]
    skipped += [
        f"batch {batch} at {n_bus} buses: more than {options.max_elements:,} buses x cases"
        for batch in sorted(options.batch_sizes)
        if batch not in batches
    ]
    if not batches:
        return []
    feeder = benchmark_feeder(n_bus)
    cases = make_cases(feeder, max(*batches, ONE_BY_ONE_CASES))
    solvers = make_solvers(feeder, cases, options, skipped)
    rows: list[Row] = []
    for batch in batches:
        if batch != batches[0]:
            solvers = [solver for solver in solvers if not solver.one_by_one]
        rows += measure_batch(solvers, cases, batch, options, square_gflops)
        print(f"  {feeder.name}, batch {batch}: done", flush=True)
    return rows


def main() -> None:
    """Measure, print and write."""
    options = tyro.cli(Options)
    unknown = [name for name in options.methods if name not in (*METHODS, *SOLVER_NAMES)]
    if unknown:
        raise SystemExit(f"there is no method {unknown[0]!r}; there are {', '.join((*METHODS, *SOLVER_NAMES))}")
    square_gflops = matrix_product_gflops(2048, 2048, seconds=1.0)
    rows: list[Row] = []
    skipped: list[str] = []
    for n_bus in options.buses:
        rows += measure_feeder(n_bus, options, square_gflops, skipped)
    print_report(rows, skipped, square_gflops)
    if options.output is not None:
        chosen = {name: value for name, value in asdict(options).items() if name != "output"}
        write_report(options.output, rows, skipped, square_gflops, chosen)


if __name__ == "__main__":
    main()
