"""What each agent sees: measurements of its part of the feeder, and nothing else of the grid.

All that can be seen of a step is one vector, the blocks of `measurements.py` one after the other; an agent's
observation is a selection from it, then the same of earlier steps if it has a history. Of what somebody measures it
sees its own by scope `territory` (or voltages of the buses that its territory `observes`), by `local` the voltages only
where it has devices, by `neighbours` also what agents of adjacent territories measure, by `global` all; its own comes
first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from neomflex_jax.environment.limited_branches import LimitedBranches
from neomflex_jax.environment.step.measurements import Block, Now, Value, observation_blocks
from neomflex_jax.errors import InputError
from neomflex_jax.grid import AnyFeeder
from neomflex_jax.grid.territories import TerritoryLayout, pad
from neomflex_jax.one_line import one_line
from neomflex_jax.packing import Packing
from neomflex_jax.scenario import Scenario


@dataclass(frozen=True, eq=False)
class ObservationLayout:
    """Which values every agent sees."""

    blocks: tuple[Block, ...]
    values: tuple[Value, ...]  # (n_values,) of one step
    owner: np.ndarray  # (n_values,) agent that measures it, n_agents for what everybody knows
    slots: np.ndarray  # (n_agents, observation_size) index into the values of all frames, their number where padded
    mask: np.ndarray  # (n_agents, observation_size) True where real
    n_frames: int
    packing: Packing | None = None  # arrays over agents are packed as it says; None: as above

    __repr__ = one_line

    def packed(self, packing: Packing) -> ObservationLayout:
        """Return the layout of packed observations."""
        return replace(self, slots=packing.packed(self.slots), mask=packing.packed(self.mask), packing=packing)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value of every entry, (n_agents, observation_size) each, 0 where padded."""
        low, high = (
            np.array([*(getattr(value, end) for value in self.values)] * self.n_frames + [0.0], np.float32)[self.slots]
            for end in ("low", "high")
        )
        return low, high


def lay_out_observations(
    scenario: Scenario,
    layout: TerritoryLayout,
    feeder: AnyFeeder,
    further: tuple[Block, ...] = (),
    limited: LimitedBranches | None = None,
) -> ObservationLayout:
    """Lay out the observations of a scenario, `further` blocks at the end of each step's values."""
    blocks = (*observation_blocks(scenario, layout, feeder, limited), *further)
    n_frames = scenario.observation.history
    values = tuple(value for block in blocks for value in block.values)
    owner = np.full(len(values), layout.n_agents)
    frames: list[list[np.ndarray]] = [[] for _ in range(layout.n_agents)]
    first = 0
    for block in blocks:
        everything = np.arange(len(block.values))
        for agent in range(layout.n_agents):
            if block.owned is not None:
                owner[first + block.owned[agent]] = agent
            shown = block.owned if block.observed is None else block.observed
            seen = [everything] if shown is None else [shown[i] for i in _seen(scenario, layout, agent)]
            frames[agent] += [first + part for part in seen]
        first += len(block.values)
    rows = [np.concatenate(frame) for frame in frames]
    rows = [np.concatenate([row + len(values) * age for age in range(n_frames)]) for row in rows]
    slots, mask = pad(rows, fill=len(values) * n_frames)
    return ObservationLayout(blocks, values, owner, slots, mask, n_frames)


def _seen(scenario: Scenario, layout: TerritoryLayout, agent: int) -> list[int]:
    """Agents whose measurements an agent sees, itself first."""
    by_scope = {"neighbours": np.flatnonzero(layout.adjacent[agent]), "global": np.arange(layout.n_agents)}
    others = by_scope.get(scenario.observation.scope, np.zeros(0, int))
    return [agent, *(int(other) for other in others if other != agent)]


def measure(layout: ObservationLayout, now: Now) -> Float[Array, " n_values"]:
    """All values that can be seen of a step; 0 where a missing agent would have measured them."""
    parts = [block.read(now) for block in layout.blocks]
    for block, part in zip(layout.blocks, parts, strict=True):
        if jnp.shape(part) != (len(block.values),) or not jnp.issubdtype(part.dtype, jnp.floating):
            what = f"observations {[value.name for value in block.values]}"
            raise InputError(
                f"{what}: read returns {part.dtype} of shape {jnp.shape(part)}; expected floats ({len(block.values)},)"
            )
    values = jnp.concatenate(parts)
    if now.today.missing is None:
        return values
    return jnp.where(jnp.append(now.today.missing, False)[layout.owner], 0.0, values)


def observe(
    layout: ObservationLayout,
    values: Float[Array, " n_values"],
    history: Float[Array, "n_earlier n_values"],
    missing: Bool[Array, " n_agents"] | None,
) -> Float[Array, "n_rows observation_size"]:
    """Observations of all agents, zero where padded or the agent is missing.

    `values` are the present's, `history` earlier ones.
    """
    if layout.mask.size > 2 * layout.mask.sum():  # the gather's derivative would add up all this padding
        real = jnp.concatenate([values, history.ravel()])[layout.slots[layout.mask]]
        seen = jnp.zeros(layout.mask.shape, values.dtype).at[layout.mask.nonzero()].set(real, unique_indices=True)
    else:
        seen = jnp.concatenate([values, history.ravel(), jnp.zeros(1, values.dtype)])[layout.slots]
    if missing is None:
        return seen
    return jnp.where(missing[:, None] if layout.packing is None else missing[layout.packing.agent], 0.0, seen)


def remember(
    values: Float[Array, " n_values"], history: Float[Array, "n_earlier n_values"]
) -> Float[Array, "n_earlier n_values"]:
    """Push the present's values into the history."""
    return jnp.concatenate([values[None], history])[: history.shape[0]]
