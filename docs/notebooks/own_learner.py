# %% [markdown]
# # Your own learner
#
# The environment is a pure function. So a learner is a function, too: this page writes REINFORCE (R. J. Williams,
# Machine Learning 8, 1992) in Flax and Optax, with the whole training one compiled loop, in about fifty lines. It is
# here to be changed; [the packaged learners](../learners.md) are better.

# %%
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import neomflex_jax as nf

env = nf.make("neom33")
COPIES, STEPS, UPDATES = 128, env.scenario.steps_per_day, 150
print(
    env.n_agents,
    "agents,",
    env.observation_size,
    "observed,",
    env.action_size,
    "actions, padded;",
    env.action_mask.tolist(),
)

# %% [markdown]
# ## The policy
#
# Every agent sees its own padded row and acts by it: decentralised. All share one network, which is told the agent by a
# one-hot vector. The Gaussian's mean is the action; the environment clips to -1..1.


# %%
class Policy(nn.Module):
    @nn.compact
    def __call__(self, observation):  # (n_agents, observation_size)
        x = jnp.concatenate([observation * 4.0, jnp.eye(env.n_agents)], axis=-1)
        for _ in range(2):
            x = nn.tanh(nn.Dense(64)(x))
        mean = nn.tanh(nn.Dense(env.action_size, kernel_init=nn.initializers.normal(0.01))(x))
        spread = self.param("log_spread", nn.initializers.constant(-1.2), (env.action_size,))
        return mean, jnp.exp(spread)


policy, mask = Policy(), jnp.asarray(env.action_mask, float)


def log_probability(params, observation, action):
    mean, spread = policy.apply(params, observation)
    terms = -0.5 * ((action - mean) / spread) ** 2 - jnp.log(spread)
    return (terms * mask).sum()  # padded entries are nobody's


# %% [markdown]
# ## A day of one copy, and of many
#
# `jax.lax.scan` plays a day, `jax.vmap` many of them. A day that ends is truncated: nothing follows it here, and the
# return is that of the day.


# %%
def play_day(params, key):
    reset_key, key = jax.random.split(key)
    state, timestep = env.reset(reset_key)

    def step(carry, key):
        state, observation = carry
        mean, spread = policy.apply(params, observation)
        action = mean + spread * jax.random.normal(key, mean.shape)
        state, timestep = env.step(state, jnp.clip(action, -1.0, 1.0))
        return (state, timestep.observation), (observation, action, timestep.reward.mean())

    return jax.lax.scan(step, (state, timestep.observation), jax.random.split(key, STEPS))[1]


optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(3e-3, UPDATES)))


def update(carry, key):
    params, moments = carry
    observations, actions, rewards = jax.vmap(play_day, (None, 0))(params, jax.random.split(key, COPIES))
    to_come = jnp.cumsum(rewards[:, ::-1], axis=1)[:, ::-1]  # (copies, steps): what follows each action
    better = to_come - to_come.mean(axis=0)  # than other copies at the same hour: the baseline
    better = better / (better.std(axis=0) + 1e-6)

    def loss(params):
        logs = jax.vmap(jax.vmap(log_probability, (None, 0, 0)), (None, 0, 0))(params, observations, actions)
        return -(logs * jax.lax.stop_gradient(better)).mean()

    gradient = jax.grad(loss)(params)
    change, moments = optimiser.update(gradient, moments)
    return (optax.apply_updates(params, change), moments), env.n_agents * rewards.sum(axis=1).mean()


@jax.jit
def train(key):
    start, key = jax.random.split(key)
    params = policy.init(start, jnp.zeros((env.n_agents, env.observation_size)))
    return jax.lax.scan(update, (params, optimiser.init(params)), jax.random.split(key, UPDATES))


(params, _), day_reward = train(jax.random.key(0))
print(f"{UPDATES * COPIES * STEPS:,} steps; day cost in training, with exploration:")
day_reward = np.asarray(day_reward)
print([round(float(-reward), 1) for reward in day_reward[[0, 24, 49, 99, UPDATES - 1]]])

# %%
from IPython.display import Image
from matplotlib.figure import Figure

figure = Figure(figsize=(7, 3), layout="constrained")
axes = figure.subplots()
axes.plot(np.arange(1, UPDATES + 1) * COPIES * STEPS / 1e6, -day_reward, color="#0072B2")
axes.set(xlabel="steps (million)", ylabel="day cost in training", yscale="log")
axes.grid(color="#dddddd", linewidth=0.6)
axes.spines[["top", "right"]].set_visible(False)
figure.savefig("curve.png", dpi=110)
Image("curve.png", width=640)

# %% [markdown]
# ## What it is worth: unseen days, in pandapower
#
# Anything that is a pytree and maps padded observations to padded actions can be played, recorded and replayed.

# %%
from dataclasses import dataclass

from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.environment.make import scenario_profiles
from neomflex_jax.evaluation import record
from validation import compare, replay


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Trained:
    params: object

    def __call__(self, observation):
        return policy.apply(self.params, observation)[0] * mask  # the mean: no exploration


judged = evaluation_environment(env, scenario_profiles(env.scenario, env.scenario.evaluation_profiles))
for name, acting in (("no_control", NoControl(env.action_size)), ("reinforce", Trained(params))):
    run = record(judged, acting, name, n_days=7)
    metrics = compare(run, replay(run))[0]
    cost = metrics.mean_day_cost
    print(f"{name:10}  day cost, recorded and in pandapower: {cost.recorded:8.1f} {cost.pandapower:8.1f}")
    print(f"{'':10}  voltages off by at most {metrics.vm_pu.max_abs:.1e} pu")

# %% [markdown]
# REINFORCE without a critic gets most of the way from doing nothing and stops far above the packaged learners, which
# reach some 19 to 21 on all 84 days ([results.md](../results.md)): a return of 48 steps is a noisy judge of each of
# them. What helps next: a critic and PPO's clipping
# ([examples/ippo_jaxmarl.py](../../examples/ippo_jaxmarl.py) has both, through JaxMARL's interface), or the derivative
# of the environment itself, which is what `gradient` uses: `jax.grad` passes through `env.step`.
