"""A loop of updates carries parameters as rows: what goes in comes out, and many updates are one after another."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neomflex_jax.agents.rows import Rows
from neomflex_jax.agents.sac import Sac, SacConfig
from neomflex_jax.agents.sac.flat import Flattening
from neomflex_jax.agents.sac.replay_buffer import Batch

SMALL = SacConfig(n_copies=4, batch_size=16, buffer_size=64, warmup_steps=8, hidden_sizes=(8, 6))
N_UPDATES = 3


def equal(left, right, **tolerances):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one, other, **({"rtol": 0.0} | tolerances))


def test_rows_are_the_parameters_and_zeros_beside_narrower_ones():
    shapes = {"kernel": (5, 4), "last": (4, 2), "bias": (3,), "deep": (2, 3, 4), "scalar": ()}
    rng = np.random.default_rng(0)
    params = {name: jnp.asarray(rng.normal(size=(2, *shape))) for name, shape in shapes.items()}
    rows = Rows.of(params, 1)
    joined = rows.joined(params)
    # kernel, deep's two, the last layer on its side, bias, scalar
    assert joined.shape == (2, 5 + 2 * 3 + 2 + 1 + 1, 4)
    equal(rows.parted(joined), params)
    assert float((joined**2).sum()) == pytest.approx(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(params)))


def batches(sac):
    keys = jax.random.split(jax.random.key(1), 4)
    of_all = (N_UPDATES, SMALL.batch_size)
    observation, following = (jax.random.normal(key, (*of_all, 2, 3)) for key in keys[:2])
    action = jax.random.uniform(keys[2], (*of_all, 2, 2), minval=-1.0, maxval=1.0)
    reward = jax.random.normal(keys[3], (*of_all, 2))
    broken = {name: (reward[..., 0] > 1.0).astype(float) for name in sac.constraints}
    discount = jnp.full(of_all, 0.9)
    return Batch(observation, action, reward, 0.1 * reward, discount, following, broken, broken)


KINDS = [
    {"critics": "shared"},
    {"critics": "shared", "split": False},
    {"critics": "joint", "layer_norm_critics": True},
    {"critics": "local", "share_actor": True},
]


@pytest.mark.parametrize("kind", KINDS)
def test_many_updates_are_one_after_another_and_a_state_comes_back_as_it_went_in(kind):
    constraints = ("voltage",) if kind["critics"] == "shared" else ()
    sac = Sac(replace(SMALL, **kind), (3, 2), (2, 1), ((True, False), (False, False)), constraints=constraints)
    state, given = sac.init(jax.random.key(0)), batches(sac)
    keys = jax.random.split(jax.random.key(2), N_UPDATES)
    one_by_one, metrics = state, []
    update = jax.jit(sac.update)
    for number in range(N_UPDATES):
        batch = jax.tree.map(lambda leaf, number=number: leaf[number], given)
        one_by_one, each = update(one_by_one, batch, keys[number], 0.3)
        metrics.append(each)
    together, every = jax.jit(sac.updates)(state, given, keys, 0.3)
    equal(together, one_by_one, rtol=1e-4, atol=2e-6)
    equal(every, jax.tree.map(lambda *each: jnp.stack(each), *metrics), rtol=1e-4, atol=1e-5)
    moved = jax.tree.map(lambda old, new: float(jnp.abs(old - new).max()), state.critic, together.critic)
    assert min(jax.tree.leaves(moved)) > 0.0
    flattening = Flattening(together, sac._critics)
    equal(flattening.kept(flattening.start(), 0), together)
