"""The built wheel, installed into an empty environment, runs from outside the checkout with all it needs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from neomflex_jax.commands.run_page import SCRIPTS

ROOT = Path(__file__).parents[2]
FEEDERS = ("case33bw", "case69", "case85", "case141", "kerber_dorfnetz")
FILES = ("buses.csv", "branches.csv", "feeder.toml")
CIRCUITS = ("ieee13/opendss/IEEE13Nodeckt.dss", "ieee123/opendss/IEEE123Loads.DSS", "european_lv/opendss/Lines.txt")

PROGRAM = """
import jax, jax.numpy as jnp, neomflex_jax as nf, validation
assert "site-packages" in nf.__file__ and "site-packages" in validation.__file__
env = nf.make("neom33")
state, timestep = jax.jit(env.reset)(jax.random.key(0))
state, timestep = jax.jit(env.step)(state, jnp.zeros((env.n_agents, env.action_size)))
assert bool(timestep.info["converged"]) and env.profiles.n_days == 280
nf.make("neom33", profiles="testing", power_flow="ac")
print("works", nf.__version__)
"""


def run(*arguments, **options):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_carries_what_it_needs_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "neomflex_jax/scenarios/neom33.toml",
        "neomflex_jax/scenarios/neom33-original.toml",
        "neomflex_jax/feeders/NOTICE.md",
        *(f"neomflex_jax/feeders/{name}/{file}" for name in FEEDERS for file in FILES),
        *(f"neomflex_jax/feeders/{file}" for file in CIRCUITS),
        "neomflex_jax/data/training_profiles.csv",
        "neomflex_jax/data/testing_profiles.csv",
        "neomflex_jax/py.typed",
        "neomflex_jax/commands/templates/run_page.css",
        "neomflex_jax/commands/templates/run_page.html",
        *(f"neomflex_jax/commands/templates/{script}" for script in SCRIPTS),
        "neomflex_jax/templates/notebook.html",
        "validation/referee/replay.py",
        "validation/report/templates/report.md",
    ):
        assert needed in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"neomflex_jax", "validation"}
    assert any(name.endswith("LICENSE") for name in names)
    assert any(name.endswith("NOTICE.md") for name in names)


@pytest.mark.slow
def test_the_wheel_runs_in_an_empty_environment(wheel, tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    assert "works" in run(python, "-c", PROGRAM, cwd=tmp_path)
    assert "train" in run(tmp_path / "venv" / "bin" / "neomflex", "--help", cwd=tmp_path)
