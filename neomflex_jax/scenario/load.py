"""Scenarios from TOML files (see `scenarios/neom33.toml`), by packaged name or path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.fields import build, with_overrides
from neomflex_jax.files.paths import is_there
from neomflex_jax.files.toml_escapes import refuse_misread_path
from neomflex_jax.files.toml_lines import read_toml
from neomflex_jax.grid.library import feeder_names, shows_phases, unbalanced_feeder_names
from neomflex_jax.loose_types import FieldValue
from neomflex_jax.powerflow import check_unbalanced
from neomflex_jax.resources import PROFILES, scenario_folder
from neomflex_jax.scenario.parts import DEVICES_AT_ZERO
from neomflex_jax.scenario.profiles_table import path_in_file, split_profiles
from neomflex_jax.scenario.scenario import Scenario

PATHS = ("feeder", "profiles", "evaluation_profiles")


def scenario_names() -> tuple[str, ...]:
    """Names of the packaged scenarios."""
    return tuple(sorted(path.stem for path in scenario_folder().glob("*.toml")))


def load_scenario(source: str | Path, **overrides: object) -> Scenario:
    """Load a scenario.

    Parameters
    ----------
    source
        A packaged scenario's name, or a TOML file.
    **overrides
        Any field by name, in the place of the file's.

    Returns
    -------
    Scenario
        Checked.

    Raises
    ------
    InputError
        On an unknown scenario, field or value, naming file, line, field, value and what is allowed.
    """
    given: object = source
    if not isinstance(given, str | Path):
        kind = type(given).__name__
        raise InputError(f"a scenario is a name or a TOML file, no {kind}; `neomflex scenario new` makes one of a grid")
    if str(source) in scenario_names():
        path = scenario_folder() / f"{source}.toml"
    elif Path(source).suffix == ".toml":
        path = Path(source)
    else:
        raise unknown_name("scenario (and no .toml file)", str(source), scenario_names())
    stated, lines = read_toml(path)
    values = split_profiles(stated)
    for name in PATHS:
        if isinstance(values.get(name), str):
            refuse_misread_path(f"{path}: line {lines((name,))}: {name}", values[name])
    values = _resolve_paths(values, path.parent)
    built = build(Scenario, values, str(path), lines=lambda where: lines(path_in_file(where)))
    scenario = with_overrides(built, overrides)
    try:
        check_method_of_feeder(scenario.feeder, scenario.power_flow)
    except InputError as error:
        raise InputError(f"scenario {source}: {error}") from None
    return scenario


def check_method_of_feeder(feeder: str, method: str) -> None:
    """Raise `InputError` if a scenario's feeder has phases and the method does not solve such feeders."""
    if shows_phases(feeder):
        check_unbalanced(method, Path(feeder).name)


def scenario_from_dict(values: Mapping[str, object], where: str) -> Scenario:
    """Rebuild a scenario from `Scenario.as_dict`."""
    return build(Scenario, completed(values), where)


def completed(values: FieldValue) -> FieldValue:
    """Return values of `Scenario.as_dict` with the rule in them that it leaves out where days begin as they always did.

    So runs and records from before there was the rule are played, and judged, as they were.
    """
    rules = values.get("rules", {}) if isinstance(values, Mapping) else None
    if not isinstance(rules, Mapping):  # for `build` to refuse
        return values
    return {**values, "rules": {"first_observation": DEVICES_AT_ZERO, **rules}}


def _resolve_paths(values: dict[str, object], folder: Path) -> dict[str, object]:
    """Make files named in a scenario file relative to it, where they exist there and nothing packaged is meant."""
    resolved = dict(values)
    for name in PATHS:
        given = resolved.get(name)
        packaged = (*feeder_names(), *unbalanced_feeder_names()) if name == "feeder" else PROFILES
        if isinstance(given, str) and given not in packaged and is_there(folder / given):
            resolved[name] = str((folder / given).resolve())
    return resolved
