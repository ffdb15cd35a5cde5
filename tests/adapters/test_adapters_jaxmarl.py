"""The JaxMARL adapter: its interface, its own wrappers on it unmodified, days' ends, and learning through it."""

from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

pytest.importorskip("jaxmarl")

from jaxmarl.environments import spaces
from jaxmarl.environments.multi_agent_env import MultiAgentEnv
from jaxmarl.wrappers.baselines import CTRolloutManager, LogWrapper, MPELogWrapper, load_params, save_params

import neomflex_jax as nf
from neomflex_jax.adapters import jaxmarl as adapter

FIELDS = {"power_flow": "lindistflow"}  # the quickest to compile; the adapter does not know which it is
AGENTS = ["agent_1", "agent_2", "agent_3"]
SIZES = {"agent_1": 2, "agent_2": 3, "agent_3": 1}


@pytest.fixture(scope="module")
def env(three_days: Path) -> adapter.NeomFlex:
    """Build the default scenario on three days."""
    return adapter.make("neom33", profiles=three_days, **FIELDS)


@pytest.fixture(scope="module")
def padded(three_days: Path) -> adapter.NeomFlex:
    """Build it with spaces of one size."""
    return adapter.make("neom33", padded=True, profiles=three_days, **FIELDS)


def full(value: float, sizes: dict[str, int] = SIZES) -> dict[str, jax.Array]:
    """Give every action entry one value."""
    return {agent: jnp.full(size, value) for agent, size in sizes.items()}


def play(env: Any, n_steps: int, value: float = 0.0, seed: int = 0) -> tuple[Any, ...]:
    """Play some steps; gives the last state and every step's answer, stacked."""

    def step(state: Any, key: jax.Array) -> tuple[Any, Any]:
        observation, state, *rest = env.step(key, state, full(value))
        return state, (observation, *rest)

    _, state = env.reset(jax.random.PRNGKey(seed))
    return jax.lax.scan(step, state, jax.random.split(jax.random.PRNGKey(9), n_steps))


def test_it_is_a_multi_agent_environment(env: adapter.NeomFlex) -> None:
    assert isinstance(env, MultiAgentEnv)
    assert env.agents == AGENTS and env.num_agents == 3 and env.name == "NeomFlex"
    observation, state = env.reset(jax.random.PRNGKey(0))
    for agent in AGENTS:
        assert isinstance(env.action_space(agent), spaces.Box)
        assert env.action_space(agent).shape == (SIZES[agent],)
        assert observation[agent].shape == env.observation_space(agent).shape
        assert env.observation_space(agent).contains(observation[agent])
        sampled = env.action_space(agent).sample(jax.random.PRNGKey(1))
        assert env.action_space(agent).contains(sampled)
    chex.assert_trees_all_equal(env.get_obs(state), observation)
    chex.assert_trees_all_equal(env.get_avail_actions(state), {a: jnp.ones(n, bool) for a, n in SIZES.items()})
    assert env.agent_classes == {agent: [agent] for agent in AGENTS}
    observation, state, rewards, dones, info = env.step(jax.random.PRNGKey(1), state, full(0.5))
    assert set(rewards) == set(observation) == set(info["final_observation"]) == set(AGENTS)
    assert set(dones) == {*AGENTS, "__all__"}
    assert all(value.shape == () and value.dtype == bool for value in dones.values())
    assert int(state.step) == 1 and not state.done


def test_a_days_end_is_done_but_not_terminated(env: adapter.NeomFlex) -> None:
    state, (observation, _, dones, info) = play(env, 50)
    np.testing.assert_array_equal(dones["__all__"], np.arange(50) == 47)
    np.testing.assert_array_equal(info["truncated"], np.arange(50) == 47)
    assert not info["terminated"].any()
    same = np.all(np.asarray(observation["agent_2"]) == np.asarray(info["final_observation"]["agent_2"]), axis=1)
    np.testing.assert_array_equal(same, np.arange(50) != 47)
    assert int(state.step) == 2


def test_the_next_day_is_the_scenarios(three_days: Path) -> None:
    made = adapter.make("neom33-original", profiles=three_days, on_violation="continue", **FIELDS)
    _, (_, _, _, info) = play(made, 4 * 48, 0.1)
    np.testing.assert_array_equal(info["dataset_index"], np.arange(4 * 48) % 144)


def test_a_violation_is_terminated(three_days: Path) -> None:
    made = adapter.make("neom33-original", profiles=three_days, hard_min_pu=0.9699, **FIELDS)
    _, (_, rewards, dones, info) = play(made, 48)
    assert info["terminated"].any() and not info["truncated"].any()
    np.testing.assert_array_equal(dones["agent_1"], info["terminated"])
    np.testing.assert_array_equal(rewards["agent_3"][info["terminated"]], -100.0)


def test_a_reset_state_takes_the_next_days_place(env: adapter.NeomFlex) -> None:
    chosen_observation, chosen = env.reset(jax.random.PRNGKey(77))
    _, state = env.reset(jax.random.PRNGKey(0))
    for step in range(48):
        observation, state, _, dones, _ = env.step(jax.random.PRNGKey(step), state, full(0.0), chosen)
    assert dones["__all__"]
    chex.assert_trees_all_equal(observation, chosen_observation)
    assert int(state.step) == 0 and not state.done


def test_bad_actions_are_refused(env: adapter.NeomFlex) -> None:
    _, state = env.reset(jax.random.PRNGKey(0))
    with pytest.raises(nf.InputError, match=r"action of agent_2 has shape \(2,\); expected \(3,\); .*padded=True"):
        env.step(jax.random.PRNGKey(0), state, full(0.0, {"agent_1": 2, "agent_2": 2, "agent_3": 2}))
    with pytest.raises(nf.InputError, match="agent_3 is missing"):
        env.step(jax.random.PRNGKey(0), state, full(0.0, {"agent_1": 2, "agent_2": 3}))


def test_padded_spaces_have_one_size_and_padding_does_nothing(env: adapter.NeomFlex, padded: adapter.NeomFlex) -> None:
    seen, state = env.reset(jax.random.PRNGKey(4))
    seen_padded, state_padded = padded.reset(jax.random.PRNGKey(4))
    assert padded.agent_classes == {"agents": AGENTS}
    for index, agent in enumerate(AGENTS):
        assert padded.action_space(agent).shape == (3,)
        assert padded.observation_space(agent).shape == seen_padded[agent].shape == (3 + 18,)
        np.testing.assert_array_equal(seen_padded[agent][:3], np.eye(3)[index])
        np.testing.assert_array_equal(seen_padded[agent][3 : 3 + len(seen[agent])], seen[agent])
        np.testing.assert_array_equal(seen_padded[agent][3 + len(seen[agent]) :], 0.0)
    available = padded.get_avail_actions(state_padded)
    np.testing.assert_array_equal([available[agent].sum() for agent in AGENTS], list(SIZES.values()))
    key = jax.random.PRNGKey(0)
    rewards = env.step(key, state, full(0.7))[2]
    garbage = {agent: jnp.where(available[agent], 0.7, jnp.nan) for agent in AGENTS}
    chex.assert_trees_all_close(padded.step(key, state_padded, garbage)[2], rewards, rtol=1e-6)


# ---- JaxMARL's own wrappers ----


@pytest.mark.parametrize(("wrapper", "factor"), [(LogWrapper, 1), (MPELogWrapper, 3)])
def test_log_wrappers_add_up_a_days_rewards(wrapper: Any, factor: int, env: adapter.NeomFlex) -> None:
    _, (_, rewards, _, info) = play(wrapper(env), 50)
    expected = factor * np.array([np.sum(rewards[agent][:48]) for agent in AGENTS])
    np.testing.assert_allclose(info["returned_episode_returns"][47], expected, rtol=1e-4)
    np.testing.assert_array_equal(info["returned_episode_lengths"][47], 48)
    np.testing.assert_array_equal(info["returned_episode"][:, 0], np.arange(50) == 47)


def test_the_rollout_manager_runs_batches(env: adapter.NeomFlex) -> None:
    manager = CTRolloutManager(env, batch_size=4)
    observation, state = manager.batch_reset(jax.random.PRNGKey(0))
    assert observation["agent_3"].shape == (4, 18 + 3)
    assert observation["__all__"].shape == (4, 16 + 18 + 11)
    valid = manager.get_valid_actions(state)
    np.testing.assert_array_equal(valid["agent_3"], np.tile([1, 0, 0], (4, 1)))
    actions = {agent: jnp.full((4, size), 0.3) for agent, size in SIZES.items()}
    observation, state, rewards, dones, _ = manager.batch_step(jax.random.PRNGKey(1), state, actions)
    np.testing.assert_allclose(rewards["__all__"], sum(rewards[agent] for agent in AGENTS), rtol=1e-6)
    assert dones["__all__"].shape == (4,)
    assert manager.batch_sample(jax.random.PRNGKey(2), "agent_2").shape == (4, 3)


def test_parameters_saved_by_its_wrappers_come_back(tmp_path: Path, env: adapter.NeomFlex) -> None:
    size = env.observation_space("agent_1").shape[0]
    params = {"actor": {"kernel": jax.random.normal(jax.random.key(0), (size, 2))}}
    save_params(params, tmp_path / "actor.safetensors")
    chex.assert_trees_all_equal(load_params(tmp_path / "actor.safetensors"), params)


@pytest.mark.slow
def test_a_policy_learns_through_the_wrapped_environment(env: adapter.NeomFlex) -> None:
    """Antithetic evolution of linear policies: what is asked of JaxMARL here is rollouts, not gradients."""
    wrapped = LogWrapper(env)
    shapes = {agent: (env.observation_space(agent).shape[0] + 1, SIZES[agent]) for agent in AGENTS}

    def day_return(params: dict[str, jax.Array], key: jax.Array) -> jax.Array:
        def step(carry: Any, key: jax.Array) -> tuple[Any, Any]:
            observation, state = carry
            actions = {a: jnp.tanh(jnp.append(observation[a], 1.0) @ params[a]) for a in AGENTS}
            observation, state, _, _, info = wrapped.step(key, state, actions)
            return (observation, state), info["returned_episode_returns"].sum()

        keys = jax.random.split(key, 48)
        return jax.lax.scan(step, wrapped.reset(keys[0]), keys)[1][-1]

    returns = jax.jit(jax.vmap(jax.vmap(day_return, (None, 0)), (0, None)))

    @jax.jit
    def improve(params: Any, moments: Any, key: jax.Array) -> Any:
        noise_key, day_key = jax.random.split(key)
        noise = {a: jax.random.normal(jax.random.fold_in(noise_key, i), (32, *shapes[a])) for i, a in enumerate(AGENTS)}
        tried = jax.tree.map(lambda p, n: jnp.concatenate([p + 0.1 * n, p - 0.1 * n]), params, noise)
        scores = returns(tried, jax.random.split(day_key, 4)).mean(1)
        ranks = jnp.argsort(jnp.argsort(scores)) / len(scores) - 0.5
        gradient = jax.tree.map(lambda n: -jnp.tensordot(ranks[:32] - ranks[32:], n, 1), noise)
        updates, moments = optimiser.update(gradient, moments)
        return optax.apply_updates(params, updates), moments

    optimiser = optax.adam(0.1)
    params = {agent: jnp.zeros(shape) for agent, shape in shapes.items()}
    judged = jax.random.split(jax.random.key(123), 16)
    before = float(returns(jax.tree.map(lambda p: p[None], params), judged).mean())
    moments = optimiser.init(params)
    for index in range(15):
        params, moments = improve(params, moments, jax.random.key(index))
    after = float(returns(jax.tree.map(lambda p: p[None], params), judged).mean())
    assert after > 0.7 * before, (before, after)  # returns are costs with a minus
