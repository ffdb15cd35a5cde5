"""Single and double precision side by side in one process.

JAX keeps what it made of a NumPy array as long as some program holds it, by the array's identity alone: in double
precision it then computes with numbers of single precision, or stops.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf


@pytest.mark.parametrize("method", ["ac", "newton", "lindistflow"])
def test_a_feeder_is_solved_in_double_precision_after_programs_in_single_hold_it(
    case33bw: nf.Feeder, method: str
) -> None:
    p_mw, q_mvar = -np.asarray(case33bw.load_p_mw), -np.asarray(case33bw.load_q_mvar)

    def solve(p_mw: jax.Array, q_mvar: jax.Array) -> jax.Array:
        return nf.power_flow(case33bw, p_mw, q_mvar, method=method).vm_pu

    with jax.enable_x64(True):
        expected = np.asarray(nf.power_flow(nf.load_feeder("case33bw"), p_mw, q_mvar, method=method).vm_pu)
    single = jax.jit(solve)
    single(jnp.asarray(p_mw, jnp.float32), jnp.asarray(q_mvar, jnp.float32))
    nf.power_flow(case33bw, p_mw.astype(np.float32), q_mvar.astype(np.float32), method=method)
    with jax.enable_x64(True):
        double = np.asarray(nf.power_flow(case33bw, p_mw, q_mvar, method=method).vm_pu)
        traced = np.asarray(jax.jit(solve)(p_mw, q_mvar))
    np.testing.assert_allclose(double, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(traced, expected, rtol=0, atol=1e-12)


def test_an_environment_in_double_precision_has_exact_rewards_after_one_in_single() -> None:
    single = nf.make("neom33")
    state, _ = single.reset(jax.random.key(0))
    program = jax.jit(single.step).lower(state, jnp.zeros((3, 3))).compile()
    with jax.enable_x64(True):
        env = nf.make("neom33")
        state, _ = env.reset(jax.random.key(0))
        _, timestep = jax.jit(env.step)(state, jnp.zeros((3, 3)))
        loss_mw = np.asarray(timestep.info["loss_mw"])
        losses = np.asarray(timestep.info["reward_losses"])
    assert loss_mw.dtype == np.float64
    share = np.array([12, 13, 8]) / 33
    np.testing.assert_allclose(losses, -env.scenario.reward.loss_weight * loss_mw * share, rtol=1e-14)
    del program
