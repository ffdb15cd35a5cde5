"""What learning starts from where a run is told: the policies of another, or actors fitted to a recorded run."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp

from neomflex_jax.agents.actors import Actors
from neomflex_jax.agents.cloning import clone
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.policy_files import check_same_layout, load_policies
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.scenario import Scenario


def initial_networks(source: str, scenario: Scenario, actors: Actors, seed: int) -> tuple[ActorNetwork, ...]:
    """Return actors to start from, one an agent of a scenario.

    Parameters
    ----------
    source
        Output folder of a training, or the ``.npz`` file of a trajectory.
    scenario
        Whose agents they are to be.
    actors
        Sizes and kind of the learner's.
    seed
        Of fitting.

    Raises
    ------
    InputError
        If the source is none of these, or its agents see or do something else than the scenario's.
    """
    layout = scenario.observation_layout()
    if Path(source).suffix != ".npz":
        return load_policies(source).to_start(layout)
    teacher = Trajectory.load(Path(source))
    theirs = teacher.scenario.observation_layout()
    if set(theirs) != set(layout):
        raise InputError(f"{source}: its agents are {', '.join(theirs)}, and here are {', '.join(layout)}")
    for agent, part in layout.items():
        check_same_layout(f"{source}: {agent}, of scenario {teacher.scenario.name!r},", theirs[agent], part)
    rows = [list(theirs).index(agent) for agent in layout]
    observation, action = (jnp.asarray(each[:, rows]) for each in (teacher.observation, teacher.action))
    return clone(actors, observation, action, jax.random.key(seed))
