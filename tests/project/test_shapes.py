"""The shapes that public signatures state are checked: what is checked, and that it can fail."""

import jax.numpy as jnp
import pytest
from jax import Array
from jaxtyping import Float
from shapes import CHECKED, with_check

import neomflex_jax as nf


def twice(rows: Float[Array, "n m"], row: Float[Array, " m"] | None = None) -> Float[Array, "n m"]:
    """Answer in another shape if a row is given."""
    return rows if row is None else jnp.concatenate([rows, row[None]])


def test_a_call_whose_shapes_do_not_fit_is_found() -> None:
    checked = with_check(twice)
    assert checked(jnp.ones((2, 3))).shape == (2, 3)
    with pytest.raises(AssertionError, match=r"twice: return is float32\[3, 3\], and not Float\[.*Array, 'n m'\]"):
        checked(jnp.ones((2, 3)), jnp.ones(3))
    with pytest.raises(AssertionError, match="twice: rows is int32"):
        checked(jnp.ones((2, 3), int))


def test_a_refusal_comes_before_the_check(case33bw: nf.Feeder) -> None:
    with pytest.raises(nf.InputError):
        nf.power_flow(case33bw, jnp.ones(3), jnp.ones(3))


PUBLIC = ("powerflow.solver.power_flow", "powerflow.bound.PowerFlow.__call__", "powerflow.bound.calibrate")
PUBLIC += tuple(f"environment.environment.Environment.{name}" for name in ("reset", "step", "next_day"))
PUBLIC += ("environment.auto_reset.AutoReset.step", "devices.battery.Battery.step", "environment.task.Task.action_mask")


@pytest.mark.parametrize("name", PUBLIC)
def test_public_signatures_are_checked(name: str) -> None:
    assert f"neomflex_jax.{name}" in CHECKED
