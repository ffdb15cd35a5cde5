"""Killed at any moment and resumed: the same policies as of a run that was left alone."""

import dataclasses
import json
import os
import signal
import time

import numpy as np
import pytest
import training_alone
from training_alone import CHUNK, FIRST, command

from neomflex_jax import InputError
from neomflex_jax.training.run_log import DivergedError, check_finite
from neomflex_jax.training.train import resume, train

PATIENCE = 900  # for machines that are busy with something else


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def test_a_killed_and_resumed_run_ends_like_one_that_was_left_alone(tmp_path):
    process = training_alone.start("killed_after", tmp_path / "killed", "sac", 2, 4)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "result.json").exists()
    resume(tmp_path / "killed")
    train(training_alone.options("sac", 4), tmp_path / "whole")
    killed, whole = result_of(tmp_path / "killed"), result_of(tmp_path / "whole")
    assert killed["sha256"] == whole["sha256"]
    assert killed["steps"] == whole["steps"] == FIRST["sac"] + 4 * CHUNK["sac"]
    assert killed["stopped"] == "total_steps"
    train(training_alone.options("sac", 4, seed=1), tmp_path / "other")
    assert result_of(tmp_path / "other")["policies_sha256"] != whole["policies_sha256"]
    with pytest.raises(InputError, match=r"has ended at 1600 steps \(total_steps\)"):
        resume(tmp_path / "killed")


def rows(folder):
    metrics = folder / "metrics.csv"
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["sac", "gradient"])
def test_five_kills_at_random_moments_change_nothing(tmp_path, algorithm):
    """The moments: a random number of chunks after a start, and then a random part of a second."""
    moments, cache = np.random.default_rng(7), tmp_path / "compiled"
    chunks = {"sac": 800, "gradient": 400}[algorithm]  # it must not end before the fifth kill
    start = [*training_alone.flags(algorithm, chunks), "--checkpoint-seconds", 0, "--output"]
    whole = command(*start, tmp_path / "whole", cache=cache)
    text = whole.communicate(timeout=PATIENCE)[0]
    assert whole.returncode == 0, text
    folder = tmp_path / "killed"
    for kill in range(5):
        arguments = ["--resume", "--output", folder] if kill else [*start, folder]
        process, before = command(*arguments, cache=cache), rows(folder)
        # the first kill comes while it compiles, before there is a checkpoint
        more, until = int(moments.integers(1, 8)) if kill else 0, time.monotonic() + PATIENCE
        while rows(folder) < before + more or not (folder / "config.json").exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 0.5))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (folder / "result.json").exists()
    last = command("--resume", "--output", folder, cache=cache)
    text = last.communicate(timeout=PATIENCE)[0]
    assert last.returncode == 0, text
    assert result_of(folder)["policies_sha256"] == result_of(tmp_path / "whole")["policies_sha256"]
    assert result_of(folder)["policies_sha256"] in text
    assert rows(folder) == rows(tmp_path / "whole") == chunks + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "learner", "term"),
    [
        ("sac", {"learning_rate": 1e30, "reward_scale": 1e30}, "_loss_agent_1"),
        ("gradient", {"learning_rate": float("inf")}, "gradient_norm_agent_1"),
    ],
)
def test_a_loss_that_is_not_finite_is_named_with_its_agent(tmp_path, algorithm, learner, term):
    given = training_alone.options(algorithm, 5)
    given = dataclasses.replace(given, **{algorithm: dataclasses.replace(getattr(given, algorithm), **learner)})
    with pytest.raises(DivergedError, match=f"{term} is not finite"):
        train(given, tmp_path / "run")
    assert not (tmp_path / "run" / "policies").exists()


def test_the_learners_figures_are_named_before_the_grids():
    row = {
        "steps": 1.0,
        "day_cost": float("nan"),
        "actor_loss_agent_2": float("inf"),
        "entropy_agent_1": 0.0,
        "seed": 3,
    }
    with pytest.raises(DivergedError, match=r"actor_loss_agent_2 is not finite \(seed 3\), nor day_cost\. --resume"):
        check_finite([row])
