"""Multipliers of constraints: their steps by hand, and a constrained problem with a known solution."""

import jax
import jax.numpy as jnp
import pytest

from neomflex_jax.agents.multipliers import MOST, Multiplier, ascended, stand_in, unpriced


def after(value, share, limit, average=0.0, n_steps=10_000):
    one = ascended(Multiplier(jnp.asarray(value), jnp.asarray(average)), jnp.asarray(share), n_steps, limit, 50.0)
    return float(one.value), float(one.share)


def test_a_multiplier_rises_with_what_is_broken_beyond_the_limit_and_stays_in_its_bounds():
    assert after(2.0, 0.15, 0.099) == pytest.approx((2.0 + 5 * 0.51, 0.15))
    assert after(2.0, 0.04, 0.099) == pytest.approx((0.0, 0.04))
    assert after(9.0, 0.9, 0.0) == pytest.approx((9.0 + 5, 0.9))  # bounded, whatever the share
    assert after(1e9, 0.9, 0.0)[0] == 50 * MOST
    assert after(2.0, 0.0, 0.0) == (2.0, 0.0)
    assert after(2.0, 0.2, 0.099, average=0.1, n_steps=500) == pytest.approx((2.0 + 5 * 0.11, 0.11))


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
        return (action - rate * jnp.sign(slope), ascended(multiplier, share, 10_000, limit, 1.0)), share

    rates = 0.05 * jnp.linspace(1.0, 0.01, 1000)
    (action, multiplier), _ = jax.jit(lambda: jax.lax.scan(step, (jnp.zeros(()), unpriced()), rates))()
    assert float(action) == pytest.approx(limit - 0.5, abs=0.03)
    assert float(multiplier.value) > 1.0
