"""What a training says of what it has not settled: each sign by itself, from tables made here."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from neomflex_jax.agents.sac.losses import error_moments, relative_error
from neomflex_jax.training.run_log import append
from neomflex_jax.training.settling import busy_machine, findings_of, read_figures, sentence

QUIET = {
    "day_cost": 20.0,
    "at_bounds_agent_1": 0.1,
    "at_bounds_agent_2": 0.2,
    "critic_error_agent_1": 0.2,
    "critic_error_agent_2": 0.2,
    "entropy_above_target_agent_1": 0.1,
    "entropy_above_target_agent_2": -0.1,
    "temperature_agent_1": 0.01,
    "temperature_agent_2": 0.01,
}
COPIES = 256
GRADIENT = {"day_cost": 20.0, "gradient_norm_agent_1": 30.0, "gradient_clipped_agent_1": 1.0}


STEPS = np.arange(1, 51) * 24 * COPIES  # half a day a row, as SAC's
DAY = 48 * COPIES


def figures(steps=STEPS, quiet=QUIET, **columns):
    """Return a quiet training's figures but for those given."""
    values = {name: np.broadcast_to(value, len(steps)) for name, value in (quiet | columns).items()}
    return pd.DataFrame({"steps": steps} | values)


def test_a_quiet_training_has_settled():
    assert findings_of(figures(), DAY) == findings_of(figures(quiet=GRADIENT), DAY) == []
    assert sentence({3: []}) == "learning has settled"


@pytest.mark.parametrize(
    ("columns", "seen", "advice"),
    [
        ({"day_cost": np.geomspace(1000, 20, 50)}, "the day cost still fell by 5", "--total-steps 614400"),
        ({"day_cost": np.geomspace(20, 1000, 50)}, "the day cost rose by 1", "a smaller learning rate"),
        ({"day_cost": -np.geomspace(1, 9, 50)}, "the day cost still fell by 5", "--total-steps 614400"),
        (
            {"entropy_above_target_agent_1": 1.5, "entropy_above_target_agent_2": -4.2},
            "agent_2's entropy is 4.2 below its target (and that of 1 more)",
            "--total-steps 614400",
        ),
        ({"temperature_agent_2": 3e-6}, "agent_2's temperature is down to 3e-06", "target-entropy-per-action"),
        ({"critic_error_agent_1": 0.8}, "critics are off by 0.80 of the returns' spread", "updates-per-step"),
        ({"at_bounds_agent_2": 0.49}, "49% of agent_2's actions lie at a bound", "neomflex plot dispatch"),
        (
            {"gradient_norm_agent_1": np.geomspace(1, 1e9, 50), "gradient_clipped_agent_1": 1.0},
            "and is clipped in 100% of updates",
            "--gradient.observed-gradient",
        ),
    ],
)
def test_each_sign_is_said_with_what_to_try(columns, seen, advice):
    found = findings_of(figures(**columns), DAY)
    assert len(found) == 1
    assert seen in found[0].seen
    assert advice in found[0].advice


@pytest.mark.parametrize("steps", [STEPS, np.cumsum(np.resize([7, 1, 24, 3], 200)) * COPIES])
def test_the_hours_of_a_day_are_no_progress(steps):
    """However many of them a row has."""
    sums = np.cumsum(np.where(np.arange(200 * 48) % 48 < 24, 10.0, 30.0))[steps // COPIES - 1]
    of_rows = np.diff(sums, prepend=0.0) / np.diff(steps // COPIES, prepend=0)
    assert findings_of(figures(steps, day_cost=of_rows), DAY) == []


def test_few_steps_tell_nothing():
    assert findings_of(figures(STEPS[:18]), DAY)[0].seen == "110,592 steps are too few to tell"
    assert findings_of(figures(STEPS[-4:]), DAY)[0].seen == "307,200 steps are too few to tell"


def test_of_several_seeds_the_first_that_has_not_settled_is_quoted():
    open_ones = findings_of(figures(critic_error_agent_1=0.8), DAY)
    said = sentence({4: [], 5: open_ones, 6: open_ones})
    assert said.startswith("not settled in 2 of 3 seeds, in seed 5: critics are off")
    assert said.endswith("; try more --sac.updates-per-step")


def test_a_machine_that_gave_little_time_is_said_and_one_that_gave_enough_is_not():
    assert busy_machine(0.9) == []
    assert "learning had 20% of one core" in busy_machine(0.2)[0].seen


def test_the_table_of_an_earlier_version_keeps_its_columns_and_seeds_are_told_apart(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("steps,seed,day_cost\n10,4,3.0\n10,5,7.0\n")
    append(path, [{"steps": 20, "seed": seed, "day_cost": 1.0, "at_bounds_agent_1": 0.5} for seed in (4, 5)])
    assert path.read_text().splitlines()[3:] == ["20,4,1.0", "20,5,1.0"]
    assert read_figures(path, (4, 5))[5]["day_cost"].tolist() == [7.0, 1.0]


def test_the_critics_error_is_in_standard_deviations_of_the_target():
    target = jnp.array([10.0, 14.0])
    assert relative_error(error_moments(jnp.stack([target, target]) + 1.0, target)) == 0.5
    assert relative_error(error_moments(jnp.full((2, 2), 12.0), target)) == 1.0
