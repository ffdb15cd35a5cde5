"""A task: what a step's parts know of it. Data are leaves, everything that a program is compiled for is static."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from neomflex_jax.devices.device import Kind, Params, Turn
from neomflex_jax.environment.limited_branches import LimitedBranches
from neomflex_jax.environment.step.actions import ActionLayout, lay_out_actions
from neomflex_jax.environment.step.measurements import Block
from neomflex_jax.environment.step.observations import ObservationLayout, lay_out_observations
from neomflex_jax.errors import InputError
from neomflex_jax.fields import check_choice
from neomflex_jax.grid.feeder import AnyFeeder
from neomflex_jax.grid.parts import STATIC
from neomflex_jax.grid.territories import TerritoryLayout
from neomflex_jax.packing import Packing
from neomflex_jax.profiles import Profiles
from neomflex_jax.scenario import Scenario


class Packed(NamedTuple):
    """Where observations and actions lie that are not a row an agent, as a learner of very unequal agents has them."""

    observations: Packing
    actions: Packing


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Task:
    """A scenario with its feeder and days; `Environment` adds the power flow."""

    feeder: AnyFeeder
    profiles: Profiles
    scenario: Scenario = field(metadata=STATIC)
    layout: TerritoryLayout = field(metadata=STATIC)
    has_ratings: bool = field(metadata=STATIC)  # whether the feeder states what any branch may carry
    limited: LimitedBranches | None = field(default=None, metadata=STATIC, kw_only=True)  # None: no limits of loading
    reward_terms: tuple[tuple[str, Callable[..., Array]], ...] = field(default=(), metadata=STATIC, kw_only=True)
    observations: tuple[Block, ...] = field(default=(), metadata=STATIC, kw_only=True)  # users' own, as these
    packed: Packed | None = field(default=None, metadata=STATIC, kw_only=True)  # None: a row an agent

    @property
    def agents(self) -> tuple[str, ...]:
        """Agent names in order."""
        return self.scenario.agents

    @property
    def n_agents(self) -> int:
        """Number of agents."""
        return len(self.agents)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of devices in order."""
        return self.scenario.kinds

    def params(self, kind: Kind) -> Params:
        """Return the parameters of a kind's devices, new at every call.

        Parameters
        ----------
        kind
            A class of `devices/`.

        Returns
        -------
        Params
            The kind's own pytree of NumPy arrays (n_device,), units in their names.
        """
        return kind.stack(self.scenario.of(kind))

    @property
    def loads_vary(self) -> bool:
        """True if loads are anything else than their nominal values times one factor."""
        flexible = any(self.scenario.of(kind) for kind in self.kinds if kind.turn == Turn.LOAD)
        return flexible or self.scenario.uncertainty.varies_loads or self.profiles.by_element is not None

    @cached_property
    def action_layout(self) -> ActionLayout:
        """What every action entry sets."""
        layout = lay_out_actions(self.scenario)
        return layout if self.packed is None else layout.packed(self.packed.actions)

    @cached_property
    def observation_layout(self) -> ObservationLayout:
        """What every observation entry is."""
        layout = lay_out_observations(self.scenario, self.layout, self.feeder, self.observations, self.limited)
        return layout if self.packed is None else layout.packed(self.packed.observations)

    @property
    def action_mask(self) -> Bool[np.ndarray, "n_agents action_size"]:
        """True where an action entry is real."""
        return self.action_layout.mask

    @property
    def observation_mask(self) -> Bool[np.ndarray, "n_agents observation_size"]:
        """True where an observation entry is real."""
        return self.observation_layout.mask

    @property
    def observation_low(self) -> Float[np.ndarray, "n_agents observation_size"]:
        """Lowest value of every observation entry, 0 where padded."""
        return self.observation_layout.bounds()[0]

    @property
    def observation_high(self) -> Float[np.ndarray, "n_agents observation_size"]:
        """Highest value of every observation entry, 0 where padded."""
        return self.observation_layout.bounds()[1]

    @property
    def action_size(self) -> int:
        """Length of an agent's padded action."""
        return int(self.action_mask.shape[1])

    @property
    def observation_size(self) -> int:
        """Length of an agent's padded observation."""
        return int(self.observation_mask.shape[1])

    @property
    def constraint_names(self) -> tuple[str, ...]:
        """Names of the last axis of ``info["constraint_cost"]``, see `step/constraint_costs.py`."""
        return ("voltage", "clipping", "loading", "band") if self.has_ratings else ("voltage", "clipping", "band")

    def split(self, values: Array, kind: str | None = None) -> dict[str, Array]:
        """Return unpadded arrays by agent.

        Parameters
        ----------
        values
            Padded rows (..., n_agents, size), observations or actions.
        kind
            ``"observation"`` or ``"action"``; only needed where both have one size.

        Returns
        -------
        dict
            (..., size of the agent) by agent.

        Raises
        ------
        InputError
            If the last axis fits neither, or both and `kind` is not given.
        """
        masks = {"observation": self.observation_mask, "action": self.action_mask}
        if kind is not None:
            check_choice("kind", kind, tuple(masks))
        fitting = [name for name, mask in masks.items() if kind in (None, name) and mask.shape[1] == values.shape[-1]]
        if not fitting:
            sizes = f"observations {self.observation_size}, actions {self.action_size}"
            raise InputError(f"last axis is {values.shape[-1]}; expected {sizes}")
        if len(fitting) > 1:
            raise InputError("observations and actions have one size here; say kind='observation' or kind='action'")
        mask = masks[fitting[0]]
        return {agent: values[..., index, mask[index]] for index, agent in enumerate(self.agents)}
