"""One copy of the environment that remembers its state, for interfaces that keep theirs inside.

A seed is a key: `start(seed)` begins the day of ``env.reset(jax.random.key(seed))``, so every adapter and the JAX
interface begin the same day with the same seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np
from jaxtyping import Float, Integer, Key, UInt8

from neomflex_jax.adapters.joint import spread
from neomflex_jax.environment import Environment, State, TimeStep
from neomflex_jax.errors import InputError
from neomflex_jax.fields import check_choice
from neomflex_jax.jax_settings import nan_is_a_value

if TYPE_CHECKING:
    from jax import Array
    from jax.typing import ArrayLike

    from neomflex_jax.plots.one_line import OneLine

RENDER_MODES = ("rgb_array",)
FRAMES_PER_SECOND = 6  # a day in 8 s
N_SEEDS = 2**32  # what a key is made of without 64-bit integers

# The environment is an argument: objects of one scenario share what is compiled.
_reset = jax.jit(Environment.reset)
_next_day = jax.jit(Environment.next_day)
_step = jax.jit(Environment.step)


class Episode:
    """The state between two calls, and the last answer in NumPy."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self._state: State | None = None
        self._timestep: TimeStep | None = None
        self._diagram: OneLine | None = None

    @property
    def timestep(self) -> TimeStep:
        """The last answer, its leaves NumPy arrays.

        Raises
        ------
        InputError
            If no day has begun.
        """
        if self._timestep is None:
            raise InputError("no day has begun; call reset() first")
        return self._timestep

    @property
    def ended(self) -> bool:
        """True if the last step ended its day."""
        last = self._timestep
        return last is not None and bool(last.terminated | last.truncated)

    @nan_is_a_value()
    def start(self, seed: int | None, random: np.random.Generator) -> TimeStep:
        """Begin a day.

        With a seed it is the seed's. Without one, a day that has ended is followed by the scenario's next day
        (random, or the file's next with the energies carried over, or the same again after a violation); otherwise
        `random` draws a seed.
        """
        if seed is None and self.ended:
            return self._keep(*_next_day(self.env, self._state))
        drawn = int(random.integers(N_SEEDS)) if seed is None else seed % N_SEEDS
        return self._keep(*_reset(self.env, jax.random.key(drawn)))

    @nan_is_a_value()
    def step(self, joint_action: Float[np.ndarray, " n_action"]) -> TimeStep:
        """Play one step with a checked joint action.

        Raises
        ------
        InputError
            If no day has begun, or the day has ended.
        """
        if self._state is None or self.ended:
            raise InputError(f"{'the day has ended' if self.ended else 'no day has begun'}; call reset() first")
        return self._keep(*_step(self.env, self._state, spread(self.env.action_mask, joint_action)))

    def frame(self) -> UInt8[np.ndarray, "height width 3"]:
        """Draw the last answer as a one-line diagram."""
        if self._diagram is None:
            self._diagram = one_line(self.env)
        return self._diagram.frame(self.timestep.info)

    def _keep(self, state: State, timestep: TimeStep) -> TimeStep:
        self._state, self._timestep = state, jax.tree.map(np.asarray, timestep)
        return self._timestep


def keys_of(seeds: Integer[ArrayLike, " n"]) -> Key[Array, " n"]:
    """Keys of seeds in 0..2**32 - 1, each that of ``jax.random.key(seed)``."""
    return jax.vmap(jax.random.key)(seeds)


def checked_render_mode(render_mode: str | None) -> str | None:
    """Return the render mode if it is a known one, or None.

    Raises
    ------
    InputError
        If there is no such mode.
    """
    if render_mode is not None:
        check_choice("render_mode", render_mode, RENDER_MODES)
    return render_mode


def one_line(env: Environment) -> OneLine:
    """Build the diagram that frames are drawn with; loads Matplotlib."""
    from neomflex_jax.plots.one_line import OneLine

    return OneLine(env)
