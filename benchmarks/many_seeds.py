"""What many seeds at once cost beside one: seconds a chunk of training, compilation left out.

``python benchmarks/many_seeds.py [--seeds 10] [--algorithms sac gradient] [--rounds 5]``

Chunks of one seed and of all seeds take turns, so that a machine that slows down slows both; the ratio is that of the
fastest chunks. Beside wall-clock seconds it states processor seconds, which other people's load changes less: with one
device they say what the seeds cost by themselves, and cores that share them divide the wall-clock seconds only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import tyro

from neomflex_jax import load_scenario
from neomflex_jax.environment import Environment, make
from neomflex_jax.training.algorithm import algorithm_for
from neomflex_jax.training.devices import ask_for_cpu_devices, cores_for_seeds
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.program import Program


@dataclass(frozen=True)
class Options:
    """Time one seed and many, taking turns."""

    seeds: int = 10
    algorithms: tuple[str, ...] = ("sac", "gradient")
    rounds: int = 5
    scenario: str = "neom33"
    devices: int | None = None
    """CPU devices that share the seeds. If not given: as in neomflex train."""


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options)
    n_devices = cores_for_seeds(options.seeds) if options.devices is None else options.devices
    ask_for_cpu_devices(n_devices)
    print(f"{len(jax.devices())} x {jax.devices()[0].device_kind}")
    for algorithm in options.algorithms:
        training = TrainOptions(load_scenario(options.scenario), algorithm=algorithm)
        env = make(training.scenario)
        algorithm_bound = algorithm_for(env, training)
        runs = {
            1: _Run(Program(algorithm_bound), env),
            options.seeds: _Run(Program(algorithm_bound, options.seeds, n_devices), env),
        }
        taken: dict[int, list[tuple[float, float]]] = {n: [] for n in runs}
        for _ in range(options.rounds):
            for n, run in runs.items():
                taken[n].append(run.chunk())
        best = {n: np.min(times, axis=0) for n, times in taken.items()}
        for n, (wall, processor) in best.items():
            print(f"{algorithm}: {n} seeds: {wall:.3f} s a chunk, {processor:.3f} processor seconds")
        wall, processor = best[options.seeds] / best[1]
        print(
            f"{algorithm}: {options.seeds} seeds cost {wall:.2f} times one (processor seconds: {processor:.2f} times)"
        )


class _Run:
    def __init__(self, program: Program, env: Environment) -> None:
        self._program, self._env = program, env
        self._state: Any = program.begin(env, range(program.n_seeds))
        self.chunk()  # compiles

    def chunk(self) -> tuple[float, float]:
        wall, processor = time.perf_counter(), time.process_time()
        self._state, metrics = self._program.advance(self._env, self._state, 0.0)
        jax.block_until_ready(metrics)
        return time.perf_counter() - wall, time.process_time() - processor


if __name__ == "__main__":
    main()
