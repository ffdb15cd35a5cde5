"""Presets by device, and copies by what memory holds: what they change, what they leave, and the model behind them."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import pytest

import neomflex_jax as nf
from neomflex_jax import InputError, load_scenario
from neomflex_jax.agents.gradient import GradientConfig
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.agents.sac.config import AUTO
from neomflex_jax.commands.arguments import read_arguments
from neomflex_jax.commands.train import TrainCommand
from neomflex_jax.environment import make
from neomflex_jax.training import memory, sizes
from neomflex_jax.training import program as programs
from neomflex_jax.training.algorithm import algorithm_for
from neomflex_jax.training.options import TUNED_STEPS, TrainOptions

SCENARIO = load_scenario("neom33", power_flow="lindistflow")


@pytest.fixture(scope="module")
def env() -> nf.Environment:
    return make(SCENARIO)


def options(algorithm: str, **changes: Any) -> TrainOptions:
    return TrainOptions(SCENARIO, algorithm=algorithm, **changes)


@pytest.mark.parametrize("algorithm", ["sac", "gradient"])
def test_the_preset_of_a_cpu_changes_nothing(algorithm: str) -> None:
    assert sizes.preset_of_device() == "cpu"
    asked = options(algorithm)
    assert sizes.with_preset(asked, "cpu") == asked


def test_the_preset_of_a_gpu_takes_the_place_of_defaults_alone() -> None:
    asked = options("sac", sac=SacConfig(n_copies=512, learning_rate=1e-3))
    chosen = sizes.with_preset(asked, "gpu")
    assert (chosen.sac.n_copies, chosen.sac.learning_rate) == (512, 1e-3)
    assert (chosen.sac.batch_size, chosen.sac.updates_per_step) == (4096, 8)
    assert chosen.total_steps == 2 * TUNED_STEPS["sac"]  # as many updates: twice the copies
    assert sizes.with_preset(replace(asked, max_seconds=5.0), "gpu").total_steps is None
    assert sizes.said(chosen, "gpu") == (
        "preset gpu: 512 copies, 8 updates a step from batches of 4,096, learning rate 0.001"
    )


def test_a_preset_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(InputError, match=r"unknown preset 'gpus'.*gpu"):
        sizes.with_preset(options("sac"), "gpus")


@pytest.mark.parametrize("given", [["--sac.n-copies", "auto"], ["--sac.n_copies=auto"], ["--sac.n-copies=auto"]])
def test_auto_is_read_where_a_number_is(given: list[str]) -> None:
    command = read_arguments(["train", "--output", "auto", *given], {"train": TrainCommand, "none": TrainCommand}, "")
    assert isinstance(command, TrainCommand)
    assert command.sac.n_copies == AUTO
    assert str(command.output) == "auto"


def test_a_word_other_than_auto_is_refused() -> None:
    with pytest.raises(InputError, match=r"--sac\.n-copies takes a whole number, not 'all'"):
        read_arguments(
            ["train", "--output", "run", "--sac.n-copies", "all"], {"train": TrainCommand, "none": TrainCommand}, ""
        )


@pytest.mark.parametrize("algorithm", ["sac", "gradient"])
def test_auto_takes_the_default_here_and_less_where_memory_is_short(env: nf.Environment, algorithm: str) -> None:
    default = options(algorithm)
    asked = options(algorithm, sac=SacConfig(n_copies=AUTO), gradient=GradientConfig(n_copies=AUTO))
    roomy = sizes.with_fitting_copies(asked, env, free=2.0**40)
    assert getattr(roomy, algorithm) == getattr(default, algorithm)
    assert not sizes.copies_are_open(roomy)
    needed = memory.needs_of(programs.program_for(env, roomy), env, roomy).total
    with pytest.raises(InputError, match=r"not even 1 copies .* half of the free memory"):
        sizes.with_fitting_copies(asked, env, free=1000.0)
    if algorithm == "gradient":
        scarce = sizes.with_fitting_copies(asked, env, free=needed)
        assert scarce.gradient.n_copies in (default.gradient.n_copies // 4, default.gradient.n_copies // 2)
    with pytest.raises(InputError, match="auto is settled by neomflex train"):
        algorithm_for(env, asked)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["sac", "gradient"])
def test_the_bytes_of_a_copy_are_those_of_the_compiled_program(env: nf.Environment, algorithm: str) -> None:
    """Of two numbers of copies: what the second takes more, by XLA's own account, and by the model."""
    taken, modelled = [], []
    for copies in (512, 2048) if algorithm == "sac" else (64, 256):
        asked = options(
            algorithm,
            sac=SacConfig(n_copies=copies, batch_size=16, updates_per_step=1, buffer_size=98_304),
            gradient=GradientConfig(n_copies=copies),
        )
        program = programs.program_for(env, asked)
        state = program.template(env)
        arguments = (program, env, state, jnp.zeros(()), jnp.zeros((), jnp.int32))
        compiled = programs._advance.lower(*arguments).compile().memory_analysis()
        taken.append(compiled.temp_size_in_bytes + compiled.argument_size_in_bytes)
        modelled.append(memory.needs_of(program, env, asked).total)
    more, expected = taken[1] - taken[0], modelled[1] - modelled[0]
    assert 0 < more <= 1.25 * expected, (more, expected, taken, modelled)
    assert expected <= 6 * more, (more, expected, taken, modelled)
