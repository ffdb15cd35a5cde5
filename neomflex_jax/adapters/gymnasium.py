"""Gymnasium: one agent that acts for all, on one copy of the environment or on thousands.

Importing this module registers ``NeomFlex/<scenario>-v0`` for every packaged scenario.

action        Box(-1, 1): the real action entries of all agents, flat, in agent order
observation   Box: the real observation entries of all agents, flat, in agent order
reward        the team reward: the sum of the agents' local rewards, as evaluation tables state it, or their mean with
              ``team_reward="mean"``. What learners get from the JAX interface, ``timestep.reward``, is by the
              scenario's own rule (each agent its own or the mean) and has no place here.
terminated    by the task, truncated by the clock: the scenario's rules
info          `timestep.info` as NumPy arrays; ``local_reward`` (n_agents,) is among them
reset(seed)   the day of ``env.reset(jax.random.key(seed))``. Without a seed: the scenario's next day if the last has
              ended, else a first day by a key that `np_random` draws; so all days follow from the first seed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Num, UInt8

from neomflex_jax.adapters.episode import FRAMES_PER_SECOND, RENDER_MODES, Episode, checked_render_mode
from neomflex_jax.adapters.extras import missing
from neomflex_jax.adapters.joint import checked_joint_action, join
from neomflex_jax.environment import Environment, TimeStep, make
from neomflex_jax.fields import check_choice
from neomflex_jax.loose_types import FieldValue, Info
from neomflex_jax.scenario import Scenario, scenario_names

try:
    import gymnasium
except ImportError as error:
    raise missing("gymnasium", "adapters") from error

TEAM_REWARDS: dict[str, Callable[..., Any]] = {"sum": np.sum, "mean": np.mean}


class NeomFlexEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One copy.

    Parameters
    ----------
    scenario
        A packaged scenario's name, a TOML file, or a `Scenario`.
    render_mode
        ``"rgb_array"``: `render` returns a one-line diagram (height, width, 3).
    team_reward
        ``"sum"`` or ``"mean"`` of the local rewards.
    **fields
        As for `neomflex_jax.make`, for example ``power_flow="ac"``, ``profiles="my.csv"``.

    Raises
    ------
    InputError
        As `neomflex_jax.make`; on an unknown `render_mode` or `team_reward`.
    """

    metadata: ClassVar[Info] = {"render_modes": list(RENDER_MODES), "render_fps": FRAMES_PER_SECOND}  # type: ignore[misc]

    def __init__(
        self,
        scenario: str | Path | Scenario = "neom33",
        *,
        render_mode: str | None = None,
        team_reward: str = "sum",
        **fields: FieldValue,
    ) -> None:
        self.render_mode = checked_render_mode(render_mode)
        check_choice("team_reward", team_reward, tuple(TEAM_REWARDS))
        self._team = TEAM_REWARDS[team_reward]
        self.episode = Episode(make(scenario, **fields))
        self.observation_space, self.action_space = joint_spaces(self.episode.env)

    def reset(
        self, *, seed: int | None = None, options: Info | None = None
    ) -> tuple[Float[np.ndarray, " n_observation"], Info]:
        """Begin a day, by the module's rule; there are no options."""
        super().reset(seed=seed)
        timestep = self.episode.start(seed, self.np_random)
        return self._joint(timestep), dict(timestep.info)

    def step(
        self, action: Num[np.ndarray, " n_action"]
    ) -> tuple[Float[np.ndarray, " n_observation"], float, bool, bool, Info]:
        """Play half an hour.

        Raises
        ------
        InputError
            If the action has another shape or holds NaN, or the day has ended.
        """
        timestep = self.episode.step(checked_joint_action(self.episode.env, action))
        reward = float(self._team(timestep.info["local_reward"]))
        return (
            self._joint(timestep),
            reward,
            bool(timestep.terminated),
            bool(timestep.truncated),
            dict(timestep.info),
        )

    def render(self) -> UInt8[np.ndarray, "height width 3"] | None:
        """Draw the last answer; None without a render mode."""
        return self.episode.frame() if self.render_mode else None

    def _joint(self, timestep: TimeStep) -> Float[np.ndarray, " n_observation"]:
        return join(self.episode.env.observation_mask, np.asarray(timestep.observation))


def joint_spaces(env: Environment) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Box]:
    """Spaces of the joint observation and action."""
    low, high = (join(env.observation_mask, bound) for bound in (env.observation_low, env.observation_high))
    actions = gymnasium.spaces.Box(-1.0, 1.0, (int(env.action_mask.sum()),), np.float32)
    return gymnasium.spaces.Box(low, high, dtype=np.float32), actions


def register() -> None:
    """Register every packaged scenario; done once, at import."""
    for name in scenario_names():
        gymnasium.register(
            id=f"NeomFlex/{name}-v0",
            entry_point="neomflex_jax.adapters.gymnasium:NeomFlexEnv",
            vector_entry_point="neomflex_jax.adapters.gymnasium_vector:NeomFlexVectorEnv",
            kwargs={"scenario": name},
        )


register()
