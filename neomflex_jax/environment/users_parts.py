"""Users' own reward terms and observations: registered by a module, or given to `make`, and found by their names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from neomflex_jax.environment.step.measurements import Block
from neomflex_jax.environment.step.rewards import SCENARIOS_OWN, Term, terms_of_devices
from neomflex_jax.errors import InputError, shown
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.users_parts import NOUNS, OBSERVATIONS, TERMS, UsersPart, register_part, registered_part

TermT = TypeVar("TermT", bound=Term)


def register_reward_term(term: TermT) -> TermT:
    """Make a term of the reward known by its function's name: scenarios may list it in `reward_terms`.

    Usable as a decorator.

    Parameters
    ----------
    term
        ``term(task, outcome)`` returns (n_agents,), costs below 0; see `environment/step/rewards.py`.

    Returns
    -------
    term
        The same.

    Raises
    ------
    InputError
        If it is no function with a name, or the name is taken.
    """
    name = getattr(term, "__name__", "")
    if not callable(term) or not name.isidentifier():
        raise InputError(f"reward term {shown(term)} must be a function with a name: write it with def")
    _check_names([name])
    register_part(TERMS, name, term, term)
    return term


def register_observation(block: Block) -> Block:
    """Make an observation known by its name: scenarios may list it in `observations`.

    Parameters
    ----------
    block
        See `environment/step/measurements.py`; without a name it goes by its first value's.

    Returns
    -------
    block
        The same.

    Raises
    ------
    InputError
        If it is no block with values, or the name is taken.
    """
    _check_block(block)
    register_part(OBSERVATIONS, block.called, block, block.read)
    return block


def with_users_parts(
    scenario: Scenario, terms: Mapping[str, Term], blocks: Sequence[Block]
) -> tuple[Scenario, tuple[tuple[str, Term], ...], tuple[Block, ...]]:
    """Find every part that a scenario names, and add those that are given.

    Returns
    -------
    scenario, terms, blocks
        The scenario with the names of all, terms with their names, and blocks, in the scenario's order.

    Raises
    ------
    InputError
        If one is neither given nor registered, is no term or block, or a term has the name of the scenario's own.
    """
    if not isinstance(terms, Mapping):
        raise InputError(
            f"reward_terms = {shown(terms)} must be functions by name; a scenario names registered ones: "
            "nf.load_scenario('neom33', reward_terms=['mine'])"
        )
    for name, term in terms.items():
        if not callable(term):
            raise InputError(f"reward term {shown(name)} is {shown(term)}; give a function of task and outcome")
    for block in blocks:
        _check_block(block)
    called = [block.called for block in blocks]
    if len(set(called)) < len(called):
        twice = next(name for name in called if called.count(name) > 1)
        raise InputError(f"two observations are called {shown(twice)}; give one another name")
    all_terms = _found(TERMS, scenario.reward_terms, dict(sorted(terms.items())))
    _check_names(all_terms, terms_of_devices(scenario))
    all_blocks = _found(OBSERVATIONS, scenario.observations, dict(zip(called, blocks, strict=True)))
    named = replace(scenario, reward_terms=tuple(all_terms), observations=tuple(all_blocks))
    return named, tuple(all_terms.items()), tuple(all_blocks.values())


def _found(field: str, names: Sequence[str], given: Mapping[str, UsersPart]) -> dict[str, UsersPart]:
    """Parts by name: the named ones, then what else is given."""
    parts = {name: given.get(name, registered_part(field, name)) for name in (*names, *given)}
    for name, part in parts.items():
        if part is None:
            raise InputError(
                f"{NOUNS[field]} {shown(name)} is not known here; import the module that registers it (on the command "
                f"line: --import and its name or file), or give it to nf.make in {field}"
            )
    return parts


def _check_names(names: Iterable[str], of_devices: Collection[str] = ()) -> None:
    for name in names:
        if name in SCENARIOS_OWN or name in of_devices:
            raise InputError(f"reward term {shown(name)} is the scenario's own; give yours another name")


def _check_block(block: Block) -> None:
    if not isinstance(block, Block):
        raise InputError(f"observation {shown(block)} must be a Block of neomflex_jax.environment.step.measurements")
    if not block.values:
        raise InputError(f"observation {shown(block.name)} has no values; list them with names, units and bounds")
