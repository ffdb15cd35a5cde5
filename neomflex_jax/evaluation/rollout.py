"""Play a policy through the days of an environment, in one compiled scan, and keep everything."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from neomflex_jax.agents.baselines.controller import Blind, Controller
from neomflex_jax.agents.policy import Policy
from neomflex_jax.environment import AutoReset, Environment, State
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.jax_settings import nan_is_a_value

FROM_INFO = [
    "dataset_index",
    "demand",
    "solar",
    "load_q_factor",
    "p_injection_mw",
    "q_injection_mvar",
    "load_p_mw",
    "load_q_mvar",
    "load_curtailed_mw",
    "load_owed_mwh",
    "battery_p_mw",
    "battery_q_mvar",
    "battery_soc",
    "pv_p_mw",
    "pv_q_mvar",
    "pv_available_mw",
    "price",
    "vm_pu",
    "loss_mw",
    "slack_p_mw",
    "slack_q_mvar",
    "converged",
    "residual_mva",
    "violated",
    "local_reward",
]


def record(
    env: Environment, policy: Policy | Controller, run: str, n_days: int | None = None, profiles_sha256: str = ""
) -> Trajectory:
    """Play `n_days` days from the file's first (None: all of them), carrying the energies over.

    Parameters
    ----------
    env
        As from `evaluation_environment`.
    policy
        Acts on padded observations, see `agents.policy`; or a controller that sees the environment itself, see
        `agents.baselines.controller`.
    run
        Name of the run in tables, for example ``controlled``.

    Raises
    ------
    InputError
        If there are fewer days than asked for, or the policy acts with NaN.
    """
    return record_with_memory(env, policy, run, n_days, profiles_sha256)[0]


@nan_is_a_value()
def record_with_memory(
    env: Environment, policy: Policy | Controller, run: str, n_days: int | None = None, profiles_sha256: str = ""
) -> tuple[Trajectory, Any]:
    """Play as `record` does; also gives the memory that a controller ends with."""
    n_days = env.profiles.n_days if n_days is None else n_days
    if not 1 <= n_days <= env.profiles.n_days:
        raise InputError(f"n_days = {n_days} must lie in 1..{env.profiles.n_days}, the days of these profiles")
    controller = policy if isinstance(policy, Controller) else Blind(policy)
    played, memory = jax.device_get(_play(env, controller, n_days * env.scenario.steps_per_day))
    bad = np.argwhere(~np.isfinite(played["action"]) & env.action_mask)
    if bad.size:
        raise InputError(f"run {run!r}: the action of {env.agents[bad[0][1]]} at step {bad[0][0]} is not finite")
    trajectory = Trajectory(
        run=run,
        scenario=env.scenario,
        power_flow=env.power_flow.method,
        bus_labels=env.feeder.bus_labels,
        profiles_sha256=profiles_sha256,
        **played,
    )
    return trajectory, memory


@partial(jax.jit, static_argnames="n_steps")
def _play(env: Environment, controller: Controller, n_steps: int) -> tuple[dict[str, Array], Any]:
    copy = AutoReset(env)

    def step(carry: tuple[State, Array, Any], _: None) -> tuple[tuple[State, Array, Any], dict[str, Array]]:
        state, observation, memory = carry
        action, memory = controller.act(env, state, observation, memory)
        kept = {"battery_soc_before": state.battery_soc, "load_owed_before_mwh": state.load_owed_mwh}
        state, timestep = copy.step(state, action)
        kept |= {name: timestep.info[name] for name in FROM_INFO}
        kept |= {"observation": observation, "action": action, "reward": timestep.reward}
        return (state, timestep.observation, memory), kept

    state, first = copy.reset(jax.random.key(0))
    start = (state, first.observation, controller.start(env))
    (_, _, memory), played = jax.lax.scan(step, start, None, length=n_steps)
    return played, memory
