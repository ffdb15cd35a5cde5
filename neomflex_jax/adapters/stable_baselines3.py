"""Stable-Baselines3's vectorised interface over Gymnasium's: all copies stay in one compiled call.

``VectorEnvForSB3(gymnasium.make_vec("NeomFlex/neom33-v0", num_envs=64))`` is an `env` for PPO, SAC and the others.
One copy needs no wrapper: Stable-Baselines3 takes ``gymnasium.make("NeomFlex/neom33-v0")`` as it is.

rewards       the team reward; costs of hundreds a day want ``VecNormalize`` around this
dones         terminated or truncated; the observation is then the next day's first already
infos         of a day that ended: ``terminal_observation``, and whether the clock ended it, ``TimeLimit.truncated``, so
              that learners bootstrap. Of every step only `info_names`: there are thousands of copies, and few readers.
seed(n)       copy i begins the next reset's day with the seed n + i
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Num

from neomflex_jax.adapters.extras import missing
from neomflex_jax.errors import InputError
from neomflex_jax.loose_types import Info

try:
    from gymnasium.vector import AutoresetMode, VectorEnv
    from stable_baselines3.common.vec_env import VecEnv
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices
except ImportError as error:
    raise missing("stable_baselines3", "sb3") from error


class VectorEnvForSB3(VecEnv):  # type: ignore[misc]
    """A Gymnasium vector environment for Stable-Baselines3.

    Parameters
    ----------
    many
        As from ``gymnasium.make_vec("NeomFlex/...", num_envs=...)``; a day ends and the next begins in the same step.
    info_names
        Entries of `many`'s info that every copy's info shall have.

    Raises
    ------
    InputError
        If `many` starts its next days in a step of their own.
    """

    def __init__(self, many: VectorEnv[np.ndarray, np.ndarray, np.ndarray], info_names: Sequence[str] = ()) -> None:
        mode = many.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise InputError(f"autoreset_mode = {mode} must be AutoresetMode.SAME_STEP; give a make_vec of NeomFlex")
        self.many = many
        self.info_names = tuple(info_names)
        self._actions: np.ndarray | None = None
        super().__init__(many.num_envs, many.single_observation_space, many.single_action_space)

    def reset(self) -> Float[np.ndarray, "num_envs n_observation"]:
        """Begin a day in every copy, by the seeds given to `seed` if any were."""
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observation, info = self.many.reset(seed=seeds)
        self.reset_infos = self._named(info)
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: Num[np.ndarray, "num_envs n_action"]) -> None:
        """Take the actions; `step_wait` plays them."""
        self._actions = np.asarray(actions)

    def step_wait(
        self,
    ) -> tuple[
        Float[np.ndarray, "num_envs n_observation"],
        Float[np.ndarray, " num_envs"],
        Bool[np.ndarray, " num_envs"],
        list[Info],
    ]:
        """Play half an hour in every copy."""
        assert self._actions is not None, "step_async comes first"
        observation, rewards, terminated, truncated, info = self.many.step(self._actions)
        ended = terminated | truncated
        infos = self._named(info)
        for copy in np.flatnonzero(ended):
            infos[copy]["terminal_observation"] = info["final_obs"][copy]
            infos[copy]["TimeLimit.truncated"] = bool(truncated[copy] and not terminated[copy])
        return observation, np.asarray(rewards, np.float32), ended, infos

    def close(self) -> None:
        """Nothing is open."""
        self.many.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Draw every copy."""
        images: Any = self.many.render()
        return [None] * self.num_envs if images is None else images

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[object]:
        """Return an attribute once for every copy; all copies share it."""
        return [getattr(self.many, attr_name)] * self._count(indices)

    def set_attr(self, attr_name: str, value: object, indices: VecEnvIndices = None) -> None:
        """Refuse: copies are one compiled program."""
        raise InputError(f"{attr_name}: copies share one compiled environment; make it anew with what shall change")

    def env_method(
        self, method_name: str, *method_args: object, indices: VecEnvIndices = None, **method_kwargs: object
    ) -> list[object]:
        """Refuse: copies are one compiled program."""
        raise InputError(f"{method_name}: copies share one compiled environment and have no methods of their own")

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        """Return False for every copy: none is wrapped."""
        return [False] * self._count(indices)

    def _count(self, indices: VecEnvIndices) -> int:
        return self.num_envs if indices is None else np.size(indices)

    def _named(self, info: Info) -> list[Info]:
        """Return one info dict for each copy."""
        unknown = [name for name in self.info_names if name not in info]
        if unknown:
            known = ", ".join(name for name in info if not name.startswith("_"))
            raise InputError(f"info_names: {unknown[0]!r} is no entry of info; there are {known}")
        return [{name: info[name][copy] for name in self.info_names} for copy in range(self.num_envs)]
