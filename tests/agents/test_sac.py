"""SAC's parts against numbers worked out by other means, and the whole learner on problems with known values."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neomflex_jax import InputError
from neomflex_jax.agents.fresh import fresh
from neomflex_jax.agents.sac import Sac, SacConfig
from neomflex_jax.agents.sac.critics import Critic
from neomflex_jax.agents.sac.distribution import mode, sample
from neomflex_jax.agents.sac.losses import critic_loss, reward_loss, soft_target, temperature_gradient
from neomflex_jax.agents.sac.replay_buffer import Batch
from neomflex_jax.environment.step.actions import lay_out_actions
from neomflex_jax.scenario import load_scenario

SMALL = SacConfig(n_copies=4, batch_size=64, updates_per_step=2, buffer_size=512, warmup_steps=8, hidden_sizes=(32, 32))
OBSERVATION_MASK = np.array([[True, True, True], [True, True, False]])
ACTION_MASK = np.array([[True, True], [True, False]])
GAMMA = SMALL.gamma


def transitions(key, n=256, reward=None):
    keys = jax.random.split(key, 4)
    observation, following = (jax.random.normal(k, (n, 2, 3)) * OBSERVATION_MASK for k in keys[:2])
    action = jax.random.uniform(keys[2], (n, 2, 2), minval=-1, maxval=1) * ACTION_MASK
    reward = jax.random.normal(keys[3], (n, 2)) if reward is None else reward(observation, action)
    return Batch(observation, action, reward, jnp.zeros_like(reward), jnp.full(n, GAMMA), following)


def test_squashed_density_integrates_to_one():
    action = np.linspace(-0.999999, 0.999999, 200_001)
    unsquashed = np.arctanh(action)
    mean, log_std = 0.3, -0.5
    noise = (unsquashed - mean) / np.exp(log_std)
    drawn, log_probability = sample(
        jnp.full((action.size, 1), mean),
        jnp.full((action.size, 1), log_std),
        jnp.ones(1, bool),
        jnp.asarray(noise)[:, None],
    )
    np.testing.assert_allclose(drawn[:, 0], action, atol=1e-5)
    assert np.trapezoid(np.exp(np.asarray(log_probability, float)), action) == pytest.approx(1.0, abs=2e-3)


def test_log_probability_ignores_padded_dimensions_and_actions_are_zero_there():
    mean, log_std, noise = jnp.array([0.2, 0.0]), jnp.array([-1.0, 0.0]), jnp.array([0.7, 0.1])
    _, alone = sample(mean[:1], log_std[:1], jnp.array([True]), noise[:1])
    for garbage in (0.0, 5.0, -3.0):
        padded = mean.at[1].set(garbage)
        action, log_probability = sample(padded, log_std.at[1].set(garbage), jnp.array([True, False]), noise)
        assert log_probability == alone
        assert action[1] == 0
        assert mode(padded, jnp.array([True, False]))[1] == 0


def test_extreme_unsquashed_actions_have_finite_density():
    _, log_probability = sample(jnp.array([40.0]), jnp.array([0.0]), jnp.array([True]), jnp.array([0.0]))
    assert jnp.isfinite(log_probability)


def test_soft_target_by_hand():
    values = jnp.array([[2.0, 5.0], [3.0, 4.0]])
    target = soft_target(jnp.array([1.0, -1.0]), jnp.array([0.9, 0.0]), values, 0.2 * jnp.array([0.5, 9.0]))
    np.testing.assert_allclose(target, [1.0 + 0.9 * (2.0 - 0.1), -1.0], rtol=1e-6)


def test_critic_loss_adds_both_critics():
    loss = critic_loss(jnp.array([[1.0, 2.0], [2.0, 4.0]]), jnp.array([0.0, 0.0]))
    assert loss == pytest.approx(0.5 * ((1 + 4) + (4 + 16)) / 2)


def test_reward_loss_is_squared_near_and_linear_far():
    loss = reward_loss(jnp.array([0.1, 5.0]), jnp.array([0.0, 1.0]), 0.5)
    assert loss == pytest.approx((0.5 * 0.1**2 + 0.5 * (4.0 - 0.25)) / 2, rel=1e-5)


def test_temperature_rises_when_the_entropy_is_below_its_target():
    log_probability, target = jnp.array([3.0, 4.0]), -1.0  # entropy -3.5 < -1
    by_hand = jax.grad(lambda log_temperature: -(log_temperature * (log_probability + target)).mean())(0.7)
    gradient = temperature_gradient(-log_probability.mean(), target)
    assert gradient == pytest.approx(float(by_hand))
    assert gradient < 0  # a descent step raises the temperature


def test_the_target_entropy_counts_an_agents_own_actions_and_no_padded_ones():
    """A temperature falls where the entropy is above its target, and rises below it."""
    sizes = (2, 1)
    sac = Sac(SMALL, (3, 2), sizes)
    state, batch, update = sac.init(jax.random.key(0)), transitions(jax.random.key(1)), jax.jit(sac.update)
    entropy = update(state, batch, jax.random.key(2))[1]["entropy"]
    for agent, size in enumerate(sizes):
        for margin in (-0.05, 0.05):
            target = (entropy[agent] + margin) / size
            settings = replace(state.settings, target_entropy_per_action=target)
            after, _ = update(replace(state, settings=settings), batch, jax.random.key(2))
            rise = after.log_temperature[agent] - state.log_temperature[agent]
            assert jnp.sign(rise) == jnp.sign(margin)


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("critics", ["local", "joint", "shared"])
def test_garbage_in_padded_slots_changes_nothing(critics, split):
    sac = Sac(replace(SMALL, critics=critics, split=split), (3, 2), (2, 1))
    state = sac.init(jax.random.key(0))
    clean = transitions(jax.random.key(1))
    garbage = replace(
        clean,
        observation=jnp.where(OBSERVATION_MASK, clean.observation, 7.0),
        next_observation=jnp.where(OBSERVATION_MASK, clean.next_observation, -9.0),
        action=jnp.where(ACTION_MASK, clean.action, 3.0),
    )
    update = jax.jit(sac.update)
    for left, right in zip(
        jax.tree.leaves(update(state, clean, jax.random.key(2))),
        jax.tree.leaves(update(state, garbage, jax.random.key(2))),
        strict=True,
    ):
        np.testing.assert_array_equal(left, right)


def test_agents_learn_independently_with_local_critics():
    sac = Sac(replace(SMALL, critics="local"), (3, 2), (2, 1))
    state, batch = sac.init(jax.random.key(0)), transitions(jax.random.key(1))
    other = replace(batch, reward=batch.reward.at[:, 1].add(5.0), observation=batch.observation.at[:, 1, 0].add(1.0))
    update = jax.jit(sac.update)
    first, losses = update(state, batch, jax.random.key(2))
    second, other_losses = update(state, other, jax.random.key(2))
    for left, right in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        if left.ndim:  # the number of updates and the settings have no agents
            np.testing.assert_allclose(left[0], right[0], rtol=1e-5, atol=1e-7)
    same, different = np.asarray(losses["critic_loss"]) / np.asarray(other_losses["critic_loss"])
    assert same == pytest.approx(1.0, rel=1e-5)
    assert different != pytest.approx(1.0, rel=1e-2)


@pytest.mark.parametrize("split", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_probe_constant_reward_has_its_known_value_and_truncation_bootstraps(split):
    terminated, value = jnp.array([1.0, 0.0]), np.array([1.0, 1.0 / (1.0 - 0.5)])
    config = replace(
        SMALL, split=split, gamma=0.5, reward_scale=1.0, initial_temperature=1e-8, learning_rate=3e-3, tau=0.05
    )
    sac = Sac(config, (3, 2), (2, 1))
    state = sac.init(jax.random.key(0))
    batch = transitions(jax.random.key(1), reward=lambda o, a: jnp.ones(a.shape[:2]))

    @jax.jit
    @jax.vmap
    def learn(terminated):
        own = replace(batch, discount=jnp.full_like(batch.discount, 0.5 * (1.0 - terminated)))
        return jax.lax.scan(lambda s, k: sac.update(s, own, k), state, jax.random.split(jax.random.key(2), 600))[0]

    @jax.jit
    @jax.vmap
    def values(learned):
        seen = sac._critics.seen(sac.actors.inputs(learned.statistics, batch.observation), batch.action)
        return jax.vmap(sac._critics.values, in_axes=(0, -2))(learned.critic, seen)

    q = np.asarray(values(learn(terminated)))  # (terminated, agent, transition, critic)
    np.testing.assert_allclose(q.mean(axis=(2, 3)), np.broadcast_to(value[:, None], q.shape[:2]), rtol=0.08)


def test_probe_the_best_action_is_found_by_every_agent():
    target = jnp.array([[0.5, -0.4], [-0.6, 0.0]])

    def reward(observation, action):
        return -10 * jnp.sum((action - target) ** 2 * ACTION_MASK, axis=-1)

    config = replace(SMALL, gamma=0.1, reward_scale=1.0, learning_rate=5e-3, actor_average=0.02, critics="local")
    sac = Sac(config, (3, 2), (2, 1))
    state = sac.init(jax.random.key(0))
    batches = transitions(jax.random.key(1), n=4096, reward=reward)

    def body(state, key):
        index = jax.random.randint(key, (128,), 0, 4096)
        return sac.update(state, jax.tree.map(lambda leaf: leaf[index], batches), jax.random.fold_in(key, 1))

    state, _ = jax.jit(lambda s: jax.lax.scan(body, s, jax.random.split(jax.random.key(2), 800)))(state)
    networks = sac.networks(state)
    for index, network in enumerate(networks):
        real = ACTION_MASK[index]
        actions = network(np.asarray(batches.observation[:50, index, : network.observation_size]))
        np.testing.assert_allclose(actions.mean(0), np.asarray(target)[index, real], atol=0.15)


def test_networks_to_take_away_act_as_the_averaged_actors():
    sac = Sac(SMALL, (3, 2), (2, 1))
    state = sac.with_statistics(sac.init(jax.random.key(0)), transitions(jax.random.key(1)).observation)
    observation = transitions(jax.random.key(3), n=1).observation[0]
    mean, _ = sac.actors.apply(state.averaged_actor, sac.actors.inputs(state.statistics, observation))
    expected = mode(mean, jnp.asarray(ACTION_MASK))
    for index, network in enumerate(sac.networks(state)):
        own = np.asarray(observation[index, : network.observation_size])
        np.testing.assert_allclose(network(own), expected[index, : network.action_size], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 1024}, "batch_size = 1024 is larger than buffer_size = 512"),
        ({"buffer_size": 510}, "nearest: 508 or 512"),
        ({"gamma": 1.5}, "gamma = 1.5"),
        ({"tau": 0.0}, "tau = 0.0 must lie above 0 and at most at 1, or be 'auto'"),
        ({"tau": "fast"}, "tau = 'fast'"),
        ({"critics": "team"}, "'local', 'neighbourhood', 'joint'"),
        ({"warmup_steps": 1000}, "do not fit"),
        ({"hidden_sizes": ()}, "hidden_sizes"),
    ],
)
def test_bad_settings_are_refused_at_construction(changes, message):
    with pytest.raises(InputError, match=message):
        replace(SMALL, **changes)


def test_shared_actors_learn_and_know_who_they_are():
    sac = Sac(replace(SMALL, share_actor=True, critics="shared", learning_rate=1e-2), (3, 2), (2, 1))
    batch = transitions(jax.random.key(1), reward=lambda o, a: a[..., 0])
    state = sac.init(jax.random.key(0))
    update = jax.jit(sac.update)
    for step in range(5):
        state, _ = update(state, batch, jax.random.key(step))
    assert float(jnp.abs(state.actor["own"]["bias"]).max()) > 0.0
    observation = batch.observation[0]
    mean, _ = sac.actors.apply(state.averaged_actor, sac.actors.inputs(state.statistics, observation))
    expected = mode(mean, jnp.asarray(ACTION_MASK))
    for index, network in enumerate(sac.networks(state)):
        own = np.asarray(observation[index, : network.observation_size])
        np.testing.assert_allclose(network(own), expected[index, : network.action_size], rtol=1e-5, atol=1e-6)


def test_a_shared_critic_gives_every_agent_the_gradient_of_its_own_action():
    """Against joint critics with the same parameters for every agent and equal rewards."""
    shared = Sac(replace(SMALL, critics="shared"), (3, 2), (2, 1))
    joint = Sac(replace(SMALL, critics="joint"), (3, 2), (2, 1))
    state, batch = shared.init(jax.random.key(0)), transitions(jax.random.key(1))
    noise = jax.random.normal(jax.random.key(2), batch.action.shape)
    observation = shared.actors.inputs(state.statistics, batch.observation)
    twice = jax.tree.map(lambda leaf: jnp.repeat(leaf, 2, axis=0), state.critic)
    one = jax.jit(shared._actor_gradients)(state, state.critic, {}, observation, noise)
    each = jax.jit(joint._actor_gradients)(state, twice, {}, observation, noise)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(each), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)


def test_fresh_parameters_are_distributed_as_flax_starts_them():
    network, nothing = Critic((64, 256), layer_norm=True), jnp.zeros(48)
    ours, theirs = (start(jax.random.key(0), nothing) for start in (partial(fresh, network), network.init))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for own, their in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert own.shape == their.shape
        assert own.std() == pytest.approx(float(their.std()), rel=0.15)
        assert jnp.abs(own).max() == pytest.approx(float(jnp.abs(their).max()), rel=0.15)
        assert own.mean() == pytest.approx(float(their.mean()), abs=0.02)
    first, second = (ours["params"][layer]["kernel"].ravel()[:3000] for layer in ("Dense_0", "Dense_1"))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06


@pytest.mark.parametrize("critics", ["local", "joint", "shared"])
def test_what_comes_later_sees_only_actions_that_last(critics):
    lasting = ((True, False), (False, False))
    sac = Sac(replace(SMALL, critics=critics), (3, 2), (2, 1), lasting)
    state, batch = sac.init(jax.random.key(0)), transitions(jax.random.key(1))
    value = jax.vmap(sac._critics.values, in_axes=(0, -2))
    forgets = {"now": jax.tree.map(jnp.zeros_like, state.critic["now"]), "later": state.critic["later"]}
    for critic, matters in ((forgets, np.array(lasting)), (state.critic, ACTION_MASK)):

        def total(action, critic=critic):
            return value(critic, sac._critics.seen(batch.observation, action * ACTION_MASK)).sum()

        slope = jax.jit(jax.grad(total))(batch.action)
        np.testing.assert_array_equal((np.asarray(slope) != 0).any(axis=0), matters)


def test_batteries_last_inverters_do_not_unless_a_violation_ends_the_day():
    scenario = load_scenario("neom33")
    layout = lay_out_actions(scenario)
    kinds = [*(entry.control.name for entry in layout.controls), "none"]
    np.testing.assert_array_equal(layout.lasting, np.array(kinds)[layout.slots] == "battery_p")
    ends = replace(scenario, rules=replace(scenario.rules, on_violation="end_day"))
    np.testing.assert_array_equal(lay_out_actions(ends).lasting, layout.mask)


def test_the_reward_is_learned_from_the_step_and_the_rest_from_what_follows():
    """Rewards of a step and of those after it that differ: the two parts of the value must not be mixed up."""
    config = replace(SMALL, gamma=0.5, reward_scale=1.0, learning_rate=3e-3, normalise_observations=False)
    sac = Sac(config, (3, 2), (2, 1))
    batch = transitions(jax.random.key(1), reward=lambda o, a: jnp.full(a.shape[:2], 2.0))
    batch = replace(batch, later_reward=jnp.full_like(batch.reward, -3.0), discount=jnp.zeros_like(batch.discount))
    keys = jax.random.split(jax.random.key(2), 600)
    state, _ = jax.jit(lambda s: jax.lax.scan(lambda s, k: sac.update(s, batch, k), s, keys))(sac.init(keys[0]))
    seen = sac._critics.seen(batch.observation, batch.action)
    values = jax.jit(jax.vmap(sac._critics.values, in_axes=(0, -2)))
    for part, value in (("now", 2.0), ("later", -3.0)):
        other = {name: jax.tree.map(np.zeros_like, state.critic[name]) for name in ("now", "later")}
        found = values(other | {part: state.critic[part]}, seen)
        np.testing.assert_allclose(found.mean(axis=(1, 2)), value, rtol=0.05)


def gradients(sac, state, batch, noise):
    """Losses and gradients of critics and actors, from a batch whose observations are networks' inputs."""
    critics = sac._critic_gradients(state, batch, noise, batch.reward.max(axis=0))
    return critics, sac._actor_gradients(state, state.critic, {}, batch.observation, noise)


def test_a_padded_update_of_several_agents_equals_the_unpadded_one_of_each():
    """With local critics an agent's update is what a learner of its own sizes makes of the same numbers."""
    sac = Sac(replace(SMALL, critics="local"), (3, 2), (2, 1))
    alone = Sac(replace(SMALL, critics="local"), (2,), (1,))
    state, batch = sac.init(jax.random.key(0)), transitions(jax.random.key(1))

    fresh = alone.init(jax.random.key(0))
    actor = jax.tree.map(lambda full, own: full[1:2][tuple(slice(0, s) for s in own.shape)], state.actor, fresh.actor)
    # the log standard deviations follow the padded means in the last layer
    last, own_last = state.actor["params"]["Dense_2"], actor["params"]["Dense_2"]
    own_last["kernel"] = last["kernel"][1:2][..., jnp.array([0, 2])]
    own_last["bias"] = last["bias"][1:2][..., jnp.array([0, 2])]
    rows = jnp.array([0, 1, 3])  # of (observation 3, action 2), the two real observations and the real action
    critic = jax.tree.map(
        lambda full, own: full[1:2] if full.shape[1:] == own.shape[1:] else jnp.take(full[1:2], rows, axis=-2),
        state.critic,
        fresh.critic,
    )
    own_state = replace(fresh, actor=actor, critic=critic, target_critic=critic)
    own_batch = replace(
        batch,
        observation=batch.observation[:, 1:, :2],
        next_observation=batch.next_observation[:, 1:, :2],
        action=batch.action[:, 1:, :1],
        reward=batch.reward[:, 1:],
        later_reward=batch.later_reward[:, 1:],
    )
    noise = jax.random.normal(jax.random.key(3), batch.action.shape)
    inputs = sac.actors.inputs(state.statistics, batch.observation)
    own_inputs = alone.actors.inputs(own_state.statistics, own_batch.observation)
    full_batch = replace(batch, observation=inputs, next_observation=inputs)
    full, full_actor = jax.jit(gradients, static_argnums=0)(sac, state, full_batch, noise)
    own_batch = replace(own_batch, observation=own_inputs, next_observation=own_inputs)
    own, own_actor = jax.jit(gradients, static_argnums=0)(alone, own_state, own_batch, noise[:, 1:, :1])
    np.testing.assert_allclose(full[0][1], own[0][0], rtol=1e-5)
    np.testing.assert_allclose(full_actor[0][1], own_actor[0][0], rtol=1e-5)
    np.testing.assert_allclose(full_actor[1][1], own_actor[1][0], rtol=1e-5)
    hidden = ("params", "Dense_1", "kernel")
    left, right = full_actor[2], own_actor[2]
    for name in hidden:
        left, right = left[name], right[name]
    np.testing.assert_allclose(left[1], right[0], rtol=1e-4, atol=1e-7)
