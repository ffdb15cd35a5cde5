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
import numpy as np
from jax import Array

import neomflex_jax as nf

sys.path.insert(0, str(Path(__file__).parents[1]))
from synthetic_feeder import benchmark_feeder

STEPS = 24
FLOWS_SECONDS = 75.0  # after which no larger batch is begun
OPTIMUM = 17.38  # day cost of perfect foresight on neom33's days for testing, docs/results.md
BUDGETS = {"gradient": (4.0, 8.0, 16.0), "sac": (15.0, 30.0, 45.0)}  # seconds of a training, start and end apart


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
    sizes, batches = ((33,), (64,)) if small else ((33, 141, 533, 2000), (4096, 65_536, 524_288, 2_097_152, 8_388_608))
    found: dict[str, Any] = {}
    card, begun = bandwidth(small), time.perf_counter()
    for n_bus in sizes:
        feeder = benchmark_feeder(n_bus)
        for method in ("ac",) if small else ("ac", "calibrated"):
            solve = nf.bind(feeder, method)

            @jax.jit
            def some(p: Array, q: Array, solve: nf.PowerFlow = solve) -> Array:
                flow = jax.vmap(solve)(p, q)
                return flow.vm_pu, flow.loss_mw, flow.converged

            for batch in batches:
                if time.perf_counter() - begun > FLOWS_SECONDS:
                    break
                factor = jnp.linspace(0.5, 1.0, batch)[:, None]
                p, q = (-factor * jnp.asarray(load) for load in (feeder.load_p_mw, feeder.load_q_mvar))
                try:
                    rate = batch / best_seconds(lambda p=p, q=q, some=some: some(p, q))
                except jax.errors.JaxRuntimeError as error:
                    if "RESOURCE_EXHAUSTED" not in str(error):
                        raise
                    break
                found[f"{n_bus} buses, {method}, {batch} cases"] = rate
    needed = {name: 12.0 * int(name.split()[0]) for name in found}  # bytes: two injections and a voltage a bus
    shares = {name: needed[name] * rate / card["bytes_per_second"] for name, rate in found.items()}
    return {"flows_per_second": found, "share_of_bandwidth": shares, **card}


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


def training(
    small: bool, algorithm: str, *more: str, seconds: float = 60.0, keep: Path | None = None
) -> dict[str, Any]:
    """A training by command: seconds from the command's start, steps, what it reached beside no control and a droop.

    Its output is `run` in the folder `keep`, where that is asked for.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder = str(keep or folder)
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


def time_to(small: bool, algorithm: str) -> dict[str, Any]:
    """Trainings of growing budgets: seconds from the command's start, and the day cost on unseen days over the optimum.

    Costs are the environment's own, by `ac`; pandapower is for `neomflex validate`.
    """
    from neomflex_jax.commands.played_runs import record_runs

    rows = []
    for seconds in BUDGETS[algorithm][: 1 if small else None]:
        with tempfile.TemporaryDirectory() as folder:
            row = training(small, algorithm, seconds=seconds, keep=Path(folder))
            if not small:
                played = record_runs(Path(folder, "run"), None, None, baseline=False, cache=Path(folder))
                days = played.trajectories[0]
                cost = float(days.cost.sum()) / len(np.unique(days.day))
                row |= {"day_cost": cost, "over_optimum": cost / OPTIMUM}
            rows.append({"budget_seconds": seconds, **row})
    return {"budgets": rows}


def device(small: bool) -> dict[str, Any]:
    """The fast tests that are marked `device`, on whatever device JAX takes first."""
    tests = Path(__file__).parents[2] / "tests"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "device", str(tests / "powerflow/test_powerflow_fused.py")]
    before = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    took = time.perf_counter() - before
    return {"passed": done.returncode == 0, "seconds": took, "said": done.stdout[-2000:]}


def trace(small: bool, kept: Path) -> dict[str, Any]:
    """A profile of an environment step of many copies, in a folder of its own; its files' sizes."""
    env = nf.AutoReset(nf.make("neom33", power_flow="lindistflow" if small else "ac"))
    copies = 8 if small else 4096
    state, _ = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), copies))
    step = jax.jit(jax.vmap(env.step))
    action = jnp.zeros((copies, env.n_agents, env.action_size))
    jax.block_until_ready(step(state, action))
    with jax.profiler.trace(str(kept)):
        jax.block_until_ready(step(state, action))
    return {"files": {path.name: path.stat().st_size for path in kept.rglob("*") if path.is_file()}}


def memory(small: bool) -> dict[str, Any]:
    """What the device says of its memory."""
    return {"memory": jax.local_devices()[0].memory_stats() or {}}


STAGES: dict[str, Callable[..., dict[str, Any]]] = {
    "device": device,
    "flows": flows,
    "steps": steps,
    "gradient": lambda small: time_to(small, "gradient"),
    "sac": lambda small: time_to(small, "sac"),
    "seeds": lambda small: training(small, "gradient", "--seeds", "2" if small else "10", seconds=30.0),
    "seeds100": lambda small: training(small, "gradient", "--seeds", "3" if small else "100", seconds=30.0),
    "memory": memory,
    "trace": trace,
}


def main() -> None:
    """Run one stage and write its JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    beside = (given.output.parent / "trace",) if given.stage == "trace" else ()
    figures = STAGES[given.stage](given.small, *beside)
    first = jax.devices()[0]
    about = {"stage": given.stage, "device": first.device_kind, "platform": first.platform, "jax": jax.__version__}
    text = json.dumps({**about, "small": given.small, **figures}, indent=2) + "\n"
    part = given.output.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(given.output)  # whole or not at all: what is there is not measured again


if __name__ == "__main__":
    main()
