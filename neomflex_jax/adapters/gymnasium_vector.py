"""Gymnasium's vector interface: thousands of copies in one compiled call, no process beside this one.

As `adapters/gymnasium.py` for each copy, and ``gymnasium.make_vec("NeomFlex/neom33-v0", num_envs=4096)`` gives it.

autoreset     ``AutoresetMode.SAME_STEP``: the step that ends a copy's day gives the next day's first observation and
              info; ``infos["final_obs"]`` and ``infos["final_info"]`` hold those of the ended day, with the masks
              ``_final_obs`` and ``_final_info``. The next day is by the scenario's rule.
reset(seed)   copy i begins the day of seed + i, or of ``seed[i]``; without a seed `np_random` draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Num, UInt8

from neomflex_jax.adapters.episode import N_SEEDS, checked_render_mode, keys_of, one_line
from neomflex_jax.adapters.extras import missing
from neomflex_jax.adapters.gymnasium import TEAM_REWARDS, NeomFlexEnv, joint_spaces
from neomflex_jax.adapters.joint import checked_joint_action, join, spread
from neomflex_jax.environment import Environment, State, TimeStep, make
from neomflex_jax.errors import InputError
from neomflex_jax.fields import check_choice
from neomflex_jax.jax_settings import nan_is_a_value
from neomflex_jax.loose_types import FieldValue, Info
from neomflex_jax.scenario import Scenario

try:
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ImportError as error:
    raise missing("gymnasium", "adapters") from error


@jax.jit
def _reset(env: Environment, seeds: Array) -> tuple[State, TimeStep]:
    return jax.vmap(env.reset)(keys_of(seeds))


@jax.jit
def _step(env: Environment, states: State, actions: Array) -> tuple[State, TimeStep, TimeStep]:
    """Step every copy and start the next day of those that ended; returns that day's first answer as well."""

    def step_one(state: State, action: Array) -> tuple[State, TimeStep, TimeStep]:
        stepped, timestep = env.step(state, action)
        started, first = env.next_day(stepped)
        ended = timestep.terminated | timestep.truncated
        following = jax.tree.map(lambda new, old: jnp.where(ended, new, old), started, stepped)
        return following, timestep, first

    return jax.vmap(step_one)(states, actions)


class NeomFlexVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Copies of one environment.

    Parameters
    ----------
    num_envs
        How many.
    scenario, render_mode, team_reward, **fields
        As for `NeomFlexEnv`. `render` draws every copy: for a few of them.

    Raises
    ------
    InputError
        As `NeomFlexEnv`; if `num_envs` is not at least 1.
    """

    metadata: ClassVar[Info] = {**NeomFlexEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}  # type: ignore[misc]

    def __init__(
        self,
        num_envs: int = 1,
        scenario: str | Path | Scenario = "neom33",
        *,
        render_mode: str | None = None,
        team_reward: str = "sum",
        **fields: FieldValue,
    ) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs = {num_envs} must be at least 1")
        self.num_envs = num_envs
        self.render_mode = checked_render_mode(render_mode)
        check_choice("team_reward", team_reward, tuple(TEAM_REWARDS))
        self._team = TEAM_REWARDS[team_reward]
        self.env = make(scenario, **fields)
        self.single_observation_space, self.single_action_space = joint_spaces(self.env)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._states: State | None = None
        self._info: dict[str, np.ndarray] = {}

    @nan_is_a_value()
    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Info | None = None
    ) -> tuple[Float[np.ndarray, "num_envs n_observation"], Info]:
        """Begin a day in every copy.

        Raises
        ------
        InputError
            If a list of seeds has another length than there are copies, or `options` ask for some copies only.
        """
        if options and "reset_mask" in options:
            raise InputError("reset_mask: every copy starts its next day by itself, in the step that ends one")
        self._states, timestep = _reset(self.env, self._seeds(seed))
        self._info = jax.device_get(timestep.info)
        everywhere = np.ones(self.num_envs, bool)
        return join(self.env.observation_mask, np.asarray(timestep.observation)), _masked(self._info, everywhere)

    @nan_is_a_value()
    def step(
        self, actions: Num[np.ndarray, "num_envs n_action"]
    ) -> tuple[
        Float[np.ndarray, "num_envs n_observation"],
        Float[np.ndarray, " num_envs"],
        Bool[np.ndarray, " num_envs"],
        Bool[np.ndarray, " num_envs"],
        Info,
    ]:
        """Play half an hour in every copy.

        Raises
        ------
        InputError
            If the actions have another shape or hold NaN, or no day has begun.
        """
        if self._states is None:
            raise InputError("no day has begun; call reset() first")
        joint = checked_joint_action(self.env, actions, (self.num_envs,))
        self._states, answer, first_answer = _step(self.env, self._states, spread(self.env.action_mask, joint))
        timestep = jax.device_get(answer)
        observation = join(self.env.observation_mask, timestep.observation)
        terminated, truncated = np.array(timestep.terminated), np.array(timestep.truncated)
        ended = terminated | truncated
        infos: Info = {}
        self._info = timestep.info
        if ended.any():
            first = jax.device_get(first_answer)
            infos = _final(observation, timestep.info, ended)
            observation[ended] = join(self.env.observation_mask, first.observation[ended])
            self._info = {name: _choose(ended, first.info[name], value) for name, value in timestep.info.items()}
        infos |= _masked(self._info, np.ones(self.num_envs, bool))
        rewards = self._team(timestep.info["local_reward"], axis=1, dtype=np.float64)
        return observation, rewards, terminated, truncated, infos

    def render(self) -> tuple[UInt8[np.ndarray, "height width 3"], ...] | None:
        """Draw every copy's last answer; None without a render mode."""
        if self.render_mode is None:
            return None
        diagram = one_line(self.env)
        copies = [{name: value[i] for name, value in self._info.items()} for i in range(self.num_envs)]
        return tuple(diagram.frame(info) for info in copies)

    def _seeds(self, seed: int | Sequence[int | None] | None) -> np.ndarray:
        """Seeds (num_envs,) of the copies; they and `np_random` follow from the one given."""
        if seed is None or isinstance(seed, int | np.integer):
            super().reset(seed=None if seed is None else int(seed))
            drawn = self.np_random.integers(N_SEEDS, size=self.num_envs)
            chosen = drawn if seed is None else int(seed) % N_SEEDS + np.arange(self.num_envs)
        else:
            if len(seed) != self.num_envs:
                raise InputError(f"seed lists {len(seed)} seeds for {self.num_envs} copies")
            drawn = self.np_random.integers(N_SEEDS, size=self.num_envs)
            chosen = np.array([d if s is None else s % N_SEEDS for s, d in zip(seed, drawn, strict=True)])
        return (chosen % N_SEEDS).astype(np.uint32)


def _final(observation: np.ndarray, info: dict[str, np.ndarray], ended: np.ndarray) -> Info:
    """Last observation and info of the copies whose day has ended, in the layout of Gymnasium's own vector classes."""
    final_obs = np.full(len(ended), None, object)
    for copy in np.flatnonzero(ended):
        final_obs[copy] = observation[copy].copy()
    of_ended = {name: _choose(ended, value, np.zeros((), value.dtype)) for name, value in info.items()}
    return {
        "final_obs": final_obs,
        "_final_obs": ended.copy(),
        "final_info": _masked(of_ended, ended),
        "_final_info": ended.copy(),
    }


def _masked(info: dict[str, np.ndarray], present: np.ndarray) -> Info:
    """Add to every value, under its name with an underscore before it, which copies have it."""
    return dict(info) | {f"_{name}": present.copy() for name in info}


def _choose(where: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.where(where.reshape(-1, *[1] * (one.ndim - 1)), one, other)
