"""The shapes that public signatures state are checked: what is checked, and that it can fail."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jaxtyping import Float
from shapes import CHECKED, with_check

import neomflex_jax as nf
import neomflex_jax.adapters.gymnasium_vector
import neomflex_jax.adapters.jaxmarl
import neomflex_jax.adapters.pettingzoo
import neomflex_jax.evaluation.tables
import validation  # noqa: F401  to be loaded, and so to be wrapped


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


@dataclass(frozen=True, eq=False)
class Days:
    """A record on the host."""

    demand: Float[np.ndarray, " n_steps"]
    vm_pu: Float[np.ndarray, "n_steps n_node"]


def longer(days: Days, other: Days) -> Days:
    """Return the second."""
    return other


def test_a_record_on_the_host_fits_itself_and_no_other() -> None:
    one, two = (Days(np.ones(n), np.ones((n, 3))) for n in (48, 96))
    assert with_check(longer)(one, two) is two
    with pytest.raises(AssertionError, match=r"longer: other.vm_pu is float64\[2, 3\]"):
        with_check(longer)(one, Days(np.ones(48), np.ones((2, 3))))


def test_a_refusal_comes_before_the_check(case33bw: nf.Feeder) -> None:
    with pytest.raises(nf.InputError):
        nf.power_flow(case33bw, jnp.ones(3), jnp.ones(3))


PUBLIC = ("powerflow.solver.power_flow", "powerflow.bound.PowerFlow.__call__", "powerflow.bound.calibrate")
PUBLIC += tuple(f"environment.environment.Environment.{name}" for name in ("reset", "step", "next_day"))
PUBLIC += ("environment.auto_reset.AutoReset.step", "devices.battery.Battery.step", "environment.task.Task.action_mask")


PUBLIC += tuple(f"evaluation.{name}" for name in ("rollout.record", "tables.step_metrics", "operation.operation"))
PUBLIC += ("evaluation.trajectory.Trajectory.cost", "agents.policy_files.Policies.__call__")
PUBLIC += tuple(f"adapters.gymnasium.NeomFlexEnv.{name}" for name in ("reset", "step", "render"))
PUBLIC += tuple(f"adapters.gymnasium_vector.NeomFlexVectorEnv.{name}" for name in ("reset", "step", "render"))
PUBLIC += tuple(f"adapters.pettingzoo.NeomFlexParallelEnv.{name}" for name in ("reset", "step", "render", "state"))
PUBLIC += tuple(f"adapters.jaxmarl.NeomFlex.{name}" for name in ("reset", "step", "step_env", "get_obs"))
PACKAGED = tuple(f"neomflex_jax.{name}" for name in PUBLIC)
PACKAGED += ("validation.referee.replay.replay", "validation.errors.metrics.compare")
PACKAGED += tuple(
    f"validation.recompute.devices.battery.{name}" for name in ("BatteryTwin.excess", "BatteryStore.gap_mwh")
)


@pytest.mark.parametrize("name", PACKAGED)
def test_public_signatures_are_checked(name: str) -> None:
    assert name in CHECKED
