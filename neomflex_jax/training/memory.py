"""Whether a training fits into memory, before it takes any: an estimate, by the sizes of what it keeps.

    sac        the replay buffer, parameters with moments and averages; what an update draws and differentiates; what
               every copy is in, and a step of it
    gradient   parameters with moments; of every copy and step of a horizon, what the way back needs

What the way back needs was measured on synthetic feeders of 2,000 buses with 3 to 1,000 agents
(`benchmarks/many_agents.py`): so many numbers a node, and so many an agent where actors are worked out twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jax

from neomflex_jax.environment import Environment
from neomflex_jax.errors import InputError
from neomflex_jax.free_memory import free_bytes_here
from neomflex_jax.training.gradient_loop import GradientTraining
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.program import Program
from neomflex_jax.training.sac_loop import SacTraining

GIB = 2**30
KEPT_OF_NODE, KEPT_OF_AGENT = 36, 48  # numbers of a copy and step
OF_AN_UPDATE = 3  # times what it draws and what it moves: values, gradients and what lies between


@dataclass(frozen=True)
class Needs:
    """Bytes that a training needs."""

    grid: float  # whatever number of agents
    agents: float  # of all of them
    copy: float  # of one of the gradient learner's copies, a part of these
    buffer: float  # of SAC's replay buffer, likewise

    @property
    def total(self) -> float:
        """All of it."""
        return self.grid + self.agents


def check_fits(program: Program, env: Environment, options: TrainOptions, free: float | None = None) -> None:
    """Refuse a training that memory does not hold.

    Parameters
    ----------
    program, env, options
        Of the training.
    free
        Bytes; None: what the machine says is free. Where it says nothing, nothing is refused.

    Raises
    ------
    InputError
        If more is needed than is free; says what would fit.
    """
    free = free_bytes() if free is None else free
    needs = needs_of(program, env, options)
    if free is None or needs.total <= free:
        return
    sizes = f"about {_gib(needs.total)} GiB, and {_gib(free)} GiB are free"
    what = f"training {env.n_agents} agents with --algorithm {options.algorithm} needs {sizes}"
    raise InputError(f"{what}; {_advice(needs, env, options, free)}")


@contextmanager
def said_if_used_up(options: TrainOptions) -> Iterator[None]:
    """Raise `InputError` where a device's memory is used up all the same: XLA keeps more than the model knows of."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        fewer = max(1, getattr(options, options.algorithm).n_copies // 2)
        advice = f"give --{options.algorithm}.n-copies {fewer}"
        if options.algorithm == "sac":
            advice += f" and --sac.buffer-gib {options.sac.buffer_gib / 2:g}"
        raise InputError(f"the device's memory is used up; {advice}, or take a device with more") from error


def needs_of(program: Program, env: Environment, options: TrainOptions) -> Needs:
    """Return what a training needs, all seeds and devices together."""
    state, algorithm = program.template(env), program.algorithm
    learner = OF_AN_UPDATE * _bytes(state.learner) * program.n_devices
    if isinstance(algorithm, SacTraining):
        config, buffer = algorithm.sac.config, _bytes(state.buffer)
        drawn = config.updates_per_step * config.batch_size * program.n_devices * algorithm.transition_bytes
        step = 4.0 * program.n_seeds * (KEPT_OF_NODE * env.layout.n_node + KEPT_OF_AGENT * env.n_agents)
        copies = program.n_copies * step + OF_AN_UPDATE * _bytes((state.environments, state.observation))
        return Needs(0.0, learner + OF_AN_UPDATE * drawn + buffer + copies, 0.0, buffer)
    assert isinstance(algorithm, GradientTraining)
    made = 4.0 * program.n_seeds * algorithm.round_steps
    of_nodes = made * KEPT_OF_NODE * env.layout.n_node
    of_agents = made * (KEPT_OF_AGENT * env.n_agents + algorithm.kept_of_layers)
    copies = program.n_copies
    return Needs(copies * of_nodes, learner + copies * of_agents, of_nodes + of_agents, 0.0)


def free_bytes() -> float | None:
    """Return the bytes that are free on the device that learns; None where nobody says."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        here = [each for each in ("bytes_limit", "bytes_in_use") if each in stats]
        return float(stats["bytes_limit"] - stats["bytes_in_use"]) if len(here) == 2 else None
    return free_bytes_here()


def _advice(needs: Needs, env: Environment, options: TrainOptions, free: float) -> str:
    """Return what would fit, in words."""
    advice = []
    if options.algorithm == "sac":
        left = free - (needs.total - needs.buffer)
        config = options.sac
        least = needs.buffer * config.warmup_steps * config.n_copies / config.buffer_size
        if left > least:
            advice.append(f"give --sac.buffer-gib {math.floor(left / GIB * 100) / 100:g}")
    else:
        fitting = options.gradient.n_copies - math.ceil((needs.total - free) / needs.copy)
        if fitting >= 1:
            advice.append(f"give --gradient.n-copies {fitting}")
    agents = int(env.n_agents * (free - needs.grid) / needs.agents)
    if agents >= 1:
        advice.append(f"take at most {agents} agents like these")
    advice = advice or ["take a smaller grid, or a machine with more memory"]
    return " or ".join(advice)


def _bytes(tree: object) -> float:
    return float(sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)))


def _gib(count: float) -> str:
    return f"{count / GIB:.2g}" if count < GIB else f"{count / GIB:.1f}"
