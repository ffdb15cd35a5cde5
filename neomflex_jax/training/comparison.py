"""How a training's policies compare with doing nothing and with MAPDN's droop, on a few of its days.

Those for validation, where a scenario's rules name some, or days that it was trained on. A look at its end, not a
verdict: test days and pandapower are for `evaluate` and `validate`. It says at once
whether learning has come to anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree

from neomflex_jax.agents.networks import ActorNetwork, NetworkPolicy, StackedPolicy, team_policy
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import AutoReset, Environment, State
from neomflex_jax.environment.binding import day_start_flow
from neomflex_jax.environment.make import evaluation_scenario, scenario_profiles
from neomflex_jax.fields import with_overrides
from neomflex_jax.training.ahead import compile_ahead
from neomflex_jax.training.once import once
from neomflex_jax.yardsticks import MAPDN, Droop
from neomflex_jax.yardsticks.controller import Blind, Controller


@dataclass(frozen=True)
class Comparison:
    """Costs of a day (minus the team's reward), mean over the days."""

    days: tuple[int, ...]  # of these profiles, from 0; played one after the other, energies carried over
    power_flow: str
    policy: tuple[float, ...]  # of each seed
    no_control: float
    mapdn_droop: float
    part: str = "training"  # or validation: whose days these are

    def of_seed(self, index: int) -> Comparison:
        """Return the part of one seed."""
        return replace(self, policy=(self.policy[index],))

    def as_dict(self, sentence: str) -> dict[str, object]:
        """Return plain values for result.json."""
        return {"sentence": sentence, **asdict(self)}

    def sentence(self, steps: int, tuned_steps: int) -> str:
        """Return it as a sentence, with the steps made of those that the settings' defaults are tuned for."""
        low, high = _short(min(self.policy)), _short(max(self.policy))
        seeds = f" of {len(self.policy)} seeds" if len(self.policy) > 1 else ""
        days = ", ".join(str(day) for day in self.days)
        more = ", more may help" if steps < tuned_steps else ""
        return (
            f"day cost{seeds} {low if low == high else f'{low} to {high}'}, "
            f"{self._beside(self.no_control)} no control ({_short(self.no_control)}) and "
            f"{self._beside(self.mapdn_droop)} MAPDN's droop ({_short(self.mapdn_droop)}), on {self.part} days {days}, "
            f"in {self.power_flow}; {steps:,} steps made of the {tuned_steps:,} that the defaults are tuned for{more}"
        )

    def _beside(self, other: float) -> str:
        worse = sum(cost > other for cost in self.policy)
        if len(self.policy) > 1 and 0 < worse < len(self.policy):
            return f"{worse} of {len(self.policy)} worse than"
        equal = all(cost == other for cost in self.policy)
        return "equal to" if equal else "worse than" if worse else "better than"


def _short(cost: float) -> str:
    return f"{cost:,.0f}" if abs(cost) >= 1000 else f"{cost:.4g}"


def compare(env: Environment, networks: Sequence[Sequence[ActorNetwork]], n_days: int) -> Comparison:
    """Play each seed's policy beside no control and the droop, on days spread over the validation's or training's.

    Parameters
    ----------
    env
        The training's, on the power flow that it ended on.
    networks
        By seed and agent.
    n_days
        How many days; no more than there are.
    """
    judged, part, days = _judged(env, n_days)
    costs = np.asarray(_costs(judged, _stacked(networks))) / len(days)
    own, no_control, droop = costs[:-2], float(costs[-2]), float(costs[-1])
    return Comparison(tuple(days.tolist()), env.power_flow.method, tuple(own.tolist()), no_control, droop, part)


def compare_ahead(env: Environment, networks: Sequence[Sequence[ActorNetwork]], n_days: int) -> None:
    """Have another thread compile what `compare` plays, for networks of the same sizes."""
    compile_ahead(_costs, _judged(env, n_days)[0], _stacked(networks))


def _judged(env: Environment, n_days: int) -> tuple[Environment, str, np.ndarray]:
    """Return the environment of the days compared on, whose they are, and which."""
    env, part = compared_on(env)
    days = spread_days(env.profiles.n_days, n_days)
    return replace(of_days(env, days), scenario=evaluation_scenario(env.scenario)), part, days


def _stacked(networks: Sequence[Sequence[ActorNetwork]]) -> NetworkPolicy | StackedPolicy:
    """Return the policies of all seeds as one, leaves (n_seeds, ...)."""
    policies = [team_policy(each) for each in networks]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *policies)


def compared_on(env: Environment) -> tuple[Environment, str]:
    """Return the environment of the days for validation, where the scenario's rules name some, or of the training's."""
    series = env.scenario.series
    if not (series.validation or series.split_column):
        return env, "training"
    profiles = scenario_profiles(env.scenario.playing("validation"), env.scenario.profiles, env.feeder)
    if profiles.n_days == 0:
        return env, "training"
    flow = day_start_flow(env.feeder, profiles, env.power_flow, env.scenario.begins_every)
    return replace(env, profiles=profiles, day_start_flow=flow), "validation"


def of_days(env: Environment, days: np.ndarray) -> Environment:
    """Return the environment of these of its days alone, which are played from their beginnings."""
    rows = days[:, None] * env.scenario.steps_per_day + np.arange(env.scenario.steps_per_day)
    begins = rows[:, 0] // env.scenario.begins_every
    start_flow = jax.tree.map(lambda leaf: np.asarray(leaf)[begins], env.day_start_flow)
    scenario = with_overrides(env.scenario, {"episode_steps": 0})
    return replace(env, profiles=env.profiles.rows(rows.ravel()), day_start_flow=start_flow, scenario=scenario)


def spread_days(n_days: int, wanted: int) -> np.ndarray:
    """Return so many of the days 0..n_days, or all there are: the middles of equal parts."""
    wanted = min(wanted, n_days)
    return ((np.arange(wanted) + 0.5) * n_days / wanted).astype(int)


@once()
def _costs(env: Environment, policies: NetworkPolicy | StackedPolicy) -> Array:
    """Sum of the costs of all days, (n_seeds + 2,): of the policies (leaves (n_seeds, ...)), no control, the droop."""
    copy = AutoReset(env)
    rules: tuple[Controller, ...] = (Blind(NoControl(env.action_size)), Droop(MAPDN, None))
    n_seeds = jax.tree.leaves(policies)[0].shape[0]

    def step(carry: tuple[State, Array, PyTree], _: None) -> tuple[tuple[State, Array, PyTree], Array]:
        states, observations, memories = carry
        actions = [*jax.vmap(lambda policy, seen: policy(seen))(policies, observations[:n_seeds])]
        kept: list[PyTree] = []
        for index, (rule, memory) in enumerate(zip(rules, memories, strict=True), start=n_seeds):
            state = jax.tree.map(lambda leaf, index=index: leaf[index], states)
            action, memory = rule.act(env, state, observations[index], memory)
            actions, kept = [*actions, action], [*kept, memory]
        states, timesteps = jax.vmap(copy.step)(states, jnp.stack(actions))
        return (states, timesteps.observation, tuple(kept)), -timesteps.info["local_reward"].sum(axis=-1)

    states, first = jax.vmap(copy.reset)(jax.random.split(jax.random.key(0), n_seeds + len(rules)))
    start = (states, first.observation, tuple(rule.start(env) for rule in rules))
    return jax.lax.scan(step, start, None, length=env.profiles.n_rows)[1].sum(axis=0)
