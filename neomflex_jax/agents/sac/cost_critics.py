"""Critics of constraints: for each a pair of twins, of the steps that the team is still going to break it in.

    C_k(s, a) = E[ sum_t gamma^t broken_t ],  broken_t in {0, 1},   k = 1, 2
    y = broken + gamma max_k C_k(s', a'),     a' as the policies act now
    actors descend on  temperature log pi - min_k Q_k + UNITS sum_i multiplier_i max_k C_ik

They are the reward's critics (`critics.py`), of a reward of -1 where the constraint is broken: so the greater of two
costs is the lesser of two values. There is no entropy in them. A constraint is the team's, so its critics see
everyone's observations and actions, whatever the reward's see.

Constrained SAC with critics of costs: S. Ha et al., "Learning to walk in the real world with minimal human effort",
arXiv:2002.08550; the multipliers: `agents/multipliers.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from jax import Array

from neomflex_jax.agents import optimiser
from neomflex_jax.agents.optimiser import Params, mean_over_devices
from neomflex_jax.agents.sac.config import Settings
from neomflex_jax.agents.sac.critics import Critics, Seen
from neomflex_jax.agents.sac.losses import lesser, soft_target
from neomflex_jax.one_line import one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class CostCritic:
    """The critics of one constraint; parameters have a leading axis of one pair of twins."""

    critic: Params
    target: Params
    moments: optax.OptState

    __repr__ = one_line


def start(critics: Critics, key: Array, input_shape: tuple[int, int]) -> CostCritic:
    """Return fresh critics; `critics` are shared ones."""
    fresh = critics.init(key, input_shape)
    return CostCritic(fresh, jax.tree.map(jnp.copy, fresh), optimiser.start(fresh))


def broken_value(critics: Critics, cost: CostCritic, seen: Seen) -> Array:
    """Return minus the steps that will be broken, (batch,), by the twin that expects more of them."""
    return lesser(critics.all_values(cost.critic, seen)[0])


def updated(
    critics: Critics,
    cost: CostCritic,
    seen: tuple[Seen, Seen],
    broken: tuple[Array, Array],
    discount: Array,
    rates: tuple[Array, Settings],
    mesh_axis: str | None,
) -> tuple[CostCritic, Array]:
    """Return the critics after one gradient step, and the loss, ().

    `seen` is what they see of the batch, and of its next observations with the policies' actions there; `broken`, each
    (batch,), of the step and the discounted sum over the steps after it; `rates` the learning rate and the settings.
    """
    learning_rate, settings = rates
    target = critics.all_values(cost.target, seen[1])[0]
    later = soft_target(-broken[1], discount, target, jnp.zeros_like(discount))

    def loss_of(critic: Params) -> Array:
        return critics.losses(critic, seen[0], -broken[0][None], later[None])[0].sum()

    loss, gradients = jax.value_and_grad(loss_of)(cost.critic)
    gradients = mean_over_devices(gradients, mesh_axis)
    critic, moments = optimiser.apply(gradients, cost.moments, cost.critic, learning_rate, settings.max_gradient_norm)
    return CostCritic(critic, critics.followed(cost.target, critic, settings), moments), loss
