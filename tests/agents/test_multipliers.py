"""Multipliers of constraints: their steps by hand, and a constrained problem with a known solution."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from neomflex_jax.agents.multipliers import MOST, Multiplier, ascended, stand_in, unpriced
from neomflex_jax.agents.sac import Sac, SacConfig
from neomflex_jax.agents.sac.replay_buffer import Batch


def after(value, share, limit, average=0.0, n_steps=10_000):
    one = ascended(Multiplier(jnp.asarray(value), jnp.asarray(average)), jnp.asarray(share), n_steps, limit)
    return float(one.value), float(one.share)


def test_a_multiplier_rises_with_what_is_broken_beyond_the_limit_and_stays_in_its_bounds():
    assert after(2.0, 0.15, 0.099) == pytest.approx((2.0 + 0.1 * 0.51, 0.15))
    assert after(0.02, 0.04, 0.099) == pytest.approx((0.0, 0.04))
    assert after(9.0, 0.9, 0.0) == pytest.approx((9.0 + 0.1, 0.9))  # bounded, whatever the share
    assert after(1e9, 0.9, 0.0)[0] == MOST
    assert after(2.0, 0.0, 0.0) == (2.0, 0.0)
    assert after(2.0, 0.2, 0.099, average=0.1, n_steps=500) == pytest.approx((2.0 + 0.1 * 0.11, 0.11))


def test_the_stand_in_is_the_share_and_its_gradient_has_no_unit():
    for unit in (1e-6, 1.0, 1e6):
        value, slope = jax.value_and_grad(lambda x, unit=unit: stand_in(unit * x**2, jnp.asarray(0.2)))(3.0)
        assert float(value) == pytest.approx(0.2) and float(slope) == pytest.approx(0.2 * 2 / 3, rel=1e-5)
    value, slope = jax.value_and_grad(lambda x: stand_in(0.0 * x, jnp.asarray(0.0)))(3.0)
    assert float(value) == 0.0 and float(slope) == 0.0


@pytest.mark.parametrize("limit", [0.0, 0.2])
def test_descent_and_ascent_end_where_the_limit_lies(limit):
    """``min (a - 1)^2`` so that ``a + noise > 0`` in a share of cases: 0 puts a at -1/2, a share of 0.2 at -0.3."""
    noise = jnp.linspace(-0.5, 0.5, 101)

    def lagrangian(action, multiplier):
        beyond = jnp.maximum(action + noise, 0.0)
        share = (beyond > 0).mean()
        return (action - 1.0) ** 2 + multiplier.value * stand_in(beyond.mean(), share), share

    def step(carry, rate):
        action, multiplier = carry
        slope, share = jax.grad(lagrangian, has_aux=True)(action, multiplier)
        return (action - rate * jnp.sign(slope), ascended(multiplier, share, 10_000, limit)), share

    rates = 0.05 * jnp.linspace(1.0, 0.01, 1000)
    (action, multiplier), _ = jax.jit(lambda: jax.lax.scan(step, (jnp.zeros(()), unpriced()), rates))()
    assert float(action) == pytest.approx(limit - 0.5, abs=0.03)
    assert float(multiplier.value) > 1.0


def one_update(sac, state, key, broken=lambda action: action > 0):
    """Learn from random actions of one agent, of a reward as large as the action."""
    seen, action = jax.random.uniform(key, (2, 64, 1, 1), minval=-1.0)
    none = jnp.zeros((64, 1))
    batch = Batch(seen, action, action[:, :, 0], none, none[:, 0] + 0.01, seen)
    breaks = broken(action[:, 0, 0]).astype(float)
    return sac.update(state, replace(batch, broken={"voltage": breaks}, later_broken={"voltage": none[:, 0]}), key)


def test_sac_has_critics_and_a_multiplier_for_a_constraint():
    sac = Sac(SacConfig(hidden_sizes=(8,), critics="shared"), (1,), (1,), constraints=("voltage",))
    before = jax.eval_shape(sac.init, jax.random.key(0))
    after, metrics = jax.eval_shape(lambda state, key: one_update(sac, state, key), before, jax.random.key(1))
    assert metrics["constraint_voltage_critic_loss"].shape == ()
    assert set(after.cost_critics) == set(after.multipliers) == {"voltage"}
    assert jax.tree.structure(after) == jax.tree.structure(before)


@pytest.mark.slow
def test_cost_critics_learn_which_actions_break_and_actors_leave_them():
    """One step decides all: ``a > 0`` breaks. The reward is a, the price of a break is 20."""
    config = SacConfig(hidden_sizes=(8,), critics="shared", batch_size=64, learning_rate_decay="none", gamma=0.01)
    sac = Sac(config, (1,), (1,), constraints=("voltage",))
    priced = Multiplier(jnp.asarray(20.0), jnp.zeros(()))
    state = replace(sac.init(jax.random.key(0)), multipliers={"voltage": priced})

    def update(state, key):
        return one_update(sac, state, key)

    after, metrics = jax.jit(lambda: jax.lax.scan(update, state, jax.random.split(jax.random.key(1), 300)))()
    losses = metrics["constraint_voltage_critic_loss"]
    assert float(losses[-20:].mean()) < 0.5 * float(losses[:20].mean())
    modes = sac.networks(after)[0](jnp.linspace(-1, 1, 9)[:, None])
    assert modes.max() < 0.0
