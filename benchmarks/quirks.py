"""What the original NeomFlex's quirks change, in numbers.

``python benchmarks/quirks.py [--run results/demo/run ...]``

On the 84 testing days in AC: the load's q held at the day's first value against q following the demand, without
control; how far the day's replay after a violation lets random actions get through the file; and, with trained runs,
what they do and cost where a day begins with a grid on which no device acts, against the grid that the last step left,
and the day cost of actions sampled from SAC's policy against its mode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import Array

import neomflex_jax as nf
from neomflex_jax.agents.networks import NetworkPolicy
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.agents.sac import LearnerState
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import record
from neomflex_jax.training.checkpoint import Checkpoints
from neomflex_jax.training.options import read_options
from neomflex_jax.training.origin import origin_of
from neomflex_jax.training.program import program_for
from neomflex_jax.training.run_folder import RunFolder
from neomflex_jax.training.sac_loop import SacTraining


@dataclass(frozen=True)
class Options:
    """Measure the quirks."""

    run: tuple[Path, ...] = ()
    """Output folders of trainings, for midnight, and for sampled against mode."""
    days: int = 280


def held_reactive_load() -> None:
    """Compare day cost and lowest voltage without control, q held and q following."""
    for rule in ("held_from_day_start", "follows_demand"):
        env = evaluation_environment(nf.make("neom33", power_flow="ac", load_q=rule))
        idle = record(env, NoControl(env.action_size), rule)
        cost = idle.cost.sum() / env.profiles.n_days
        print(f"load_q = {rule:<20s} no control: day cost {cost:7.1f}, lowest voltage {idle.vm_pu.min():.4f} pu")


def replayed_days(days: int) -> None:
    """Count the days of the file that uniformly random actions see in the time of `days` days."""
    for rule in ("end_day", "continue"):
        env = nf.AutoReset(nf.make("neom33-original", profiles="training", on_violation=rule))

        @jax.jit
        def play(env: nf.AutoReset, key: Array) -> tuple[Array, Array]:
            def body(state: nf.State, key: Array) -> tuple[nf.State, tuple[Array, Array]]:
                action = jax.random.uniform(key, (env.n_agents, env.action_size), minval=-1.0, maxval=1.0)
                state, timestep = env.step(state, action)
                return state, (timestep.info["dataset_index"], timestep.info["violated"])

            reset_key, act_key = jax.random.split(key)
            state, _ = env.reset(reset_key)
            return jax.lax.scan(body, state, jax.random.split(act_key, 48 * days))[1]

        rows, violated = jax.device_get(play(env, jax.random.key(0)))
        print(
            f"on_violation = {rule:<9s} random actions, {48 * days} steps: {len(np.unique(rows // 48))} different days "
            f"seen, {violated.mean():.1%} of the steps violate"
        )


def midnights(folder: Path) -> None:
    """Compare day cost and first steps of a policy by what it sees as a day begins."""
    scenario = read_options(RunFolder(folder)).scenario
    policy = nf.load_policies(folder).as_policy(scenario.observation_layout(), scenario.name)
    for rule in ("devices_at_zero", "last_step"):
        env = evaluation_environment(nf.make(scenario, power_flow="ac", first_observation=rule))
        run, steps = record(env, policy, rule), scenario.steps_per_day
        before, first, after = (run.pv_q_mvar[steps + k : run.n_steps - 1 : steps] for k in (-1, 0, 1))
        there, back = (np.abs(first - other).sum(axis=1).mean() for other in (before, after))
        print(
            f"{folder}: first_observation = {rule:<15s} day cost {run.cost.sum() / env.profiles.n_days:.3f}; reactive "
            f"power, summed over roofs, moves by {there:.3f} Mvar into a day's first step and {back:.3f} out of it"
        )


def sampled_against_mode(folder: Path) -> None:
    """Compare the day cost of sampled actions, of the actor's mode and of the averaged actor's mode."""
    options = read_options(RunFolder(folder))
    env = evaluation_environment(nf.make(options.scenario, power_flow="ac"))
    program = program_for(env, options)
    training = program.algorithm
    if not isinstance(training, SacTraining):
        return
    sac = training.sac
    checkpoints = Checkpoints(RunFolder(folder).checkpoints, origin_of(options))
    learner = checkpoints.restore_newest(program.template(env))[0].learner
    checkpoints.close()
    copy = nf.AutoReset(env)

    @jax.jit
    def play_sampled(learner: LearnerState, key: Array) -> Array:
        def body(carry: tuple[nf.State, Array], key: Array) -> tuple[tuple[nf.State, Array], Array]:
            state, observation = carry
            state, timestep = copy.step(state, sac.act(learner, observation, key))
            return (state, timestep.observation), -timestep.info["local_reward"].sum()

        reset_key, act_key = jax.random.split(key)
        state, first = copy.reset(reset_key)
        keys = jax.random.split(act_key, env.profiles.n_rows)
        return jnp.sum(jax.lax.scan(body, (state, first.observation), keys)[1]) / env.profiles.n_days

    print(f"sampled from the last actor:     day cost {play_sampled(learner, jax.random.key(0)):.1f}")
    last = replace(learner, averaged_actor=learner.actor)
    for name, state in (("last actor", last), ("averaged actor", learner)):
        mode = record(env, NetworkPolicy(sac.networks(state)), "mode")
        print(f"mode of the {name + ':':<21s}day cost {mode.cost.sum() / env.profiles.n_days:.1f}")


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options)
    held_reactive_load()
    replayed_days(options.days)
    for folder in options.run:
        midnights(folder)
        sampled_against_mode(folder)


if __name__ == "__main__":
    main()
