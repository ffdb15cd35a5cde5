"""Parameters that agents share: against a loop over the agents written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neomflex_jax import InputError
from neomflex_jax.agents.actors import Actors
from neomflex_jax.agents.gradient import GradientConfig, GradientLearner
from neomflex_jax.agents.sharing import sharing_of

SIZES, ACTION_SIZES, KINDS = (4, 3, 2, 3), (2, 1, 1, 2), (0, 1, 1, 0)
ACTORS = {
    name: Actors((6, 5), SIZES, ACTION_SIZES, "tanh", sharing_of(name, 4, KINDS)) for name in ("shared", "by-kind")
}


@pytest.fixture(scope="module", params=list(ACTORS))
def case(request):
    """Actors, parameters without any zeros, and observations of real entries alone."""
    actors = ACTORS[request.param]
    params = jax.jit(actors.init)(jax.random.key(0))
    params = jax.tree.map(lambda leaf: leaf + 0.1 * np.arange(leaf.size, dtype=np.float32).reshape(leaf.shape), params)
    seen = np.random.default_rng(1).normal(size=(7, 4, 4)).astype(np.float32)
    return actors, params, seen * actors.observation_mask


def by_hand(actors, params, seen):
    """Means of the agents' actions, (7, 4, 2), agent by agent."""
    rows = []
    for agent, (size, n_out) in enumerate(zip(SIZES, ACTION_SIZES, strict=True)):
        group = actors.sharing.groups[agent]
        place = actors.sharing.groups[:agent].count(group)
        trunk = jax.tree.map(lambda leaf, group=group: leaf[group], params["params"])
        own = jax.tree.map(lambda leaf, at=(group, place): leaf[at], params["own"])
        last = own["head"] if actors.sharing.own_head else trunk["Dense_2"]
        first = trunk["Dense_0"]["kernel"][4 - size :]  # the last entries are what all have
        x = jnp.tanh(seen[:, agent, :size] @ first + trunk["Dense_0"]["bias"] + own["bias"])
        x = jnp.tanh(x @ trunk["Dense_1"]["kernel"] + trunk["Dense_1"]["bias"])
        mean = (x @ last["kernel"] + last["bias"])[:, :n_out]
        rows.append(jnp.pad(mean, ((0, 0), (0, 2 - n_out))))
    return jnp.stack(rows, axis=1)


def test_who_shares_with_whom():
    assert sharing_of("independent", 4, KINDS) is None
    assert sharing_of("independent", 2, share_actor=True) == sharing_of("shared", 2)
    assert [list(members) for members in sharing_of("by-kind", 4, KINDS).members] == [[0, 3], [1, 2]]
    with pytest.raises(InputError, match="actors = 'by-size' is not one of 'independent', 'shared', 'by-kind'"):
        GradientConfig(actors="by-size")


def test_actions_and_gradients_are_those_of_a_loop(case):
    actors, params, seen = case

    def cost(act):
        return lambda params: (jnp.sin(act(params)) * actors.action_mask).sum()

    made = jax.jit(lambda params: actors.apply(params, actors.inputs(actors.no_statistics(), seen))[0])
    np.testing.assert_allclose(made(params) * actors.action_mask, by_hand(actors, params, seen), rtol=1e-4, atol=1e-5)
    own, expected = (
        jax.jit(jax.grad(cost(act)))(params) for act in (made, lambda params: by_hand(actors, params, seen))
    )
    assert jax.tree.structure(own) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_what_is_padded_changes_nothing(case):
    actors, params, seen = case
    garbage = np.where(actors.observation_mask, seen, 1e6)
    act = jax.jit(lambda seen: actors.apply(params, actors.inputs(actors.no_statistics(), seen))[0])
    np.testing.assert_array_equal(act(seen), act(garbage))


def test_every_agent_takes_its_own_network_away(case):
    actors, params, seen = case
    expected = np.tanh(by_hand(actors, params, seen))
    for agent, network in enumerate(actors.networks(params, actors.no_statistics())):
        own = network(seen[:, agent, : SIZES[agent]])
        np.testing.assert_allclose(own, expected[:, agent, : ACTION_SIZES[agent]], rtol=1e-3, atol=1e-5)
    with pytest.raises(InputError, match="give actors = 'independent'"):
        actors.from_networks([], jax.random.key(0))


def test_gradients_of_what_is_shared_are_averaged(case):
    actors, params, _ = case
    ones = jax.tree.map(np.ones_like, params)
    averaged = actors.pooled(ones)
    n_sharing = np.array([len(members) for members in actors.sharing.members])
    np.testing.assert_allclose(averaged["params"]["Dense_1"]["bias"][:, 0], 1.0 / n_sharing)
    np.testing.assert_array_equal(averaged["own"]["bias"], ones["own"]["bias"])


@pytest.mark.parametrize("actors", ["shared", "by-kind"])
def test_agents_that_share_find_actions_of_their_own(actors):
    """``cost = sum (a - target_i)^2`` with another target for every agent, which sees nothing that tells it."""
    config = GradientConfig(hidden_sizes=(8,), learning_rate=0.05, actors=actors)
    learner = GradientLearner(config, (1,) * 4, (1,) * 4, kinds=KINDS)
    target, seen = np.array([[0.5], [-0.5], [0.2], [-0.1]], np.float32), jnp.zeros((1, 4, 1))

    def step(state, share):
        state, metrics = learner.update(state, lambda act: (((act(seen) - target) ** 2).sum(), {}), share)
        return state, metrics["gradient_norm"]

    start = jax.jit(learner.init)(jax.random.key(0))
    state, norms = jax.jit(lambda: jax.lax.scan(step, start, jnp.linspace(0.0, 1.0, 300)))()
    np.testing.assert_allclose(learner.acting(state.actor, state.statistics)(seen)[0], target, atol=0.02)
    assert norms.shape == (300, 4)
