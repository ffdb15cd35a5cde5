"""Trainings shared by devices and processes, each in processes of its own, as devices are settled before JAX starts."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import training_alone

from neomflex_jax import InputError, load_scenario
from neomflex_jax.agents.gradient import GradientConfig
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.training.devices import check_divisible, cores_for_copies, devices_in_all, share_of_one_device
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.processes import join, slurm_tasks

TESTS = Path(__file__).parents[1]
PATIENCE = 600  # for machines that are busy with something else
GONE_WITHIN = 60


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Folder where the processes keep compiled programs for each other."""
    return tmp_path_factory.mktemp("compiled")


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def test_a_sharded_update_of_a_fixed_batch_equals_the_one_on_a_single_device():
    done = subprocess.run(
        [sys.executable, TESTS / "support" / "sharded_updates.py"],
        cwd=TESTS.parent,
        env=training_alone.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["devices"] == 8
    for algorithm in ("sac", "gradient"):
        assert found[algorithm]["moved"] > 1e-3
        assert found[algorithm]["difference"] < 1e-5
        assert found[algorithm]["metrics_difference"] < 1e-5
        assert found[algorithm]["identical"]
    assert found["copies"]["equal"]
    assert found["copies"]["difference"] < 1e-5
    assert found["compiled"] == {"_begin": 1, "_advance": 1}


@pytest.mark.slow
def test_the_gradient_learner_learns_the_same_on_one_device_and_on_four(tmp_path, cache):
    given = [*training_alone.flags("gradient", 20), "--gradient.n-copies", 32]
    rows = []
    for devices in (1, 4):
        output = tmp_path / str(devices)
        process = training_alone.command(*given, "--devices", devices, "--output", output, cache=cache)
        assert process.wait(PATIENCE) == 0, process.stdout.read()
        rows.append(pd.read_csv(output / "metrics.csv")[["steps", "day_cost"]])
    np.testing.assert_allclose(*rows, rtol=2e-3)


@pytest.mark.parametrize(("n_copies", "cores", "devices"), [(64, 2, 2), (64, 6, 4), (64, 64, 8), (9, 4, 1), (7, 2, 1)])
def test_copies_are_shared_by_cores_that_divide_them_and_have_enough(monkeypatch, n_copies, cores, devices):
    monkeypatch.setattr("neomflex_jax.training.devices._cores", lambda: cores)
    assert cores_for_copies(n_copies) == devices
    assert cores_for_copies(32, at_most=3) == 2


def start_two(output, chunks, cache, *devices):
    coordinator = f"localhost:{free_port()}"
    return [
        training_alone.start("together", output, coordinator, index, chunks, *devices, cache=cache) for index in (0, 1)
    ]


@pytest.mark.slow
def test_two_processes_end_with_the_same_policies(tmp_path, cache):
    output = tmp_path / "run"
    texts = [process.communicate(timeout=PATIENCE)[0] for process in start_two(output, 3, cache, 2)]
    first, second = [text.splitlines()[-1] for text in texts]
    assert first.startswith("hash ")
    assert first == second
    result = json.loads((output / "result.json").read_text())
    assert result["stopped"] == "total_steps"
    assert first == "hash " + "-".join(result["sha256"].values())
    assert result["steps"] == training_alone.FIRST["sac"] + 3 * training_alone.CHUNK["sac"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [1, 0])
def test_a_killed_process_ends_the_other_within_a_minute(tmp_path, cache, victim):
    given = [*training_alone.flags("sac", 1_000_000), "--output", tmp_path / "run", "--num-processes", 2]
    given += ["--coordinator", f"localhost:{free_port()}", "--process-id"]
    processes = [training_alone.command(*given, index, cache=cache) for index in (0, 1)]
    metrics, until = tmp_path / "run" / "metrics.csv", time.monotonic() + PATIENCE
    while not (metrics.exists() and len(metrics.read_text().splitlines()) > 2):
        assert time.monotonic() < until and all(process.poll() is None for process in processes)
        time.sleep(0.2)
    processes[victim].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    try:
        text = processes[1 - victim].communicate(timeout=PATIENCE)[0]
    finally:
        for process in processes:
            process.kill()
    assert time.monotonic() - killed < GONE_WITHIN
    assert processes[1 - victim].returncode not in (0, None)
    assert "another process of this training is gone" in text or "JAX distributed service" in text


# ---- what cannot be shared ----


def options(**changes):
    return TrainOptions(scenario=load_scenario("neom33", power_flow="lindistflow"), **changes)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SacConfig(n_copies=100, buffer_size=100_000), r"n_copies = 100 .* 8 devices; nearest: 96 or 104"),
        (SacConfig(batch_size=4), r"batch_size = 4 .* nearest: 8"),
        (GradientConfig(n_copies=65), r"n_copies = 65 .* nearest: 64 or 72"),
    ],
)
def test_copies_and_batches_that_devices_cannot_share_are_refused_with_the_nearest_numbers(config, message):
    names = [name for name in ("n_copies", "batch_size", "buffer_size") if hasattr(config, name)]
    with pytest.raises(InputError, match=message):
        share_of_one_device(config, tuple(names), 8)


def test_one_devices_share_is_a_part_of_everything():
    share = share_of_one_device(SacConfig(), ("n_copies", "batch_size", "buffer_size"), 8)
    assert (share.n_copies * 8, share.batch_size * 8) == (SacConfig().n_copies, SacConfig().batch_size)
    assert share.buffer_size * 8 == SacConfig().buffer_size


def test_seeds_that_devices_cannot_share_are_refused():
    with pytest.raises(InputError, match=r"seeds = 10 .* 4 devices; nearest: 8 or 12"):
        check_divisible("seeds", 10, 4)


def test_devices_that_are_not_there_are_refused():
    with pytest.raises(InputError, match=r"devices = 1000, but this process has \d+ .*JAX_NUM_CPU_DEVICES"):
        devices_in_all(1000)
    with pytest.raises(InputError, match="devices = 0 must be at least 1"):
        options(devices=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("localhost:99", None, None), "add --num-processes, --process-id"),
        ((None, 2, 0), "add --coordinator"),
        (("localhost", 2, 0), "HOST:PORT"),
        (("localhost:99999", 2, 0), "HOST:PORT"),
        (("localhost:9999", 2, 2), r"process_id = 2 must lie in 0\.\.1"),
    ],
)
def test_processes_that_cannot_join_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        join(*arguments)


def test_the_tasks_of_a_slurm_step_are_counted():
    step = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "node[1-2]", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}
    assert slurm_tasks(step | {"SLURM_NTASKS": "4"}) == 4
    assert slurm_tasks({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}) == 1
