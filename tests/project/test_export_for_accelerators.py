"""Every entry program compiles for a GPU and a TPU as far as a machine without one can tell: all are exported here.

What is exported holds no double precision, no call back to the host and no machine code of a CPU. A loop of an
accelerator should neither gather nor scatter where what is read is known beforehand: what is left is counted.
"""

import collections
import os
import re
import subprocess
import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.extend.core import jaxprs_in_params
from random_feeders import MESHED, RADIAL, build, structure

import neomflex_jax as nf
from neomflex_jax.agents.gradient import GradientConfig
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.evaluation import rollout
from neomflex_jax.powerflow import METHODS
from neomflex_jax.training import program as programs
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.yardsticks.controller import Blind, Distinct

ACCELERATORS = ("cuda", "tpu")
OWN_CALLS = {"cu_threefry2x32_ffi", "Sharding"}  # JAX's own
SMALL = {"n_copies": 4, "hidden_sizes": (4,), "warmup_steps": 2}
SAC = SacConfig(**SMALL, batch_size=8, updates_per_step=2, buffer_size=48)
GRADIENT = GradientConfig(**SMALL)


def check_export(program: Any, *arguments: Any) -> None:
    """Export a jitted function for accelerators, and look at what came out."""
    exported = export.export(program, platforms=ACCELERATORS)(*arguments)
    text = exported.mlir_module()
    assert not re.search(r"tensor<(\d+x)*f64>", text)
    assert "callback" not in text
    assert set(re.findall(r"custom_call @(\w+)", text)) <= OWN_CALLS


def in_loops(jaxpr: Any, is_loop: bool = False) -> collections.Counter:
    """Count the operations inside loops, those of an accelerator where platforms differ."""
    found: collections.Counter = collections.Counter()
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        found[name] += is_loop
        of_platforms = params.get("branches_platforms")
        inner = params["branches"][-1:] if of_platforms is not None else jaxprs_in_params(params)
        for each in inner:
            found += in_loops(getattr(each, "jaxpr", each), is_loop or name in ("while", "scan"))
    return found


def feeder(kind: str) -> nf.Feeder:
    """A small tree, one with loops, or one with transformers of two levels."""
    seeds = {"radial": RADIAL[0], "meshed": MESHED[0], "transformers": RADIAL[2]}
    return build(structure(seeds[kind]), 0)


def test_the_feeders_are_what_they_are_called() -> None:
    assert feeder("radial").topology.is_radial
    assert not feeder("meshed").topology.is_radial
    assert feeder("transformers").topology.is_radial
    assert feeder("transformers").transformers is not None


KINDS = ("radial", "meshed", "transformers")
QUICK = {("ac", "radial"), ("lindistflow", "transformers"), ("dc", "meshed")}  # a loop, a tree's sums, a matrix


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        pytest.param(method, kind, marks=() if (method, kind) in QUICK else pytest.mark.slow)
        for method in METHODS
        for kind in KINDS
    ],
)
def test_a_power_flow_is_exported(method: str, kind: str) -> None:
    grid = feeder(kind)
    solve, zeros = nf.bind(grid, method), jnp.zeros((3, grid.n_bus))
    check_export(jax.jit(jax.vmap(solve)), zeros, zeros)


def test_an_iteration_of_a_power_flow_neither_gathers_nor_scatters() -> None:
    grid = feeder("radial")
    found = in_loops(jax.make_jaxpr(jax.vmap(nf.bind(grid)))(*jnp.zeros((2, 3, grid.n_bus))).jaxpr)
    assert found["dot_general"] > 0
    assert not [name for name in found if "gather" in name or "scatter" in name]


@pytest.fixture(scope="module")
def env() -> nf.Environment:
    return nf.make("neom33")


def moved(jaxpr: Any) -> tuple[int, int]:
    """Gathers and scatters inside loops.

    A copy's clock chooses rows of profiles and of what days begin with, chance chooses rows of a replay buffer; of what
    is known beforehand, actions and observations are chosen, whose derivatives are the gradient learner's scatters.
    """
    found = in_loops(jaxpr)
    return found["gather"], sum(count for name, count in found.items() if name.startswith("scatter"))


@pytest.mark.slow
def test_a_rollout_is_exported(env: nf.Environment) -> None:
    copies, keys = nf.AutoReset(env), jax.random.split(jax.random.key(0), 4)
    state, _ = jax.eval_shape(jax.vmap(copies.reset), keys)

    def roll(copies: nf.AutoReset, state: nf.State, actions: jax.Array) -> Any:
        def step(state: nf.State, action: jax.Array) -> Any:
            state, timestep = jax.vmap(copies.step)(state, action)
            return state, (timestep.reward, timestep.observation)

        return jax.lax.scan(step, state, actions)

    program, actions = jax.jit(roll), jnp.zeros((2, 4, env.n_agents, env.action_size))
    check_export(program, copies, state, actions)
    assert moved(program.trace(copies, state, actions).jaxpr) <= (22, 0)


@pytest.mark.parametrize(
    ("algorithm", "n_seeds", "most"),
    [
        ("sac", 1, (27, 0)),
        pytest.param("gradient", 1, (30, 3), marks=pytest.mark.slow),
        # where a replay buffer's next row lies is a seed's own, as far as JAX knows
        pytest.param("sac", 2, (27, 18), marks=pytest.mark.slow),
    ],
)
def test_a_training_is_exported(env: nf.Environment, algorithm: str, n_seeds: int, most: tuple[int, int]) -> None:
    options = TrainOptions(env.scenario, algorithm=algorithm, sac=SAC, gradient=GRADIENT, n_seeds=n_seeds)
    program = programs.program_for(env, options)
    keys = program._keys(range(n_seeds))
    state = jax.eval_shape(partial(programs._start, program), env, keys)
    share, n_rounds = jnp.zeros(()), jnp.zeros((), jnp.int32)
    check_export(programs._advance, program, env, state, share, n_rounds)
    assert np.all(np.array(moved(programs._advance.trace(program, env, state, share, n_rounds).jaxpr)) <= most)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["sac", "gradient"])
def test_what_comes_before_a_training_is_exported(env: nf.Environment, algorithm: str) -> None:
    options = TrainOptions(env.scenario, algorithm=algorithm, sac=SAC, gradient=GRADIENT)
    program = programs.program_for(env, options)
    check_export(programs._begin.program, program, env, program._keys([0]))


@pytest.mark.slow
def test_an_evaluation_is_exported(env: nf.Environment) -> None:
    distinct = Distinct.of(Blind(NoControl(env.action_size)))
    carry = jax.eval_shape(rollout._begin, env, distinct)
    check_export(rollout._play_day, env, distinct, carry)


ON_TWO = """
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import neomflex_jax as nf

flow = nf.bind(nf.load_feeder("case33bw"))
mesh, part = Mesh(jax.devices(), ("device",)), PartitionSpec("device")
spread = jax.shard_map(jax.vmap(flow), mesh=mesh, in_specs=(part, part), out_specs=part, check_vma=False)
cases = jax.ShapeDtypeStruct((8, 33), jnp.float32, sharding=NamedSharding(mesh, part))
exported = jax.export.export(jax.jit(spread), platforms=["cuda", "tpu"])(cases, cases)
text = exported.mlir_module()
assert exported.nr_devices == 2, exported.nr_devices
assert "f64" not in text and "callback" not in text and "neomflex_sweep" not in text
lowered = jax.jit(spread).trace(cases, cases).lower(lowering_platforms=("cuda",)).as_text()
assert "__gpu$xla.gpu.triton" in lowered  # each device solves its own cases by the kernel
"""


def test_what_two_devices_share_is_exported() -> None:
    surroundings = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", ON_TWO], env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
