"""One day, the same through every interface; and what each says when its library is not there."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
import neomflex_jax.adapters.gymnasium
from neomflex_jax.adapters.pettingzoo import parallel_env
from neomflex_jax.environment import Environment

SEED = 20
N_STEPS = 48
SIZES = (2, 3, 1)

# of a step: joint observation, local rewards, learners' rewards (None where an interface has no such thing), vm_pu, soc
Answer = tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def fields(three_days: Path) -> dict[str, Any]:
    """Make each agent's reward its own, so that none can be taken for another's."""
    return {"power_flow": "ac", "profiles": three_days, "sharing": "local"}


@pytest.fixture(scope="module")
def env(fields: dict[str, Any]) -> Environment:
    """Build the core."""
    return nf.make("neom33", **fields)


@pytest.fixture(scope="module")
def joint_actions() -> np.ndarray:
    """Draw a day's actions of all agents, (48, 6)."""
    return np.random.default_rng(1).uniform(-1.2, 1.2, (N_STEPS, sum(SIZES))).astype(np.float32)


@pytest.fixture(scope="module")
def loop(env: Environment, joint_actions: np.ndarray) -> list[Answer]:
    """Play the day in a plain loop, nothing but the step compiled: what all are compared with."""
    return list(through_jax(env, joint_actions))


def by_agent(joint: np.ndarray) -> dict[str, np.ndarray]:
    """Cut a joint action."""
    return dict(zip(("agent_1", "agent_2", "agent_3"), np.split(joint, np.cumsum(SIZES)[:-1]), strict=True))


def padded(joint: np.ndarray) -> np.ndarray:
    """Pad a joint action, by hand."""
    return np.array([[*joint[:2], 9.0], joint[2:5], [joint[5], 9.0, 9.0]], np.float32)


def joined(rows: Any) -> np.ndarray:
    """Take the real entries of padded observations, by hand."""
    rows = np.asarray(rows)
    return np.concatenate([rows[0, :16], rows[1, :18], rows[2, :11]])


def answer_of(timestep: nf.TimeStep) -> Answer:
    info = timestep.info
    return joined(timestep.final_observation), info["local_reward"], timestep.reward, info["vm_pu"], info["battery_soc"]


def through_jax(env: Environment, actions: np.ndarray) -> Iterator[Answer]:
    state, _ = env.reset(jax.random.key(SEED))
    step = jax.jit(env.step)
    for action in actions:
        state, timestep = step(state, padded(action))
        yield answer_of(timestep)


def through_auto_reset(env: Environment, actions: np.ndarray) -> Iterator[Answer]:
    wrapped = nf.AutoReset(env)

    def step(state: nf.State, action: jax.Array) -> tuple[nf.State, nf.TimeStep]:
        return wrapped.step(state, action)

    state, _ = wrapped.reset(jax.random.key(SEED))
    _, timesteps = jax.lax.scan(step, state, jnp.asarray(np.stack([padded(action) for action in actions])))
    for k in range(len(actions)):
        yield answer_of(jax.tree.map(lambda leaf, k=k: leaf[k], timesteps))


def through_gymnasium(fields: dict[str, Any], actions: np.ndarray) -> Iterator[Answer]:
    env = gymnasium.make("NeomFlex/neom33-v0", **fields)
    env.reset(seed=SEED)
    for action in actions:
        observation, reward, _, _, info = env.step(action)
        assert reward == pytest.approx(info["local_reward"].sum(), rel=1e-6)
        yield observation, info["local_reward"], None, info["vm_pu"], info["battery_soc"]


def through_copies(fields: dict[str, Any], actions: np.ndarray) -> Iterator[Answer]:
    copies = gymnasium.make_vec("NeomFlex/neom33-v0", num_envs=2, **fields)
    copies.reset(seed=SEED - 1)
    for action in actions:
        observation, _, _, _, infos = copies.step(np.stack([-action, action]))
        final = infos.get("final_info", infos)
        seen = infos["final_obs"][1] if "final_obs" in infos else observation[1]
        yield seen, final["local_reward"][1], None, final["vm_pu"][1], final["battery_soc"][1]


def through_pettingzoo(fields: dict[str, Any], actions: np.ndarray) -> Iterator[Answer]:
    env = parallel_env("neom33", **fields)
    env.reset(seed=SEED)
    buses = [part.buses for part in env.episode.env.scenario.territories]  # labels of this feeder are positions
    for action in actions:
        observations, rewards, _, _, infos = env.step(by_agent(action))
        vm_pu, soc = np.zeros(33), []
        for own, of_agent in zip(buses, infos.values(), strict=True):
            vm_pu[list(own)] = of_agent["vm_pu"]
            soc.append(of_agent["battery_soc"])
        joint, local = np.concatenate(list(observations.values())), [each["local_reward"] for each in infos.values()]
        yield joint, np.array(local), np.array(list(rewards.values())), vm_pu, np.concatenate(soc)


def through_jaxmarl(fields: dict[str, Any], actions: np.ndarray) -> Iterator[Answer]:
    from neomflex_jax.adapters import jaxmarl

    env = jaxmarl.make("neom33", **fields)
    _, state = env.reset(jax.random.PRNGKey(SEED))
    for action in actions:
        _, state, rewards, _, info = env.step(jax.random.PRNGKey(0), state, by_agent(action))
        joint = np.concatenate(list(info["final_observation"].values()))
        yield joint, info["local_reward"], np.array(list(rewards.values())), info["vm_pu"], info["battery_soc"]


@pytest.mark.parametrize(
    "through", [through_auto_reset, through_gymnasium, through_copies, through_pettingzoo, through_jaxmarl]
)
def test_a_day_is_the_same_through_every_interface(
    through: Callable[..., Iterator[Answer]],
    env: Environment,
    fields: dict[str, Any],
    joint_actions: np.ndarray,
    loop: list[Answer],
) -> None:
    played = list(through(env if through is through_auto_reset else fields, joint_actions))
    assert len(played) == len(loop) == N_STEPS
    for found, expected in zip(played, loop, strict=True):
        for one, other in zip(found, expected, strict=True):
            if one is not None:
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


MISSING = """
import importlib, sys
sys.modules.update(gymnasium=None, pettingzoo=None, jaxmarl=None)
for module in ("gymnasium", "gymnasium_vector", "pettingzoo", "jaxmarl"):
    try:
        importlib.import_module(f"neomflex_jax.adapters.{module}")
    except ImportError as missing:
        print(module, missing, sep=": ")
"""


def test_a_missing_library_is_named_with_its_extra() -> None:
    root = Path(nf.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, check=True, cwd=root)
    for line, (module, library, extra) in zip(
        done.stdout.splitlines(),
        [
            ("gymnasium", "gymnasium", "adapters"),
            ("gymnasium_vector", "gymnasium", "adapters"),
            ("pettingzoo", "pettingzoo", "adapters"),
            ("jaxmarl", "jaxmarl", "jaxmarl"),
        ],
        strict=True,
    ):
        assert line.startswith(f"{module}: {library} cannot be imported; install it with:")
        assert line.endswith(f'pip install "neomflex-jax[{extra}]"')
