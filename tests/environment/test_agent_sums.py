"""Sums of many agents' values: against the matrix of who owns what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neomflex_jax.environment import make
from neomflex_jax.environment.step import agent_sums
from neomflex_jax.environment.step.agent_sums import LARGEST_MATRIX, sums_by_agent


@pytest.mark.parametrize("largest", [0, LARGEST_MATRIX])
def test_sums_of_many_agents_are_the_products_of_few(monkeypatch, largest):
    monkeypatch.setattr(agent_sums, "LARGEST_MATRIX", largest)
    random = np.random.default_rng(0)
    owner = random.integers(0, 12, 40)
    owner[owner == 5] = 4  # agent 5 has nothing
    owns = (owner == np.arange(12)[:, None]).astype(float)
    owns[:, 7] = 0.0  # the slack is nobody's
    values = random.normal(size=40).astype(np.float32)
    np.testing.assert_allclose(sums_by_agent(owns, values), owns @ values, rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda values: (sums_by_agent(owns, values) * jnp.arange(12.0)).sum())(values)
    np.testing.assert_allclose(gradient, np.arange(12.0) @ owns, rtol=1e-6)


def test_agents_of_packaged_scenarios_are_few():
    assert make("neom141").layout.membership.size <= LARGEST_MATRIX < 300 * 2000


def test_the_derivative_of_many_agents_sums_is_no_scatter_that_a_compiler_works_out_for_minutes(monkeypatch):
    monkeypatch.setattr(agent_sums, "LARGEST_MATRIX", 0)
    owns = np.eye(3, 4)
    assert "scatter" not in str(jax.make_jaxpr(jax.grad(lambda values: sums_by_agent(owns, values).sum()))(jnp.ones(4)))
    change = jax.jvp(lambda values: sums_by_agent(owns, values), (jnp.ones(4),), (jnp.arange(4.0),))[1]
    np.testing.assert_array_equal(change, [0.0, 1.0, 2.0])  # the fourth is nobody's
