"""Many agents' networks stacked: what each does by itself, whatever lies beyond what it sees."""

import jax
import numpy as np
import pytest

from neomflex_jax.agents.actors import Actors
from neomflex_jax.agents.networks import NetworkPolicy, StackedPolicy, team_policy

SIZES, ACTION_SIZES = (4, 3, 2, 3) * 8, (2, 1, 1, 2) * 8


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_stacked_networks_act_as_each_by_itself(activation):
    actors = Actors((6, 5), SIZES, ACTION_SIZES, activation)
    networks = actors.networks(jax.jit(actors.init)(jax.random.key(0)), actors.no_statistics())
    team = team_policy(networks)
    assert isinstance(team, StackedPolicy)
    assert isinstance(team_policy(networks[:31]), NetworkPolicy)
    seen = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
    seen[~actors.observation_mask] = np.nan
    actions = np.asarray(jax.jit(lambda team, seen: team(seen))(team, seen))
    assert actions.shape == (32, 2)
    for agent, network in enumerate(networks):
        own = network(seen[agent, : SIZES[agent]])
        np.testing.assert_allclose(actions[agent, : ACTION_SIZES[agent]], own, rtol=1e-5, atol=1e-6)
    assert (actions[~actors.action_mask] == 0).all()


def test_networks_of_very_unequal_agents_are_not_padded():
    actors = Actors((4,), (400, *(1,) * 39), (1,) * 40)
    networks = actors.networks(jax.jit(actors.init)(jax.random.key(0)), actors.no_statistics())
    assert isinstance(team_policy(networks), NetworkPolicy)
