"""How many environment steps a second, what a step costs beside its bare power flow, and what pandapower makes.

``python benchmarks/environment_speed.py [--scenarios neom33 neom141] [--copies 4096] [--products] [--json FILE]``

A step is everything from action to observation: devices, power flow, reward, observation, auto-reset. Actions are drawn
beforehand; a policy's cost is not the environment's. The bare power flow solves the same injections for what the step
needs of it (voltages, losses, convergence), in a scenario with regulators or capacitor banks with ratios and shunts of
each copy's own; of feeders with phases `unbalanced_power_flow.py` measures it. Each rate is the best of several
repetitions, all scenarios and methods in turns; compilation is left out and stated apart. pandapower's rate is plain
`runpp` on its own case33bw, warmed up.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array

import neomflex_jax as nf

STEPS = 96


@dataclass(frozen=True)
class Options:
    """Measure the environment's speed."""

    scenarios: tuple[str, ...] = ("neom33", "neom141")
    copies: int = 4096
    methods: tuple[str, ...] = ("ac", "calibrated", "lindistflow")
    products: bool = False
    """Also measure each method by matrix products in the place of machine code."""
    repetitions: int = 7
    json: Path | None = None
    """Also write the figures here."""


@jax.jit
def roll(env: nf.AutoReset, state: nf.State, actions: Array) -> tuple[nf.State, tuple[Array, Array, Array]]:
    """Step all copies through the actions (STEPS, copies, ...)."""

    def body(state: nf.State, action: Array) -> tuple[nf.State, tuple[Array, Array, Array]]:
        state, timestep = jax.vmap(env.step)(state, action)
        # all of observation and reward is read, so that none of the step's work can be left out
        read = timestep.reward.mean(), timestep.observation.mean(), timestep.final_observation.mean()
        return state, read

    return jax.lax.scan(body, state, actions)


@jax.jit
def solve(env: nf.AutoReset, p_mw: Array, q_mvar: Array, setting: nf.Setting | None) -> tuple[Array, Array, Array]:
    """Solve the power flows of as many steps, one step's injections over and over."""

    def body(total: Array, _: None) -> tuple[Array, Any]:
        moved = p_mw * (1.0 + 1e-9 * total)  # depends on the last answer, or XLA would solve it once for all
        flow = jax.vmap(env.power_flow)(moved, q_mvar, setting)
        return flow.vm_pu.mean() + flow.loss_mw.mean(), flow.converged.mean()

    return jax.lax.scan(body, jnp.zeros(()), None, length=STEPS)


def draw_setting(env: nf.AutoReset, copies: int) -> nf.Setting | None:
    """Ratios and shunts of each copy's own, where the scenario has devices that set any."""
    n_tap, nodes = len(env.power_flow.grid.tap_branches), env.layout.device_nodes.get("capacitor_banks", ())
    if n_tap + len(nodes) == 0:
        return None
    of_ratios, of_shunts = jax.random.split(jax.random.key(2))
    ratio = jax.random.uniform(of_ratios, (copies, n_tap), minval=0.9, maxval=1.1)
    shunt = jnp.zeros((copies, env.layout.n_node))
    for node, key in zip(nodes, jax.random.split(of_shunts, len(nodes)), strict=True):
        shunt = shunt.at[:, node].set(jax.random.uniform(key, (copies, 1), maxval=0.5))
    return nf.Setting(ratio if n_tap else None, shunt if len(nodes) else None)


def compiled(function: Callable[..., Any], *arguments: Any) -> tuple[Callable[[], Any], float]:
    """Return the compiled call and the seconds that compiling took."""
    before = time.perf_counter()
    program = function.lower(*arguments).compile()
    seconds = time.perf_counter() - before
    jax.block_until_ready(program(*arguments))
    return lambda: jax.block_until_ready(program(*arguments)), seconds


@dataclass
class Measured:
    """A scenario by one method: its two programs, and the seconds that each call of them took."""

    step: Callable[[], Any]
    flow: Callable[[], Any] | None  # None: a feeder with phases
    compile_seconds: float
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"step": [], "flow": []})

    def figures(self, copies: int) -> dict[str, float]:
        """Steps and bare power flows a second, and the share that the step costs beyond its power flow."""
        best = {name: min(times) for name, times in self.seconds.items() if times}
        figures = {"steps_per_second": copies * STEPS / best["step"], "compile_seconds": self.compile_seconds}
        if "flow" in best:
            figures["flows_per_second"] = copies * STEPS / best["flow"]
            figures["step_over_flow"] = best["step"] / best["flow"]
        return figures


def prepare(scenario: str, method: str, copies: int, *, products: bool) -> Measured:
    """Compile a scenario's steps and bare power flows, by matrix products if asked for."""
    env = nf.AutoReset(nf.make(scenario, power_flow=method))
    if products:
        env = env.with_power_flow(env.power_flow.by_products())
    state, _ = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), copies))
    shape = (STEPS, copies, env.n_agents, env.action_size)
    actions = jax.random.uniform(jax.random.key(1), shape, minval=-1.0, maxval=1.0)
    _, timestep = jax.jit(jax.vmap(env.step))(state, actions[0])
    p_mw, q_mvar = timestep.info["p_injection_mw"], timestep.info["q_injection_mvar"]
    step, compile_seconds = compiled(roll, env, state, actions)
    if isinstance(env.feeder, nf.UnbalancedFeeder):
        return Measured(step, None, compile_seconds)
    flow, _ = compiled(solve, env, p_mw, q_mvar, draw_setting(env, copies))
    return Measured(step, flow, compile_seconds)


def measure_in_turns(all_measured: list[Measured], repetitions: int) -> None:
    """Time every program as often, one after another, so that a noisy neighbour hurts all alike."""
    for _ in range(repetitions):
        for measured in all_measured:
            for name, call in (("step", measured.step), ("flow", measured.flow)):
                if call is None:
                    continue
                before = time.perf_counter()
                call()
                measured.seconds[name].append(time.perf_counter() - before)


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
    figures: dict[str, Any] = {
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "copies": options.copies,
    }
    reference = pandapower_flows_per_second()
    figures["pandapower_flows_per_second"] = reference
    print(f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, jax {jax.__version__}, {options.copies} copies")
    print(f"pandapower runpp, case33bw {reference:12,.0f} flows/s")
    cases = {
        (scenario, method + " by products" * products): prepare(scenario, method, options.copies, products=products)
        for scenario in options.scenarios
        for method in options.methods
        for products in (False, True)[: 1 + options.products]
    }
    measure_in_turns(list(cases.values()), options.repetitions)
    for (scenario, name), case in cases.items():
        measured = figures.setdefault(scenario, {})[name] = case.figures(options.copies)
        rate = measured["steps_per_second"]
        beside = f"  {measured['step_over_flow']:5.2f} x its bare power flow" if case.flow else ""
        print(
            f"{Path(scenario).stem + ', ' + name:<26s} {rate:12,.0f} steps/s  {rate / reference:8,.0f} x pandapower"
            f"{beside}  (compiled in {measured['compile_seconds']:.1f} s)"
        )
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
