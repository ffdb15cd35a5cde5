"""What a trajectory must be to be validated at all: its shapes, whole days, and set-points that are numbers."""

from __future__ import annotations

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.agent_rows import AgentRows
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.evaluation.trajectory_layout import BY_ENTRY
from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.controls import controls_of
from validation.recompute.loading import limited_of
from validation.recompute.observations import observation_sizes
from validation.recompute.own_controls import own_controls, recorded_names
from validation.recompute.phase_set_points import any_set_points_of
from validation.recompute.session_rows import session_names
from validation.recompute.twins import series_names, twins_of
from validation.recompute.users_twins import unknown_observations


def check_trajectory(trajectory: Trajectory, feeder: AnyFeeder) -> None:
    """Make sure that the trajectory can be replayed on the feeder and holds whole days.

    Raises
    ------
    InputError
        If it is empty, has other buses than the feeder, an array of another shape, an unfinished, missing or repeated
        day, or a set-point that is not finite; the message names the array and the step.
    """
    where, scenario = f"trajectory {trajectory.run!r}", trajectory.scenario
    if trajectory.n_steps == 0:
        raise InputError(f"{where} has no steps; record at least one day")
    if scenario.uncertainty.line_error > 0:
        raise InputError(
            f"{where} was recorded with line_error = {scenario.uncertainty.line_error}: its impedances are random, and "
            "the referee's are not; record it in `evaluation_environment(env)`, which leaves disturbances out"
        )
    if trajectory.nodes != feeder.nodes:
        raise InputError(f"{where} has other buses than feeder {feeder.name!r}, which its scenario names")
    if isinstance(feeder, UnbalancedFeeder) and trajectory.load_buses != feeder.load_buses:
        raise InputError(f"{where} has other loads than feeder {feeder.name!r}, which its scenario names")
    has_loading = trajectory.branch_loading_percent is not None
    _check_branches(where, trajectory.scenario, trajectory.branches, has_loading, feeder)
    _check_arrays(where, trajectory, feeder)
    _check_days(where, trajectory)
    for name, values in any_set_points_of(trajectory, feeder).arrays().items():
        if values is None:
            continue
        bad = np.argwhere(~np.isfinite(values))
        if bad.size:
            raise InputError(f"{where}: {name} at step {bad[0][0]} is not finite; it cannot be replayed")


def _check_branches(
    where: str, scenario: Scenario, branches: tuple[str, ...], has_loading: bool, feeder: AnyFeeder
) -> None:
    limited = limited_of(scenario, feeder)
    names = () if limited is None else limited.names
    if branches != names or has_loading != (limited is not None):
        raise InputError(
            f"{where} has loadings of {len(branches)} branches, and its scenario limits {len(names)} of "
            f"feeder {feeder.name!r}; record it again"
        )


def _check_arrays(where: str, trajectory: Trajectory, feeder: AnyFeeder) -> None:
    for name in ("converged", "violated"):
        flags = getattr(trajectory, name)
        if flags.dtype != bool:  # ~1 is -2: counts of integers come out negative
            raise InputError(f"{where}: {name} holds {flags.dtype} values, expected bool")
    expected = _shapes(trajectory.scenario, feeder, trajectory.n_steps, len(trajectory.branches))
    for name, shape in expected.items():
        values: np.ndarray = getattr(trajectory, name)
        if values.dtype.kind not in "fiub":
            raise InputError(f"{where}: {name} holds {values.dtype} values, expected numbers")
        if values.shape != shape:
            raise InputError(f"{where}: {name} has shape {values.shape}, expected {shape}")
    for name, sizes in _sizes(trajectory.scenario, feeder).items():
        rows: AgentRows = getattr(trajectory, BY_ENTRY[name])
        shape = (len(sizes), max(sizes)) if rows.sizes is None else (sum(sizes),)
        if rows.values.dtype.kind not in "fiub":
            raise InputError(f"{where}: {name} holds {rows.values.dtype} values, expected numbers")
        if rows.sizes not in (None, sizes):
            raise InputError(f"{where}: {name} is laid out for agents of other sizes; record it again")
        if rows.values.shape != (trajectory.n_steps, *shape):
            raise InputError(f"{where}: {name} has shape {rows.values.shape}, expected {(trajectory.n_steps, *shape)}")


def _shapes(scenario: Scenario, feeder: AnyFeeder, n: int, n_branch: int) -> dict[str, tuple[int, ...]]:
    """Shape of every array recorded in n steps, by name, in the order in which they are checked."""
    n_agents = len(scenario.agents)
    width = dict.fromkeys(("p_injection_mw", "q_injection_mvar", "vm_pu"), feeder.n_node)
    width |= dict.fromkeys(("load_p_mw", "load_q_mvar"), len(feeder.load_buses))
    width |= {"local_reward": n_agents, "reward": n_agents}
    width |= {name: len(own) for twin, own in twins_of(scenario) for name in twin.recorded}
    width |= {name: len(own) for twin, own in twins_of(scenario) for name in session_names(scenario, twin)}
    if isinstance(feeder, UnbalancedFeeder):
        width["vuf_percent"] = len(feeder.three_phase_buses)
        width |= {name: own_controls(scenario, feeder).width(name) for name in recorded_names(scenario)}
    elif feeder.held is not None:
        width |= dict.fromkeys(("held_p_mw", "held_q_mvar"), len(feeder.held.bus))
    grid = ("loss_mw", "slack_p_mw", "slack_q_mvar", "converged", "violated")
    plain = ("dataset_index", *series_names(scenario), "load_q_factor", "residual_mva", *grid)
    shapes: dict[str, tuple[int, ...]] = {name: (n, size) for name, size in width.items()}
    shapes |= dict.fromkeys(plain, (n,))
    if n_branch:
        shapes["branch_loading_percent"] = (n, n_branch)
    return shapes


def _sizes(scenario: Scenario, feeder: AnyFeeder) -> dict[str, tuple[int, ...]]:
    """Return every agent's number of entries, by the name of the array, where they are known."""
    seen = {} if unknown_observations(scenario) else {"observation": observation_sizes(scenario, feeder)}
    controls = controls_of(scenario)
    return seen | {
        "action": tuple(sum(control.bus in part.buses for control in controls) for part in scenario.territories)
    }


def _check_days(where: str, trajectory: Trajectory) -> None:
    steps = trajectory.scenario.steps_per_day
    if trajectory.n_steps % steps:
        raise InputError(
            f"{where} has {trajectory.n_steps} steps, no multiple of the {steps} of a day; it is truncated"
        )
    row = np.asarray(trajectory.dataset_index)
    if row[0] % steps:
        raise InputError(f"{where} starts at row {row[0]} of the profiles, in the middle of a day")
    jump = np.flatnonzero(np.diff(row) != 1)
    if jump.size:
        step = int(jump[0]) + 1
        raise InputError(
            f"{where}: row {row[step]} follows row {row[step - 1]} at step {step}; days are missing or mixed"
        )
