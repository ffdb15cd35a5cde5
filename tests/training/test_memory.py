"""What a training needs in memory, and the refusal of one that is not held."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from neomflex_jax import InputError, free_memory, load_scenario
from neomflex_jax.agents.gradient import GradientConfig
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.environment import make
from neomflex_jax.training import memory
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.program import program_for

SCENARIO = load_scenario("neom33", power_flow="lindistflow")
SAC = SacConfig(n_copies=8, batch_size=16, warmup_steps=4, buffer_size=80_000)


@pytest.fixture(scope="module")
def env():
    return make(SCENARIO)


def options(algorithm, **changes):
    return TrainOptions(SCENARIO, algorithm=algorithm, sac=SAC, gradient=GradientConfig(n_copies=1000), **changes)


def test_the_buffer_is_counted_as_it_is_allocated(env):
    asked = options("sac")
    program = program_for(env, asked)
    row = env.observation_mask.size * 2 + env.action_mask.size + env.n_agents + 1
    assert program.algorithm.transition_bytes == 4 * row
    assert memory.needs_of(program, env, asked).buffer == 80_000 * 4 * row + 8  # where it goes, and how many there are


def test_a_buffer_keeps_fewer_transitions_where_they_would_take_more_than_they_may(env):
    row = program_for(env, options("sac")).algorithm.transition_bytes
    limited = replace(options("sac"), sac=replace(SAC, buffer_gib=100 * row / 2**30))
    assert program_for(env, limited).algorithm.sac.config.buffer_size == 96  # a multiple of the 8 copies
    none = replace(options("sac"), sac=replace(SAC, buffer_gib=1e-9))
    assert program_for(env, none).algorithm.sac.config.buffer_size == 32  # the warm-up's
    with pytest.raises(InputError, match="buffer_gib = 0"):
        replace(SAC, buffer_gib=0.0)


@pytest.mark.parametrize("algorithm", ["sac", "gradient"])
def test_what_fits_is_said_and_fits(env, algorithm):
    asked = options(algorithm)
    program = program_for(env, asked)
    needed = memory.needs_of(program, env, asked).total
    memory.check_fits(program, env, asked, free=needed)
    flag = {"sac": r"--sac.buffer-gib ([0-9.]+)", "gradient": r"--gradient.n-copies ([0-9]+)"}[algorithm]
    with pytest.raises(
        InputError, match=f"3 agents .* GiB are free; give {flag} or take at most [12] agents"
    ) as refused:
        memory.check_fits(program, env, asked, free=0.8 * needed)
    words = str(refused.value).split()
    number = words[words.index("give") + 2]
    if algorithm == "sac":
        fewer = replace(asked, sac=replace(SAC, buffer_gib=float(number)))
    else:
        fewer = replace(asked, gradient=GradientConfig(n_copies=int(number)))
    memory.check_fits(program_for(env, fewer), env, fewer, free=0.8 * needed)
    with pytest.raises(InputError, match="a smaller grid"):
        memory.check_fits(program, env, asked, free=1.0)


def test_the_machine_says_what_is_free():
    free = memory.free_bytes()
    assert free is None or free > 0
    assert jax.devices()[0].platform != "cpu" or not free_memory.MEMORY_INFO.is_file() or np.isfinite(free)


def test_memory_that_is_used_up_all_the_same_is_said_in_one_sentence():
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes.")
    said = r"memory is used up; give --sac.n-copies 4 and --sac.buffer-gib 1, or take a device with more"
    with pytest.raises(InputError, match=said), memory.said_if_used_up(options("sac")):
        raise full
    with (
        pytest.raises(InputError, match=r"give --gradient.n-copies 500, or"),
        memory.said_if_used_up(options("gradient")),
    ):
        raise full
    with pytest.raises(jax.errors.JaxRuntimeError), memory.said_if_used_up(options("sac")):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")
