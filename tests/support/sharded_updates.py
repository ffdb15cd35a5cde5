"""Fixed batches on 8 CPU devices against one, in a process of its own; `test_training_devices.py` judges the output."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from neomflex_jax.agents.actors import statistics_of
from neomflex_jax.agents.gradient import GradientConfig, GradientLearner
from neomflex_jax.agents.sac import Sac, SacConfig
from neomflex_jax.agents.sac.replay_buffer import Batch
from neomflex_jax.environment import make
from neomflex_jax.training.devices import AXIS, EVERYWHERE, SPREAD, ask_for_cpu_devices, mesh, part_of_device
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.program import program_for

N_DEVICES, BATCH, SIZES = 8, 64, ((5, 4, 4), (2, 1, 1))
UPDATES = 3


def worst_difference(there, here):
    """Largest difference of any array, relative to its largest entry where that is above 1.

    Not relative to smaller ones: Adam divides gradients by their size, so that rounding moves a bias that starts at 0
    and has next to no gradient by a visible share of what it is.
    """
    pairs = zip(jax.tree.leaves(there), jax.tree.leaves(here), strict=True)
    return max(
        float(np.abs(np.asarray(a) - np.asarray(b)).max() / max(np.abs(np.asarray(b)).max(), 1.0)) for a, b in pairs
    )


def identical_on_all(tree):
    """Whether the devices' own copies are the same bits."""
    return all(
        len(leaf.addressable_shards) == N_DEVICES
        and len({np.asarray(shard.data).tobytes() for shard in leaf.addressable_shards}) == 1
        for leaf in jax.tree.leaves(tree)
    )


def compare(update_on, state, batch, places):
    """Make the same updates on one device and on all."""
    one, all_of_them = update_on(None), update_on(AXIS)
    spread = jax.shard_map(
        all_of_them, mesh=mesh(N_DEVICES), in_specs=(EVERYWHERE, places), out_specs=EVERYWHERE, check_vma=False
    )
    here, there = state, state
    for _ in range(UPDATES):
        here, metrics_here = jax.jit(one)(here, batch)
        there, metrics_there = jax.jit(spread)(there, batch)
    return {
        "moved": worst_difference(here, state),
        "difference": worst_difference(there, here),
        "metrics_difference": worst_difference(metrics_there, metrics_here),
        "identical": identical_on_all(there),
    }


def sac():
    rng = np.random.default_rng(0)
    observation, next_observation = rng.normal(size=(2, BATCH, 3, 5)).astype(np.float32)
    batch = Batch(
        observation=observation,
        action=rng.uniform(-1, 1, (BATCH, 3, 2)).astype(np.float32),
        reward=rng.normal(size=(BATCH, 3)).astype(np.float32),
        later_reward=rng.normal(size=(BATCH, 3)).astype(np.float32),
        discount=np.full(BATCH, 0.9, np.float32),
        next_observation=next_observation,
    )
    noise = rng.normal(size=(2, BATCH, 3, 2)).astype(np.float32)
    config = SacConfig(hidden_sizes=(16,), learning_rate=1e-3, max_gradient_norm=0.5)
    state = Sac(config, *SIZES).init(jax.random.key(0))
    # The noise is part of the fixed batch: what draws it from a key gets it in the key's place.
    jax.random.normal = lambda noise, shape: noise.reshape(shape)

    def update_on(axis):
        return lambda state, given: Sac(config, *SIZES, mesh_axis=axis).update(state, *given)

    noise_place = jax.sharding.PartitionSpec(None, AXIS)
    return compare(update_on, state, (jax.tree.map(jnp.asarray, batch), jnp.asarray(noise)), (SPREAD, noise_place))


def gradient():
    rng = np.random.default_rng(0)
    observation = rng.normal(size=(BATCH, 3, 5)).astype(np.float32)
    wanted = rng.uniform(-1, 1, (BATCH, 3, 2)).astype(np.float32)
    config = GradientConfig(hidden_sizes=(16,), learning_rate=1e-3, max_gradient_norm=0.5)
    state = GradientLearner(config, *SIZES).init(jax.random.key(0))

    def update_on(axis):
        learner = GradientLearner(config, *SIZES, axis)

        def update(state, given):
            def cost(act):
                value = ((act(given[0]) - given[1]) ** 2).mean()
                return value, {}

            return learner.update(state, cost)

        return update

    return compare(update_on, state, (jnp.asarray(observation), jnp.asarray(wanted)), (SPREAD, SPREAD))


def copies():
    """Whether the devices' parts of a draw, side by side, are the draw; and normalisation over them, as over all."""
    drawn = jax.random.normal(jax.random.key(1), (BATCH, 3, 5))

    def of_one(drawn):
        part = part_of_device(drawn, BATCH // N_DEVICES, AXIS)
        return part, statistics_of(part, AXIS)

    devices = {"mesh": mesh(N_DEVICES), "in_specs": EVERYWHERE, "out_specs": (SPREAD, EVERYWHERE)}
    parts, statistics = jax.jit(jax.shard_map(of_one, **devices, check_vma=False))(drawn)
    return {"equal": bool((parts == drawn).all()), "difference": worst_difference(statistics, statistics_of(drawn))}


def compiled():
    """How often the first programs of a training on two devices are compiled, where other threads did so before."""
    names = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **told: names.append(told["fun_name"]) if event.endswith("backend_compile_duration") else None
    )
    learner = GradientConfig(n_copies=4, horizon_days=1, warmup_steps=1, hidden_sizes=(4,))
    env = make("neom33", power_flow="lindistflow")
    program = program_for(env, TrainOptions(env.scenario, algorithm="gradient", gradient=learner, devices=2))
    program.compile_ahead(env)
    program.advance(env, program.begin(env, [0]), 0.0, 1)
    return {name: sum(name in each for each in names) for name in ("_begin", "_advance")}


if __name__ == "__main__":
    ask_for_cpu_devices(N_DEVICES)
    found = {"compiled": compiled(), "copies": copies()}  # before `sac` takes the place of what draws noise
    print(json.dumps(found | {"devices": jax.device_count(), "sac": sac(), "gradient": gradient()}))
    sys.exit()
