"""What each power-flow method gets wrong on a scenario, and how fast it is: the numbers to choose a surrogate by.

Every method answers the same injections as the environment would let it, in JAX's precision of the moment (float32 by
default); the reference is `ac` in float64. `calibrated` is fitted as `make` fits it, and the samples are others than
those of the fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.typing import ArrayLike
from jaxtyping import Float, Num

from neomflex_jax.environment import Environment, make
from neomflex_jax.environment.binding import bound_power_flow, kinds_setting_grid, sample_injections
from neomflex_jax.environment.make import scenario_profiles
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.deviation import Answers, compare, count_violations
from neomflex_jax.evaluation.fidelity_report import Fidelity
from neomflex_jax.evaluation.speed import default_batch_size, flows_per_second
from neomflex_jax.grid import Feeder, load_balanced_feeder
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from neomflex_jax.loose_types import Keywords
from neomflex_jax.powerflow import (
    CHEAPEST_FIRST,
    METHODS,
    PowerFlow,
    PowerFlowResult,
    bind,
    check_method,
    power_flow,
)
from neomflex_jax.scenario import Limits, Scenario, load_scenario

FIRST_SEED = 1  # the fit of `calibrated` draws with seed 0; ours follow it, so that no seed repeats its samples


@platform_is_there()
@nan_is_a_value()
def fidelity(
    scenario: str | Path | Scenario = "neom33",
    power_flow_methods: Sequence[str] | None = None,
    samples: int = 4096,
    seed: int = 0,
    *,
    profiles: str | Path | None = None,
    injections: tuple[Num[ArrayLike, "n_samples n_node"], Num[ArrayLike, "n_samples n_node"]] | None = None,
    batch_size: int | None = None,
    seconds_per_method: float = 0.5,
    on_stage: Callable[[int, int, str], None] | None = None,
) -> Fidelity:
    """State every method's error against exact AC, and its speed, on a scenario's own injections.

    Parameters
    ----------
    scenario
        A packaged scenario's name, a TOML file, or a `Scenario`.
    power_flow_methods
        Names of methods; None takes all.
    samples, seed
        How many injections to draw, each from a random row of the profiles and uniformly random actions of all devices.
    profiles
        Profiles to draw rows from: `training`, `testing` or a CSV file; None takes the scenario's for training.
    injections
        p in MW and q in Mvar, shapes (n_samples, n_node), positive into the grid, instead of drawing any.
    batch_size, seconds_per_method
        Of the measurement of speed; None takes 4096, fewer on feeders of more than 64 buses.
    on_stage
        Called with the number of stages done, of all stages, and what comes next.

    Returns
    -------
    Fidelity
        A table with a row a method, units in its columns' names, and what it rests on.

    Raises
    ------
    InputError
        If an argument is not usable, devices set ratios or shunts, or no sample has an AC solution.
    """
    chosen = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
    _check_counts(samples, seed, batch_size)
    _check_one_grid(chosen)
    feeder = load_balanced_feeder(chosen.feeder, "a comparison of methods")
    methods = _choose_methods(power_flow_methods)
    env = make(chosen, power_flow="lindistflow")  # for its layout and profiles; the cheapest to build
    p, q, samples_from = _samples(chosen, feeder, injections, profiles, samples, seed)
    batch_size = default_batch_size(feeder.n_node) if batch_size is None else batch_size
    n_stages, tell = len(methods) + 2, on_stage or (lambda done, total, what: None)
    tell(0, n_stages, "solving exact AC")
    exact, residual_mva = _solve_reference(chosen, p, q)
    tell(1, n_stages, "measuring speed")
    solvers = {method: _bind(env, feeder, method) for method in methods}
    speed = flows_per_second(solvers, p, q, batch_size, seconds_per_method)
    rows = []
    for index, (method, solver) in enumerate(solvers.items()):
        tell(2 + index, n_stages, f"comparing {method}")
        errors = compare(Answers.of(_solve(feeder, solver, p, q), feeder), exact, chosen.limits)
        rows.append({"method": method, **errors, "batch_size": batch_size, "flows_per_second": speed[method]})
    return _stated(chosen, pd.DataFrame(rows), samples_from, exact, residual_mva, batch_size)


def _stated(
    scenario: Scenario, table: pd.DataFrame, samples_from: str, exact: Answers, residual_mva: float, batch_size: int
) -> Fidelity:
    """Return the table of methods with what is known of samples, reference and machine."""
    return Fidelity(
        scenario=scenario,
        table=table,
        samples_from=samples_from,
        residual_mva=residual_mva,
        precision=str(jnp.zeros(0).dtype),
        batch_size=batch_size,
        device=jax.devices()[0].device_kind,
        **_exact_figures(exact, scenario.limits),
    )


def _check_counts(samples: int, seed: int, batch_size: int | None) -> None:
    for name, value, least in (("samples", samples, 1), ("seed", seed, 0), ("batch_size", batch_size, 1)):
        if value is not None and value < least:
            raise InputError(f"{name} = {value} must be at least {least}")


def _check_one_grid(scenario: Scenario) -> None:
    """Raise `InputError` if devices set the grid itself, which then is another one in every sample."""
    setting = kinds_setting_grid(scenario)
    if setting:
        tables = ", ".join(f"[[{kind.table}]]" for kind in setting)
        raise InputError(
            f"scenario {scenario.name!r}: fidelity compares methods on one grid, and {tables} set ratios or shunts of "
            "their own in every step, which `ac` and `newton` alone solve; compare on a copy of the scenario without "
            "these tables, that is with all of them at position 0"
        )


def _choose_methods(names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return tuple(kind.name for kind in CHEAPEST_FIRST)
    if not names:
        raise InputError(f"no power-flow method was given; known: {', '.join(METHODS)}")
    return tuple(dict.fromkeys(check_method(name) for name in names))


def _samples(
    scenario: Scenario,
    feeder: Feeder,
    given: tuple[ArrayLike, ArrayLike] | None,
    profiles: str | Path | None,
    samples: int,
    seed: int,
) -> tuple[Float[np.ndarray, "n_samples n_node"], Float[np.ndarray, "n_samples n_node"], str]:
    """Return p and q of the samples, given or drawn, and where they are from.

    In float64, rounded to JAX's precision of the moment: all methods answer exactly the same question.
    """
    if given is None:
        profiles = scenario.profiles if profiles is None else profiles
        days = scenario_profiles(scenario, profiles, feeder)
        given = sample_injections(scenario, feeder, days, samples, FIRST_SEED + seed)
        rows = f"random rows of profiles {Path(profiles).name!r}"
        samples_from = f"{rows} under random actions of all devices, seed {seed}"
    else:
        samples_from = "given injections"
        for name, values in zip(("p", "q"), given, strict=True):
            if np.ndim(values) != 2 or np.shape(values)[1] != feeder.n_node or len(np.asarray(values)) == 0:
                expected = f"(n_samples, {feeder.n_node})"
                raise InputError(f"injections: {name} has shape {np.shape(values)}; expected {expected}")
    p, q = (np.array(jnp.asarray(values, float), np.float64) for values in given)
    return p, q, samples_from


def _solve_reference(
    scenario: Scenario, p: Float[np.ndarray, "n_samples n_node"], q: Float[np.ndarray, "n_samples n_node"]
) -> tuple[Answers, float]:
    """Exact answers in float64, and their largest bus mismatch in MVA.

    Nothing here is shared with the methods under test: JAX may hold single-precision copies of NumPy arrays that it
    has seen, so the feeder is read anew and the injections are copied.
    """
    with jax.enable_x64(True):
        feeder = load_balanced_feeder(scenario.feeder)
        flow = _solve(feeder, bind(feeder, "ac"), p, q)
        answers = Answers.of(flow, feeder)
        residual_mva = np.array(flow.residual_mva)
    if not answers.converged.any():
        raise InputError(
            f"none of the {len(p):,} samples has an AC solution; give injections that the feeder can carry"
        )
    return answers, float(residual_mva[answers.converged].max())


def _exact_figures(exact: Answers, limits: Limits) -> Keywords:
    """Describe the samples: how many of which size, and the losses and violations of those with an AC solution."""
    solved = exact.converged
    vm_pu = exact.vm_pu[solved]
    return {
        "n_samples": len(solved),
        "n_solved": int(solved.sum()),
        "n_bus": vm_pu.shape[1],
        "n_branch": exact.branch_i_ka.shape[1],
        "mean_loss_mw": float(exact.loss_mw[solved].mean()),
        "hard_violations": count_violations(vm_pu, vm_pu, limits.hard_min_pu, limits.hard_max_pu).true,
        "band_violations": count_violations(vm_pu, vm_pu, limits.band_min_pu, limits.band_max_pu).true,
    }


def _solve(feeder: Feeder, solver: PowerFlow, p: np.ndarray, q: np.ndarray) -> PowerFlowResult:
    """Solve all samples in one compiled program, piece by piece, as inside a training."""
    solve = jax.jit(lambda solver, p, q: power_flow(feeder, p, q, solver))
    return solve(solver, jnp.array(p, float), jnp.array(q, float))


def _bind(env: Environment, feeder: Feeder, method: str) -> PowerFlow:
    """Bind a method as `make` does."""
    bound = bound_power_flow(method, feeder, env.scenario, env.profiles)
    assert isinstance(bound, PowerFlow)  # the feeder is balanced
    return bound
