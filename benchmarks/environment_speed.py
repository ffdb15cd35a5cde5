"""How many environment steps a second, and how many power flows pandapower makes in the same run.

``python benchmarks/environment_speed.py [--scenario neom33] [--copies 4096] [--json FILE]``

Uniformly random actions, auto-reset, observation and reward included; the best of several repetitions, compilation
left out and stated apart. pandapower's rate is plain `runpp` on its own case33bw, warmed up.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import tyro
from jax import Array

import neomflex_jax as nf

STEPS = 96


@dataclass(frozen=True)
class Options:
    """Measure the environment's speed."""

    scenario: str = "neom33"
    copies: int = 4096
    methods: tuple[str, ...] = ("ac", "calibrated", "lindistflow")
    repetitions: int = 5
    json: Path | None = None
    """Also write the figures here."""


def steps_per_second(env: nf.AutoReset, copies: int, repetitions: int) -> dict[str, float]:
    """Best rate over the repetitions, and the seconds that compiling took."""

    @jax.jit
    def reset(env: nf.AutoReset, keys: Array) -> nf.State:
        return jax.vmap(env.reset)(keys)[0]

    @jax.jit
    def roll(env: nf.AutoReset, state: nf.State, key: Array) -> tuple[nf.State, Array]:
        def body(state: nf.State, key: Array) -> tuple[nf.State, Array]:
            action = jax.random.uniform(key, (copies, env.n_agents, env.action_size), minval=-1.0, maxval=1.0)
            state, timestep = jax.vmap(env.step)(state, action)
            # observation and reward are used, so that none of the step's work can be left out
            return state, timestep.reward.mean() + timestep.observation.mean()

        return jax.lax.scan(body, state, jax.random.split(key, STEPS))

    state = reset(env, jax.random.split(jax.random.key(0), copies))
    before = time.perf_counter()
    compiled = roll.lower(env, state, jax.random.key(1)).compile()
    compile_seconds = time.perf_counter() - before
    jax.block_until_ready(compiled(env, state, jax.random.key(1)))
    seconds = []
    for repetition in range(repetitions):
        before = time.perf_counter()
        jax.block_until_ready(compiled(env, state, jax.random.key(repetition)))
        seconds.append(time.perf_counter() - before)
    return {"steps_per_second": copies * STEPS / min(seconds), "compile_seconds": compile_seconds}


def pandapower_flows_per_second(flows: int = 100) -> float:
    """Rate of plain `runpp` with varying loads."""
    import pandapower as pp
    import pandapower.networks as networks

    net = networks.case33bw()
    p_mw, random = net.load["p_mw"].to_numpy().copy(), np.random.default_rng(0)
    for flow in range(flows + 5):
        if flow == 5:  # the first flows compile with numba
            before = time.perf_counter()
        net.load["p_mw"] = p_mw * random.uniform(0.5, 1.0)
        pp.runpp(net, algorithm="nr", init="flat", lightsim2grid=False)
    return flows / (time.perf_counter() - before)


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options)
    figures: dict[str, object] = {
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "copies": options.copies,
    }
    reference = pandapower_flows_per_second()
    figures["pandapower_flows_per_second"] = reference
    print(f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, jax {jax.__version__}, {options.copies} copies")
    print(f"pandapower runpp        {reference:12,.0f} flows/s")
    for method in options.methods:
        env = nf.AutoReset(nf.make(options.scenario, power_flow=method))
        measured = steps_per_second(env, options.copies, options.repetitions)
        figures[method] = measured
        rate = measured["steps_per_second"]
        print(
            f"environment, {method:<11s}{rate:12,.0f} steps/s  {rate / reference:8,.0f} x pandapower"
            f"  (compiled in {measured['compile_seconds']:.1f} s)"
        )
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
