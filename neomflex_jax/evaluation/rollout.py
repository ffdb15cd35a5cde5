"""Play a policy through the days of an environment, day by day in one compiled program, and keep everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, PyTree, Shaped

from neomflex_jax.agents.policy import Policy
from neomflex_jax.environment import AutoReset, Environment, State
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.agent_rows import AgentRows, joined_sizes, laid_out
from neomflex_jax.evaluation.kept import Kept
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.evaluation.trajectory_layout import BY_AGENT, BY_ENTRY, BY_NODE, BY_STEP, FLAGS, INDEX, LOADING
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.jax_settings import nan_is_a_value
from neomflex_jax.loose_types import Keywords
from neomflex_jax.yardsticks.controller import Blind, Controller, Distinct

Observation: TypeAlias = Float[Array, "n_agents observation_size"]
Carry: TypeAlias = tuple[State, Observation, PyTree]  # and the controller's memory
FROM_INFO = tuple(name for name in (INDEX, *FLAGS, *BY_STEP, *BY_NODE, *BY_AGENT) if name != "reward")


def record(
    env: Environment,
    policy: Policy | Controller,
    run: str,
    n_days: int | None = None,
    profiles_sha256: str = "",
    *,
    on_day: Callable[[int, int], None] | None = None,
    kept: Kept | None = None,
) -> Trajectory:
    """Play `n_days` days from the file's first (None: all of them), carrying the energies over.

    Parameters
    ----------
    env
        As from `evaluation_environment`.
    policy
        Acts on padded observations (`agents/policy.py`); or a controller, which sees the environment itself
        (`yardsticks/controller.py`).
    run
        Name of the run in tables, for example ``controlled``.
    profiles_sha256
        SHA-256 of the file that the days are from, to be stated in the trajectory.
    on_day
        Called after every day with the number of days played and of all days.
    kept
        File that the days played are saved to, and that another call with equal arguments goes on from.

    Returns
    -------
    Trajectory
        One row a step.

    Raises
    ------
    InputError
        If there are fewer days than asked for, or the policy acts with NaN.
    """
    return record_with_memory(env, policy, run, n_days, profiles_sha256, on_day=on_day, kept=kept)[0]


@nan_is_a_value()
def record_with_memory(
    env: Environment,
    policy: Policy | Controller,
    run: str,
    n_days: int | None = None,
    profiles_sha256: str = "",
    *,
    on_day: Callable[[int, int], None] | None = None,
    kept: Kept | None = None,
) -> tuple[Trajectory, PyTree]:
    """Play as `record` does, and return the trajectory and the memory that the controller ends with.

    Parameters
    ----------
    env, policy, run, n_days, profiles_sha256, on_day, kept
        As for `record`.
    """
    n_days = env.profiles.n_days if n_days is None else n_days
    if not 1 <= n_days <= env.profiles.n_days:
        raise InputError(f"n_days = {n_days} must lie in 1..{env.profiles.n_days}, the days of these profiles")
    controller = policy if isinstance(policy, Controller) else Blind(policy)
    played, memory = _play(env, controller, n_days, on_day or (lambda done, total: None), kept)
    by_entry: Keywords = {
        field: AgentRows(played.pop(name), joined_sizes(_masks(env)[name])) for name, field in BY_ENTRY.items()
    }
    actions: AgentRows = by_entry["actions"]
    bad = np.argwhere(~np.isfinite(actions.values) & laid_out(env.action_mask, actions.sizes))
    if bad.size:
        agent = env.agents[actions.entry(bad[0][1:])[0]]
        raise InputError(f"run {run!r}: the action of {agent} at step {bad[0][0]} is not finite")
    trajectory = Trajectory(
        run=run,
        scenario=env.scenario,
        power_flow=env.power_flow.method,
        nodes=env.feeder.nodes,
        load_buses=env.feeder.load_buses if isinstance(env.feeder, UnbalancedFeeder) else (),
        branches=() if env.limited is None else env.limited.name,
        profiles_sha256=profiles_sha256,
        **by_entry,
        **played,
    )
    return trajectory, memory


def _play(
    env: Environment, controller: Controller, n_days: int, on_day: Callable[[int, int], None], kept: Kept | None
) -> tuple[Keywords, PyTree]:
    """Play the days one after the other, and return what is recorded of every step, by name, and the last memory."""
    distinct = Distinct.of(controller)
    carry = _begin(env, distinct)
    of_a_day = jax.eval_shape(_play_day, env, distinct, carry)[1]
    rows = {name: np.zeros((n_days, *one.shape), one.dtype) for name, one in of_a_day.items()}
    standing = (np.zeros((), np.int32), carry, rows)
    found = None if kept is None else kept.load(standing)
    done, carry, rows = standing if found is None else found
    on_day(int(done), n_days)
    for day in range(int(done), n_days):
        carry, played = _play_day(env, distinct, carry)
        for name, values in jax.device_get(played).items():
            rows[name][day] = values
        if kept is not None:
            kept.save((np.asarray(day + 1, np.int32), carry, rows), last=day + 1 == n_days)
        on_day(day + 1, n_days)
    n_steps = n_days * env.scenario.steps_per_day
    return {name: values.reshape(n_steps, *values.shape[2:]) for name, values in rows.items()}, jax.device_get(carry[2])


def _masks(env: Environment) -> dict[str, Bool[np.ndarray, "n_agents _size"]]:
    """Return what is real of agents' numbers, by the name of the array."""
    return {"observation": env.observation_mask, "action": env.action_mask}


@jax.jit
def _begin(env: Environment, distinct: Distinct) -> Carry:
    state, first = AutoReset(env).reset(jax.random.key(0))
    return state, first.observation, distinct.controller.start(env)


@jax.jit
def _play_day(
    env: Environment, distinct: Distinct, carry: Carry
) -> tuple[Carry, dict[str, Shaped[Array, "steps_per_day ..."]]]:
    copy = AutoReset(env)

    def step(carry: Carry, _: None) -> tuple[Carry, dict[str, Array]]:
        state, observation, memory = carry
        action, memory = distinct.controller.act(env, state, observation, memory)
        kept: dict[str, Array] = {}
        for kind in env.kinds:
            before = kind.kept(state.stores[kind.table])
            kept |= {column.before: before[column.name] for column in kind.recorded if column.before}
        state, timestep = copy.step(state, action)
        kept |= {name: timestep.info[name] for name in FROM_INFO} | dict(timestep.info.devices)
        if env.limited is not None:
            kept[LOADING] = timestep.info[LOADING]
        by_entry = {"observation": observation, "action": action}
        kept |= {name: laid_out(rows, joined_sizes(_masks(env)[name])) for name, rows in by_entry.items()}
        kept["reward"] = timestep.reward
        return (state, timestep.observation, memory), kept

    return jax.lax.scan(step, carry, None, length=env.scenario.steps_per_day)
