"""A second calculation, in NumPy, of reward terms and observations that users add to a scenario.

Scenarios name them (`reward_terms`, `observations`), and here a twin is found by the same name. What has none cannot be
judged: costs or observations are then believed as recorded, and the verdict is INCOMPLETE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, Num

from neomflex_jax.errors import InputError, shown
from neomflex_jax.grid import AnyFeeder
from neomflex_jax.one_line import one_line
from neomflex_jax.scenario import Scenario
from validation.recompute.twins import without_twin


@dataclass(frozen=True, eq=False)
class Steps:
    """Some steps of a run, in double precision; what is recorded also by name, ``steps[name]``.

    To a reward term's twin they are what a step led to, to an observation's what is known before a step: voltages and
    stores that the step before left; of devices' records there are only those of stores.
    """

    scenario: Scenario
    feeder: AnyFeeder
    step: Integer[np.ndarray, " n_steps"]  # of the day
    vm_pu: Float[np.ndarray, "n_steps n_node"]  # 0.5 where the power flow failed, NaN before the step where play begins
    recorded: Mapping[str, Num[np.ndarray, "n_steps ..."]]  # demand, solar, price; of devices (n_steps, n_device)
    loss_mw: Float[np.ndarray, " n_steps"] | None = None  # 0 where the power flow failed; None before a step
    slack_p_mw: Float[np.ndarray, " n_steps"] | None = None  # import, likewise

    __repr__ = one_line

    def __getitem__(self, name: str) -> Num[np.ndarray, "n_steps ..."]:
        return self.recorded[name]


TermTwin = Callable[[Steps], np.ndarray]  # (n_steps, n_agents), costs below 0 as the term itself has them


@dataclass(frozen=True, eq=False)
class ObservationTwin:
    """What is seen of a user's observation, worked out a second time; fields as a `Block` has them."""

    name: str
    n_values: int
    read: Callable[[Steps], np.ndarray]  # (n_steps, n_values), NaN where it cannot be judged
    owned: Sequence[Sequence[int]] | None = None  # which values each agent measures; None: everybody knows all


TERM_TWINS: dict[str, TermTwin] = {}
OBSERVATION_TWINS: dict[str, ObservationTwin] = {}


def register_term_twin(name: str, twin: TermTwin) -> None:
    """Register the twin of a user's own reward term, without which runs with it are never validated.

    Parameters
    ----------
    name
        The term's.
    twin
        ``twin(steps)`` returns (n_steps, n_agents), costs below 0.

    Raises
    ------
    InputError
        If the term has one already.
    """
    if name in TERM_TWINS:
        raise InputError(f"there is a twin of reward term {shown(name)} already; register each term's once")
    TERM_TWINS[name] = twin


def register_observation_twin(twin: ObservationTwin) -> None:
    """Register the twin of a user's own observation, without which runs with it are never validated.

    Parameters
    ----------
    twin
        Found by its `name`, which is the observation's.

    Raises
    ------
    InputError
        If the observation has one already.
    """
    if twin.name in OBSERVATION_TWINS:
        raise InputError(f"there is a twin of observation {shown(twin.name)} already; register each one's once")
    OBSERVATION_TWINS[twin.name] = twin


def terms_without_twin(scenario: Scenario) -> tuple[str, ...]:
    """Names of the scenario's users' terms that no twin is found for."""
    return tuple(name for name in scenario.reward_terms if name not in TERM_TWINS)


def observations_without_twin(scenario: Scenario) -> tuple[str, ...]:
    """Names of the scenario's users' observations that no twin is found for."""
    return tuple(name for name in scenario.observations if name not in OBSERVATION_TWINS)


def unknown_costs(scenario: Scenario) -> bool:
    """True if nobody here can tell what some devices or terms cost."""
    return bool(without_twin(scenario) or terms_without_twin(scenario))


def unknown_observations(scenario: Scenario) -> bool:
    """True if nobody here can tell what is seen of some devices or observations."""
    return bool(without_twin(scenario) or observations_without_twin(scenario))


def users_reward(steps: Steps) -> Float[np.ndarray, "n_steps n_agents"]:
    """Sum of the users' terms that have a twin.

    Raises
    ------
    InputError
        If a twin returns another shape.
    """
    total = np.zeros((len(steps.step), len(steps.scenario.agents)))
    for name in steps.scenario.reward_terms:
        if name in TERM_TWINS:
            total += _checked(f"reward term {shown(name)}", TERM_TWINS[name](steps), total.shape)
    return total


def users_observation(name: str, before: Steps) -> Float[np.ndarray, "n_steps n_values"]:
    """Values of an observation before each step.

    Raises
    ------
    InputError
        If its twin returns another shape.
    """
    twin = OBSERVATION_TWINS[name]
    return _checked(f"observation {shown(name)}", twin.read(before), (len(before.step), twin.n_values))


def _checked(what: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    found = np.asarray(values)
    if found.shape != shape or found.dtype.kind not in "fiu":
        raise InputError(f"the twin of {what} returns {found.dtype} of shape {found.shape}; expected numbers {shape}")
    return found.astype(float)
