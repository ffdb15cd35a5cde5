"""Compile the entry programs for an NVIDIA H200 on a machine without any GPU, and count what XLA made of them.

``make check-gpu``, or in an environment with JAX for CUDA: ``JAX_PLATFORMS=cpu python benchmarks/gpu/aot.py [--write]``

Nothing runs and no time is measured. A launch is an operation that is a kernel of its own, times the turns of the loops
around it; of loops whose turns only the data decide one turn is counted. `launches_a_turn` is the most of any loop with
a known number of turns: of a step in a rollout, of an update in a round of SAC, of a step's derivative in one of the
gradient learner. `moved_mb` counts whole arrays where a kernel reads a part of one. Compared with what ``aot.json``
holds, a rise of more than a tenth of launches, bytes or memory ends with status 1; ``--write`` writes the file anew.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import neomflex_jax as nf
from neomflex_jax.training import program as programs
from neomflex_jax.training.options import TrainOptions

FIGURES = Path(__file__).with_name("aot.json")
MOST_RISE = 1.1
CASES, COPIES, STEPS = 65_536, 4096, 24
FEEDERS = "case33bw", "case141"
# what XLA prints of a device of this kind
H200 = """gpu_device_info { threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
 shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
 block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535 memory_bandwidth: 4800000000000
 l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 150000000000 shared_memory_per_block_optin: 232448
 cuda_compute_capability { major: 9 minor: 0 } registers_per_core_limit: 65536 registers_per_block_limit: 65536 }
platform_name: "CUDA" dnn_version_info { major: 9 minor: 10 } device_description_str: "NVIDIA H200" """
KERNELS = (
    *("fusion", "custom-call", "dot", "convolution", "copy", "sort", "gather", "scatter", "reduce", "all-reduce"),
    *("dynamic-slice", "dynamic-update-slice", "transpose", "broadcast", "iota", "pad", "concatenate"),
    "rng-bit-generator",
)


def h200() -> NamedSharding:
    """A placement on one H200 that is not here."""
    topology = topologies.get_topology_desc(platform="cuda", topology="1x1x1", target_config=H200)
    return NamedSharding(Mesh(np.array(topology.devices[:1]), ("device",)), PartitionSpec())


def computations(text: str) -> tuple[dict[str, list[str]], str]:
    """Return the lines of every computation of a compiled text by name, and the name of the first one called."""
    found: dict[str, list[str]] = {}
    entry, lines = "", []
    for line in text.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$", line)
        if head:
            lines = found.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        else:
            lines.append(line)
    return found, entry


def bytes_of(kind: str) -> int:
    """Return the bytes of all arrays in a type as XLA prints it, a tuple's too."""
    total = 0
    for name, axes in re.findall(r"\b(pred|[suf]\d+|bf16)\[([\d,]*)\]", kind):
        bits = {"pred": 8, "bf16": 16}.get(name) or int(name[1:])
        total += bits // 8 * int(np.prod([int(axis) for axis in axes.split(",") if axis], dtype=np.int64))
    return total


def launches(text: str) -> tuple[float, float, float]:
    """Return the kernels that a program launches, the most in a turn of a loop, and the bytes that they read and write.

    Of loops that the data end one turn is counted; a kernel that reads a part of an array counts with all of it.
    """
    parts, entry = computations(text)
    turns_of_loops = [0.0]

    def of(name: str) -> np.ndarray:
        total, sizes = np.zeros(2), {}
        for line in parts[name]:
            made = re.match(r"\s*(?:ROOT )?(%?[\w.\-]+) = (.*?[\])}]) [a-z][\w\-]*\(", line)
            if made:
                sizes[made[1]] = bytes_of(made[2])
            kind = re.search(r" = .*?[\])}] ([a-z][\w\-]*)\(", line)
            if kind is None:
                continue
            if kind[1] == "while":
                turns = re.search(r'known_trip_count":\{"n":"(\d+)"', line)
                body = re.search(r"body=%?([\w.\-]+)", line)
                once = of(body[1]) if body else np.zeros(2)
                turns_of_loops.append(float(once[0]) if turns else 0.0)
                total += (int(turns[1]) if turns else 1) * once
            elif kind[1] == "conditional":
                inner = [each for each in re.findall(r"%([\w.\-]+)", line[kind.end() :]) if each in parts]
                total += max(map(of, inner), default=np.zeros(2), key=lambda pair: pair[0])
            elif kind[1] == "call":
                called = re.search(r"to_apply=%?([\w.\-]+)", line)
                total += of(called[1]) if called else 0.0
            elif kind[1].removesuffix("-start") in KERNELS and made:
                read = re.findall(r"%[\w.\-]+", line[kind.end() :].split("), ")[0])
                total += 1.0, sizes[made[1]] + sum(sizes.get(each, 0) for each in read)
        return total

    n_launches, n_bytes = of(entry)
    return float(n_launches), max(turns_of_loops), float(n_bytes)


def measure(place: NamedSharding, program: Any, *arguments: Any) -> dict[str, float]:
    """Compile for the H200 and return launches, temporary memory, and bytes read and written."""

    def there(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place) if hasattr(leaf, "shape") else leaf

    static = [
        argument if isinstance(argument, programs.Program) else jax.tree.map(there, argument) for argument in arguments
    ]
    compiled = program.lower(*static).compile()
    n_launches, of_a_turn, n_bytes = launches(compiled.as_text())
    temporary = compiled.memory_analysis().temp_size_in_bytes
    return {
        "launches": n_launches,
        "launches_a_turn": of_a_turn,
        "temporary_mb": round(temporary / 1e6, 3),
        "moved_mb": round(n_bytes / 1e6, 3),
    }


def flows(feeder: str, method: str, sweeps: bool = True) -> tuple[Any, ...]:
    """Return the program of many power flows, of what the environment needs, and its arguments."""
    grid = nf.load_feeder(feeder)
    solve = nf.bind(grid, method, sweeps=sweeps)

    def some(p: jax.Array, q: jax.Array) -> tuple[jax.Array, ...]:
        flow = solve(p, q)
        return flow.vm_pu, flow.loss_mw, flow.converged

    cases = jax.ShapeDtypeStruct((CASES, grid.n_bus), jnp.float32)
    return jax.jit(jax.vmap(some)), cases, cases


def steps() -> tuple[Any, ...]:
    """Return the program of some environment steps of many copies, and its arguments."""
    copies = nf.AutoReset(nf.make("neom33"))
    state, _ = jax.eval_shape(jax.vmap(copies.reset), jax.random.split(jax.random.key(0), COPIES))

    def roll(copies: nf.AutoReset, state: nf.State, actions: jax.Array) -> tuple[nf.State, Any]:
        def step(state: nf.State, action: jax.Array) -> tuple[nf.State, Any]:
            state, timestep = jax.vmap(copies.step)(state, action)
            return state, (timestep.reward, timestep.observation)

        return jax.lax.scan(step, state, actions)

    actions = jax.ShapeDtypeStruct((STEPS, COPIES, copies.env.n_agents, copies.env.action_size), jnp.float32)
    return jax.jit(roll), copies, state, actions


def chunk(algorithm: str) -> tuple[Any, ...]:
    """Return a learner's compiled chunk, by its defaults, and its arguments; one turn of it is one round."""
    env = nf.make("neom33")
    program = programs.program_for(env, TrainOptions(env.scenario, algorithm=algorithm))
    state = jax.eval_shape(partial(programs._start, program), env, jax.random.key(0))
    share, n_rounds = jax.ShapeDtypeStruct((), jnp.float32), jax.ShapeDtypeStruct((), jnp.int32)
    return programs._advance, program, env, state, share, n_rounds


PROGRAMS: dict[str, Callable[[], tuple[Any, ...]]] = {
    **{
        f"{CASES} flows, {feeder}, {method}": partial(flows, feeder, method)
        for feeder in FEEDERS
        for method in ("ac", "calibrated", "lindistflow", "newton")
    },
    **{f"{CASES} flows, {feeder}, ac by products": partial(flows, feeder, "ac", False) for feeder in FEEDERS},
    f"{STEPS} steps of {COPIES} copies, neom33": steps,
    "round of sac, neom33": partial(chunk, "sac"),
    "round of gradient, neom33": partial(chunk, "gradient"),
}


def rises(before: dict[str, dict[str, float]], now: dict[str, dict[str, float]]) -> list[str]:
    """Return what rose by more than a tenth, in words."""
    return [
        f"{program}: {name} {old:g} -> {now[program][name]:g}"
        for program, figures in before.items()
        if program in now
        for name, old in figures.items()
        if now[program][name] > MOST_RISE * old
    ]


def main() -> int:
    """Compile, print, compare or write; returns the exit status."""
    place, now = h200(), {}
    for name, made in PROGRAMS.items():
        now[name] = measure(place, *made())
        print(f"{name:<40s}" + "  ".join(f"{figure} {value:,.1f}" for figure, value in now[name].items()), flush=True)
    if "--write" in sys.argv[1:]:
        FIGURES.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
        return 0
    risen = rises(json.loads(FIGURES.read_text(encoding="utf-8")), now) if FIGURES.exists() else []
    print(*(f"rose by more than a tenth: {each}" for each in risen), sep="\n")
    return 1 if risen else 0


if __name__ == "__main__":
    sys.exit(main())
