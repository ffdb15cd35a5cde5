"""Muon against singular values by NumPy, and that neither padding nor other agents change an agent's step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neomflex_jax.agents import optimiser
from neomflex_jax.agents.muon import orthogonal

WIDTH, RATE = 16, 0.1


def stepped(gradients, max_gradient_norm=jnp.inf):
    params = jax.tree.map(jnp.zeros_like, gradients)
    after, _ = optimiser.apply(
        gradients, optimiser.start(params), params, jnp.asarray(RATE), max_gradient_norm, width=WIDTH
    )
    return jax.tree.map(np.asarray, after)


def steep_and_flat(n_agent=1):
    """Return gradients of layers, a thousand times as steep in one direction as in another."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(n_agent, WIDTH, WIDTH)))[0] for _ in range(2))
    return {"kernel": jnp.asarray(left * np.logspace(0, -3, WIDTH) @ right), "bias": jnp.ones((n_agent, WIDTH))}


def test_a_matrix_moves_equally_far_in_all_directions():
    gradients = steep_and_flat()
    step = -stepped(gradients)["kernel"][0]
    left, _, right = np.linalg.svd(gradients["kernel"][0])
    along = np.diag(left.T @ step @ right.T) / (RATE * WIDTH**0.5)
    steep = np.logspace(0, -3, WIDTH) > 0.01  # five iterations leave what is flatter still behind
    assert np.all((along[steep] > 2 / 3) & (along[steep] < 4 / 3)) and np.all(along > 0.0)


@pytest.mark.parametrize("shape", [(5, WIDTH), (WIDTH, 5)])
def test_steps_of_wide_and_tall_matrices_are_as_long(shape):
    step = stepped({"kernel": steep_and_flat()["kernel"][:, : shape[0], : shape[1]]})["kernel"][0]
    longest = np.linalg.norm(step, 2) / (RATE * WIDTH**0.5)
    assert 2 / 3 < longest < 4 / 3


def test_what_is_no_matrix_goes_by_adam():
    """Whose first step moves every entry by the rate; so do biases of several agents in one array."""
    np.testing.assert_allclose(stepped(steep_and_flat())["bias"], -RATE, rtol=1e-5)
    of_several = stepped({"own": {"bias": jnp.ones((1, 3, WIDTH)).at[0, 1].set(5.0)}})
    np.testing.assert_allclose(of_several["own"]["bias"], -RATE, rtol=1e-5)


def test_padding_of_a_matrix_stays_zero_and_does_not_change_the_rest():
    gradient = steep_and_flat()["kernel"][:, :5, :3]
    padded = stepped({"kernel": jnp.pad(gradient, ((0, 0), (0, 9), (0, 2)))})["kernel"]
    np.testing.assert_allclose(padded[:, :5, :3], stepped({"kernel": gradient})["kernel"], rtol=1e-3, atol=1e-5)
    assert not padded[:, 5:].any() and not padded[:, :, 3:].any()


@pytest.mark.parametrize("factor", [1.0, 1e6])
def test_an_agents_step_is_its_own(factor):
    gradients = steep_and_flat(2)
    other = jax.tree.map(lambda leaf: leaf.at[1].multiply(factor), gradients)
    alone, beside = stepped(gradients, 1.0), stepped(other, 1.0)
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(beside), strict=True):
        np.testing.assert_array_equal(a[0], b[0])


@pytest.mark.parametrize("shape", [(40, 6), (6, 40), (17, 6)])
def test_one_gram_matrix_leads_where_jordans_products_do(shape):
    """Beside his iteration written out, in float64, on either side of where the way of tall matrices begins."""
    matrix = np.random.default_rng(0).normal(size=shape) * np.logspace(0, -2, shape[1])
    expected = matrix / np.linalg.norm(matrix)
    for _ in range(5):
        gram = expected @ expected.T
        expected = 3.4445 * expected + (-4.775 * gram + 2.0315 * gram @ gram) @ expected
    np.testing.assert_allclose(orthogonal(jnp.asarray(matrix, jnp.float32)), expected, atol=1e-4)


def test_no_gradient_makes_no_step():
    assert not np.any(orthogonal(jnp.zeros((2, 12, 3))))
