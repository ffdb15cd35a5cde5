"""What accelerators multiply by where there is no kernel: one matrix of twice the size, the same answers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_feeders import build, structure

import neomflex_jax as nf
from neomflex_jax.powerflow.methods import ac as ac_method
from neomflex_jax.powerflow.network.dense import DenseNetwork
from neomflex_jax.powerflow.network.per_unit import per_unit


@pytest.fixture(params=["case33bw", "meshed"])
def feeder(request: pytest.FixtureRequest) -> nf.Feeder:
    return nf.load_feeder("case33bw") if request.param == "case33bw" else build(structure(101), 0)


def test_one_product_is_the_three(feeder: nf.Feeder) -> None:
    network = per_unit(feeder, "dense").network
    assert isinstance(network, DenseNetwork)
    rng = np.random.default_rng(0)
    real, imaginary = (network.enter(jnp.asarray(rng.normal(size=(5, network.n)))) for _ in range(2))
    together = network.in_one()
    assert together.both is not None
    for one, three in zip(together.drop(real, imaginary), network.drop(real, imaginary), strict=True):
        np.testing.assert_allclose(one, three, rtol=1e-5, atol=1e-6)


def test_the_batch_is_solved_alike(feeder: nf.Feeder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accelerators' branch, chosen here for a CPU: as many evaluations, the same voltages, one case given up."""
    factor = np.array([0.5, 1.0, 1.2, 1e4])[:, None]
    loads = feeder.load_p_mw, feeder.load_q_mvar
    p, q = (-factor * np.asarray(load) for load in loads)
    solve = nf.bind(feeder, "ac", sweeps=False)
    here = jax.jit(jax.vmap(solve))(p, q)
    chosen = []

    def default(*arguments: object, default: partial, **forms: object) -> object:
        chosen.append(sorted(forms))
        return default(*arguments)

    monkeypatch.setattr(ac_method.lax, "platform_dependent", default)
    there = jax.jit(jax.vmap(solve))(p, q)
    assert chosen[0] == ["cpu"]
    np.testing.assert_array_equal(there.converged, [True, True, True, False])
    np.testing.assert_array_equal(there.converged, here.converged)
    np.testing.assert_array_equal(there.iterations, here.iterations)
    np.testing.assert_allclose(there.vm_pu[:3], here.vm_pu[:3], atol=1e-6)
