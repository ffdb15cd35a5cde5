"""PettingZoo's parallel interface: every agent for itself, all at once.

action        by agent: Box(-1, 1) of its real entries, unpadded
observation   by agent: Box of its real entries, unpadded
reward        by agent: `timestep.reward`, what the scenario gives learners (its own, or the team's mean)
terminated    by the task, truncated by the clock; for all agents at once, and then `agents` is empty
info          by agent: its own buses', devices', rewards' and costs' values, and the feeder's scalars;
              arrays over the rest of the feeder are nobody's (`episode.timestep.info` holds all)
state()       the joint observation: all agents' entries, in agent order
reset(seed)   as in `adapters/gymnasium.py`: the day of ``env.reset(jax.random.key(seed))``; without a seed the
              scenario's next day if the last has ended, else a first day by a generator that the last seed set up
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Num, UInt8

from neomflex_jax.adapters.episode import FRAMES_PER_SECOND, RENDER_MODES, Episode, checked_render_mode
from neomflex_jax.adapters.extras import missing
from neomflex_jax.adapters.joint import checked_agent_actions, join
from neomflex_jax.environment import Environment, StepInfo, TimeStep, make
from neomflex_jax.environment.step.info import TERM
from neomflex_jax.grid import Feeder
from neomflex_jax.loose_types import FieldValue, Info
from neomflex_jax.scenario import Scenario

try:
    from gymnasium.spaces import Box
    from gymnasium.utils.seeding import np_random
    from pettingzoo import ParallelEnv
except ImportError as error:
    raise missing("pettingzoo", "adapters") from error

NODE_VALUES = ("vm_pu", "p_injection_mw", "q_injection_mvar")
LOAD_VALUES = ("load_p_mw", "load_q_mvar")
BY_AGENT = ("local_reward", "constraint_cost", "clipped_actions", "nan_actions")


class NeomFlexParallelEnv(ParallelEnv[str, np.ndarray, np.ndarray]):  # type: ignore[misc]
    """One copy; `parallel_env` makes it."""

    metadata: ClassVar[Info] = {
        "name": "neomflex_v0",
        "render_modes": list(RENDER_MODES),
        "render_fps": FRAMES_PER_SECOND,
        "is_parallelizable": True,
    }

    def __init__(self, env: Environment, render_mode: str | None = None) -> None:
        self.render_mode = checked_render_mode(render_mode)
        self.episode = Episode(env)
        self.possible_agents = list(env.agents)
        self.agents: list[str] = []
        low, high = env.observation_low, env.observation_high
        seen = env.observation_mask
        self.observation_spaces = {
            agent: Box(low[i, seen[i]], high[i, seen[i]], dtype=np.float32) for i, agent in enumerate(env.agents)
        }
        self.action_spaces = {
            agent: Box(-1.0, 1.0, (int(env.action_mask[i].sum()),), np.float32) for i, agent in enumerate(env.agents)
        }
        self.state_space = Box(join(seen, low), join(seen, high), dtype=np.float32)
        self._np_random: np.random.Generator | None = None

    def observation_space(self, agent: str) -> Box:
        """Return the observation space of an agent, the same object in every call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Box:
        """Return the action space of an agent, the same object in every call."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: Info | None = None
    ) -> tuple[dict[str, Float[np.ndarray, " _"]], dict[str, Info]]:
        """Begin a day, by the module's rule; there are no options."""
        if seed is not None or self._np_random is None:
            self._np_random, _ = np_random(seed)
        self.agents = list(self.possible_agents)
        timestep = self.episode.start(seed, self._np_random)
        return self._observations(timestep), self._infos(timestep)

    def step(
        self, actions: dict[str, Num[np.ndarray, " _"]]
    ) -> tuple[
        dict[str, Float[np.ndarray, " _"]],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, Info],
    ]:
        """Play half an hour.

        Raises
        ------
        InputError
            If an agent's action is missing, has another shape or holds NaN, or the day has ended.
        """
        timestep = self.episode.step(checked_agent_actions(self.episode.env, actions))
        if self.episode.ended:
            self.agents = []
        return (
            self._observations(timestep),
            {agent: float(timestep.reward[i]) for i, agent in enumerate(self.possible_agents)},
            dict.fromkeys(self.possible_agents, bool(timestep.terminated)),
            dict.fromkeys(self.possible_agents, bool(timestep.truncated)),
            self._infos(timestep),
        )

    def render(self) -> UInt8[np.ndarray, "height width 3"] | None:
        """Draw the last answer; None without a render mode."""
        return self.episode.frame() if self.render_mode else None

    def state(self) -> Float[np.ndarray, " n_observation"]:
        """Return the joint observation of the last answer."""
        return join(self.episode.env.observation_mask, np.asarray(self.episode.timestep.observation))

    def _observations(self, timestep: TimeStep) -> dict[str, Float[np.ndarray, " _"]]:
        rows, mask = np.asarray(timestep.observation), self.episode.env.observation_mask
        return {agent: join(mask[i], rows[i]) for i, agent in enumerate(self.possible_agents)}

    def _infos(self, timestep: TimeStep) -> dict[str, Info]:
        return {agent: _own_info(self.episode.env, i, timestep.info) for i, agent in enumerate(self.possible_agents)}


def parallel_env(
    scenario: str | Path | Scenario = "neom33", *, render_mode: str | None = None, **fields: FieldValue
) -> NeomFlexParallelEnv:
    """Build the environment.

    Parameters
    ----------
    scenario
        A packaged scenario's name, a TOML file, or a `Scenario`.
    render_mode
        ``"rgb_array"``: `render` returns a one-line diagram (height, width, 3).
    **fields
        As for `neomflex_jax.make`, for example ``power_flow="ac"``, ``profiles="my.csv"``.

    Raises
    ------
    InputError
        As `neomflex_jax.make`; on an unknown `render_mode`.
    """
    return NeomFlexParallelEnv(make(scenario, **fields), render_mode)


def _own_info(env: Environment, index: int, info: StepInfo) -> Info:
    """Pick what is one agent's of `timestep.info`."""
    layout = env.layout
    own: Info = {name: value for name, value in info.items() if np.ndim(value) == 0}
    own |= {name: info[name][layout.nodes[index]] for name in NODE_VALUES}
    own |= {name: info[name][_loads_of(env, index)] for name in LOAD_VALUES}
    own |= {name: info[name][index] for name in BY_AGENT}
    own |= {f"{TERM}{name}": value[index] for name, value in info.terms.items()}
    for kind in env.kinds:
        devices = layout.devices[kind.table][index]
        own |= {column.name: info[column.name][devices] for column in kind.recorded}
    return own


def _loads_of(env: Environment, agent: int) -> np.ndarray:
    """Positions of the loads at an agent's buses: on a balanced feeder its nodes, with phases the loads one by one."""
    if isinstance(env.feeder, Feeder):
        return env.layout.nodes[agent]
    return np.array([load for load, bus in enumerate(env.feeder.load_buses) if env.scenario.owner(bus) == agent], int)
