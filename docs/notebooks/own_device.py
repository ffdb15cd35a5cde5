# %% [markdown]
# # Your own device and reward
#
# A kind of device is a class, a term of the reward is a function. Nothing of the package changes; both are tried when
# the environment is made, and both have a twin, so that the referee can work them out a second time.
#
# The device here is a boiler in a cellar: 200 kW of heating rods, a tank that holds 1 MWh and loses a tenth of its heat
# every half hour, and a cost of a tank that is not full.

# %%
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import neomflex_jax as nf
from neomflex_jax.devices import Control, CostTerm, Delivery, Device, Observable, Recorded, Turn, stacked


class BoilerParams(NamedTuple):
    power_mw: np.ndarray
    tank_mwh: np.ndarray
    cost: np.ndarray


def cold(params, delivered, weight, step_hours):
    return params.cost * (1.0 - delivered.store)


@nf.register_device
@dataclass(frozen=True)
class Boiler(Device):
    """A row of [[boilers]]."""

    table: ClassVar = "boilers"
    noun: ClassVar = "boiler"
    prefix: ClassVar = "boiler"
    turn: ClassVar = Turn.STORAGE
    controls: ClassVar = (Control("boiler_p", "share of the rods' power, negative heats", lasting=True),)
    recorded: ClassVar = (
        Recorded("boiler_p_mw", "MW", "power into the grid"),
        Recorded("boiler_heat", "of the tank", "heat after the step", before="boiler_heat_before"),
    )
    observables: ClassVar = (Observable("heat of {}", "of the tank", 0.0, 1.0),)
    costs: ClassVar = (CostTerm("cold", cold, priced=lambda boiler: boiler.cost > 0),)

    bus: int
    power_mw: float = 0.2
    tank_mwh: float = 1.0
    cost: float = 2.0
    name: str = ""

    @staticmethod
    def stack(devices):
        return stacked(BoilerParams, devices)

    @staticmethod
    def first(params):
        return jnp.full(params.power_mw.shape, 0.5)

    @staticmethod
    def random(key, params):
        return jax.random.uniform(key, params.power_mw.shape)

    @staticmethod
    def middle(params):
        return Boiler.first(params)

    @staticmethod
    def step(params, requests, store, around):
        heating_mw = jnp.maximum(-requests["boiler_p"], 0.0) * params.power_mw
        heat = jnp.clip(0.9 * store + heating_mw * around.step_hours / params.tank_mwh, 0.0, 1.0)
        return Delivery(-heating_mw, None, heat, jnp.zeros_like(heat), {"boiler_p_mw": -heating_mw})

    @staticmethod
    def kept(store):
        return {"boiler_heat": store}

    @staticmethod
    def observe(params, store):
        return (store,)


# %% [markdown]
# ## A term of the reward
#
# `term(task, outcome)` gives every agent one number, a cost being negative. This one asks the feeder as a whole to take
# little from the grid above.


# %%
def import_of_the_feeder(task, outcome):
    return -2.0 * jnp.maximum(outcome.slack_p_mw, 0.0) * jnp.asarray(task.layout.bus_share)


nf.register_reward_term(import_of_the_feeder)

boilers = [{"bus": 24}, {"bus": 30}]
scenario = nf.load_scenario("neom33", boilers=boilers, reward_terms=["import_of_the_feeder"])
env = nf.make(scenario)
print(env.agents, env.action_mask.sum(axis=1))
state, timestep = env.reset(jax.random.key(0))
action = jnp.zeros((env.n_agents, env.action_size))
state, timestep = jax.jit(env.step)(state, action)
{name: np.round(timestep.info[name], 3).tolist() for name in ("reward_cold", "reward_import_of_the_feeder")}

# %% [markdown]
# The action's new entry stands at its place in the order of the kinds, and `env.describe()` names it:

# %%
print("\n".join(line for line in str(env.describe()).splitlines() if "boiler" in line))

# %% [markdown]
# ## Learning with it
#
# The learners find the device by themselves. A short training by `gradient`, which passes through `step` above:

# %%
from pathlib import Path

from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.train import train

_ = train(
    TrainOptions(env.scenario, algorithm="gradient", total_steps=250_000, compared_days=0), Path("run"), overwrite=True
)

# %%
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import record

judged = evaluation_environment(env)
policies = nf.load_policies("run")
policy = policies.as_policy(env.scenario.observation_layout(), env.scenario.name)
trained = record(judged, policy, "trained", n_days=3)
idle = record(judged, NoControl(env.action_size), "idle", n_days=3)
for run in (idle, trained):
    print(
        run.run,
        "day cost",
        round(float(-run.reward.sum() / 3), 1),
        " tank at the end of each day:",
        np.round(run.boiler_heat[47::48], 2).tolist(),
    )

# %% [markdown]
# Idle tanks are cold after a day. The policies heat them, where the grid has room for it.
#
# ## Its twin
#
# The referee shares no code with the environment. Without a twin it says so: the verdict is INCOMPLETE.

# %%
from validation import register_term_twin, register_twin, validate
from validation.recompute.devices.twin import FeedIn, Store, Twin

without = validate([trained], "verdict", policies={"trained": policies})
print(without.verdict, [one.name for one in without.runs[0].criteria if one.passed is None])


# %%
class Heat(Store):
    entry: ClassVar = "heat"
    before: ClassVar = "boiler_heat_before"
    after: ClassVar = "boiler_heat"

    def size_mwh(self, device):
        return device.tank_mwh

    def energy_mwh(self, device, values):
        return values * device.tank_mwh

    def observed(self, device, values):
        return values

    def gap_mwh(self, part):
        heating_mwh = -part["boiler_p_mw"] * part.scenario.step_hours
        heat = np.clip(0.9 * part[self.before] + heating_mwh / part.device.tank_mwh, 0.0, 1.0)
        return (part[self.after] - heat) * part.device.tank_mwh


class BoilerTwin(Twin):
    table: ClassVar = "boilers"
    delivered: ClassVar = ("boiler_p_mw",)
    feed_in: ClassVar = FeedIn("boiler_p_mw")
    store: ClassVar = Heat()

    def excess(self, part):
        return np.maximum(part["boiler_p_mw"], -part["boiler_p_mw"] - part.device.power_mw)

    def costs(self, device, scenario, recorded):
        yield device.cost * (1.0 - recorded["boiler_heat"])


def import_again(steps):
    shares = [len(part.buses) / steps.feeder.n_bus for part in steps.scenario.territories]
    return -2.0 * np.outer(np.maximum(steps.slack_p_mw, 0.0), shares)


register_twin(BoilerTwin())
register_term_twin("import_of_the_feeder", import_again)
judged_again = validate([trained], "verdict", policies={"trained": policies})
run = judged_again.runs[0]
print(
    judged_again.verdict,
    " largest voltage error, pu:",
    f"{run.metrics.vm_pu.max_abs:.1e}",
    " largest error of a cost:",
    f"{run.metrics.cost_max:.1e}",
)

# %% [markdown]
# PASS says that the record is pandapower's and that no hard limit is broken; the cost beside "idle" above says what the
# policies are worth. A whole kind with its checks, tables and scenario file:
# [examples/heat_pump.py](../../examples/heat_pump.py); what every attribute means: [extending.md](../extending.md).
