"""The protocol of yardsticks: they may see the whole environment, its state and what is to come, and carry a memory.

A learner's policy sees observations alone (`agents/policy.py`); `Blind` makes a controller of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import PyTreeDef
from jaxtyping import Float, Int, PyTree

from neomflex_jax.agents.policy import STATIC, Policy
from neomflex_jax.environment import Environment, State
from neomflex_jax.one_line import one_line


@runtime_checkable
class Controller(Protocol):
    """A pytree with two pure functions, which are compiled; the memory is any pytree whose shapes stay."""

    def start(self, env: Environment) -> PyTree:
        """Return the memory before the first step.

        Parameters
        ----------
        env
            Everything that stays as it is.

        Returns
        -------
        memory
            Any pytree.
        """
        ...

    def act(
        self, env: Environment, state: State, observation: Float[Array, "n_agents observation_size"], memory: PyTree
    ) -> tuple[Float[Array, "n_agents action_size"], PyTree]:
        """Choose the actions of one step.

        Parameters
        ----------
        env
            Everything that stays as it is: feeder, devices, profiles, power flow.
        state
            Day, step and stores before the step.
        observation
            What the agents see before the step, padded.
        memory
            As `start` or the step before returned it.

        Returns
        -------
        action
            In [-1, 1], padded.
        memory
            For the next step.
        """
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Blind:
    """A policy on observations as a controller."""

    policy: Policy

    def start(self, env: Environment) -> tuple[()]:
        """Return an empty memory."""
        return ()

    def act(
        self, env: Environment, state: State, observation: Float[Array, "n_agents observation_size"], memory: tuple[()]
    ) -> tuple[Float[Array, "n_agents action_size"], tuple[()]]:
        """Return the policy's actions."""
        return self.policy(observation), memory


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Distinct:
    """A controller as an argument of a jitted function, with the classes that it is made of as a static part.

    JAX compares dataclasses by their leaves and static fields, not by their types: of 300 policies without fields that
    were handed to one jitted function, 50 were answered by another one's program.
    """

    controller: Controller
    classes: tuple[type, ...] = field(metadata=STATIC)

    @staticmethod
    def of(controller: Controller) -> Distinct:
        """The controller with its classes, those of the policies in it too."""
        return Distinct(controller, _classes(jax.tree.structure(controller)))


def _classes(structure: PyTreeDef) -> tuple[type, ...]:
    node = structure.node_data()
    inner = [each for child in structure.children() for each in _classes(child)]
    return tuple(inner) if node is None else (node[0], *inner)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Schedule:
    """Set-points fixed beforehand; after the last row come the rows from the first again."""

    action: Float[Array, "n n_agents action_size"]

    __repr__ = one_line

    def start(self, env: Environment) -> Array:
        """Return 0, the first row."""
        return jnp.zeros((), jnp.int32)

    def act(
        self,
        env: Environment,
        state: State,
        observation: Float[Array, "n_agents observation_size"],
        memory: Int[Array, ""],
    ) -> tuple[Float[Array, "n_agents action_size"], Int[Array, ""]]:
        """Return the next row, and the number of the one after it."""
        return self.action[memory % self.action.shape[0]], memory + 1
