"""One stage of what is measured on the day a GPU is there; `run.sh` calls them one by one.

``python benchmarks/gpu/stages.py STAGE --output FILE.json [--small]``

Each writes its JSON when it is done, with the device's name; ``--small`` takes sizes that a CPU rehearses in seconds.
Seconds are the best of three calls, compilation apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

import neomflex_jax as nf

sys.path.insert(0, str(Path(__file__).parents[1]))
from synthetic_feeder import benchmark_feeder

STEPS = 24


def best_seconds(call: Callable[[], Any], repetitions: int = 3) -> float:
    """Return the shortest of some calls, after one that does not count."""
    jax.block_until_ready(call())
    seconds = []
    for _ in range(repetitions):
        before = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - before)
    return min(seconds)


def bandwidth(small: bool) -> dict[str, float]:
    """Bytes a second that copying a large array reads and writes, and float32 products' operations a second."""
    n, side = (2**20, 256) if small else (2**28, 8192)
    values, matrix = jnp.ones(n), jnp.ones((side, side))
    add, multiply = jax.jit(lambda x: x + 1.0), jax.jit(lambda x: jnp.matmul(x, x, precision="highest"))
    return {
        "bytes_per_second": 8.0 * n / best_seconds(lambda: add(values)),
        "flop_per_second": 2.0 * side**3 / best_seconds(lambda: multiply(matrix)),
    }


def flows(small: bool) -> dict[str, Any]:
    """Power flows a second by buses, method and batch, up to the batch that memory refuses."""
    sizes, batches = ((33,), (64,)) if small else ((33, 141, 533, 2000), (4096, 65_536, 524_288, 2_097_152))
    found: dict[str, Any] = {}
    for n_bus in sizes:
        feeder = benchmark_feeder(n_bus)
        for method in ("ac",) if small else ("ac", "calibrated"):
            solve = nf.bind(feeder, method)

            @jax.jit
            def some(p: Array, q: Array, solve: nf.PowerFlow = solve) -> Array:
                flow = jax.vmap(solve)(p, q)
                return flow.vm_pu, flow.loss_mw, flow.converged

            for batch in batches:
                factor = jnp.linspace(0.5, 1.0, batch)[:, None]
                p, q = (-factor * jnp.asarray(load) for load in (feeder.load_p_mw, feeder.load_q_mvar))
                try:
                    rate = batch / best_seconds(lambda p=p, q=q, some=some: some(p, q))
                except jax.errors.JaxRuntimeError as error:
                    if "RESOURCE_EXHAUSTED" not in str(error):
                        raise
                    break
                found[f"{n_bus} buses, {method}, {batch} cases"] = rate
    return {"flows_per_second": found, **bandwidth(small)}


def steps(small: bool) -> dict[str, Any]:
    """Environment steps a second by copies."""
    env = nf.AutoReset(nf.make("neom33", power_flow="lindistflow" if small else "ac"))
    found: dict[str, float] = {}

    @jax.jit
    def roll(env: nf.AutoReset, state: nf.State, actions: Array) -> tuple[nf.State, Array]:
        def step(state: nf.State, action: Array) -> tuple[nf.State, Any]:
            state, timestep = jax.vmap(env.step)(state, action)
            return state, (timestep.reward.mean(), timestep.observation.mean(), timestep.final_observation.mean())

        return jax.lax.scan(step, state, actions)

    for copies in (8,) if small else (4096, 32_768, 262_144):
        state, _ = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), copies))
        shape = (2 if small else STEPS, copies, env.n_agents, env.action_size)
        actions = jax.random.uniform(jax.random.key(1), shape, minval=-1.0, maxval=1.0)
        seconds = best_seconds(lambda state=state, actions=actions: roll(env, state, actions))
        found[str(copies)] = shape[0] * copies / seconds
    return {"steps_per_second": found}


def training(small: bool, algorithm: str, *more: str, seconds: float = 60.0) -> dict[str, Any]:
    """A training by command: seconds from the command's start, steps, what it reached beside no control and a droop."""
    with tempfile.TemporaryDirectory() as folder:
        size = ("--total-steps", "1") if small else ("--max-seconds", str(seconds))
        if small:
            size += (f"--{algorithm}.hidden-sizes", "4", f"--{algorithm}.n-copies", "4", "--power-flow", "lindistflow")
        if small and algorithm == "sac":
            size += ("--sac.batch-size", "8", "--sac.updates-per-step", "1", "--sac.buffer-size", "192")
        command = ("-m", "neomflex_jax", "train", "--algorithm", algorithm, "--output", f"{folder}/run", *size, *more)
        before = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True)
        took = time.perf_counter() - before
        result = json.loads(Path(folder, "run", "result.json").read_text(encoding="utf-8"))
    kept = ("steps", "seconds", "stopped", "comparison")
    return {"command_seconds": took, "command": " ".join(command), **{name: result.get(name) for name in kept}}


def memory(small: bool) -> dict[str, Any]:
    """What the device says of its memory."""
    return {"memory": jax.local_devices()[0].memory_stats() or {}}


STAGES: dict[str, Callable[[bool], dict[str, Any]]] = {
    "flows": flows,
    "steps": steps,
    "gradient": lambda small: training(small, "gradient", seconds=30.0),
    "sac": lambda small: training(small, "sac"),
    "seeds": lambda small: training(small, "gradient", "--seeds", "2" if small else "10", seconds=60.0),
    "memory": memory,
}


def main() -> None:
    """Run one stage and write its JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    figures = STAGES[given.stage](given.small)
    device = jax.devices()[0]
    about = {"stage": given.stage, "device": device.device_kind, "platform": device.platform, "jax": jax.__version__}
    text = json.dumps({**about, "small": given.small, **figures}, indent=2) + "\n"
    part = given.output.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(given.output)  # whole or not at all: what is there is not measured again


if __name__ == "__main__":
    main()
