"""Controllers as arguments of compiled programs."""

from dataclasses import dataclass

import jax
from jax import Array

from neomflex_jax.agents.policy import NoControl
from neomflex_jax.yardsticks.controller import Blind, Distinct


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Full:
    def __call__(self, observation: Array) -> Array:
        return observation[:, :3] * 0 + 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Empty:
    def __call__(self, observation: Array) -> Array:
        return observation[:, :3] * 0 - 1


def test_two_users_policies_without_fields_are_never_taken_for_each_other() -> None:
    full, empty = (jax.tree.structure(Distinct.of(Blind(policy))) for policy in (Full(), Empty()))
    assert full != empty, "JAX would answer by the program of the other where their hashes meet in a table"
    assert full == jax.tree.structure(Distinct.of(Blind(Full())))
    assert Distinct.of(Blind(NoControl(3))).classes == (Blind, NoControl)
