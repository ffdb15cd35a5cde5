"""result.json: how a run ended, and a fingerprint of its policies by which two runs are told to be equal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.errors import InputError, shown
from neomflex_jax.files.json_values import read_json_object
from neomflex_jax.files.paths import is_file
from neomflex_jax.files.whole_files import write_whole
from neomflex_jax.loose_types import JsonObject
from neomflex_jax.powerflow import METHODS
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.run_folder import RunFolder


def fingerprint(network: ActorNetwork) -> str:
    """SHA-256 of all that a policy computes with; a policy file's own covers scenario and version too."""
    digest = hashlib.sha256(network.activation.encode())
    arrays = [
        network.observation_mean,
        network.observation_scale,
        *(part for layer in network.layers for part in layer),
    ]
    for array in arrays:
        values = np.ascontiguousarray(array, "<f4")
        digest.update(repr(values.shape).encode() + values.tobytes())
    return digest.hexdigest()


def result_of(
    agents: Sequence[str],
    seeds: Sequence[int],
    networks: Sequence[Sequence[ActorNetwork]],
    *,
    steps: int,
    seconds: float,
    stopped: str,
    power_flow: str,
) -> JsonObject:
    """Return what result.json says; `networks` are by seed and agent, and so are the fingerprints.

    `power_flow` is the one that the run ended on: its last part may have another than the scenario.
    """
    each = [dict(zip(agents, map(fingerprint, one), strict=True)) for one in networks]
    together = hashlib.sha256("".join(value for one in each for value in one.values()).encode()).hexdigest()
    by_seed = {f"seed_{seed}": one for seed, one in zip(seeds, each, strict=True)}
    return {
        "steps": steps,
        "seconds": round(seconds, 3),
        "stopped": stopped,
        "power_flow": power_flow,
        "policies_sha256": together,
        "sha256": each[0] if len(seeds) == 1 else by_seed,
    }


def write_result(path: Path, result: dict[str, object]) -> None:
    """Write result.json, whole or not at all."""
    write_whole(path, json.dumps(result, indent=2) + "\n")


def finishing_power_flow(folder: RunFolder, options: TrainOptions) -> str:
    """Return the power flow that a run's policies ended on, by its result; without one, what should have finished it.

    Raises
    ------
    InputError
        If there is a result that cannot be used.
    """
    if not is_file(folder.result):
        return options.finish_on or options.scenario.power_flow
    ended_on = read_json_object(folder.result).get("power_flow")
    if ended_on not in METHODS:
        raise InputError(f"{folder.result}: power_flow = {shown(ended_on)} is none; remove the file, or train anew")
    return str(ended_on)


def trained_on(config: Mapping[str, object]) -> str:
    """Return the power flows that the costs in a run's metrics are from, as text; empty where its config says none."""
    scenario = config.get("scenario")
    begun = scenario.get("power_flow") if isinstance(scenario, dict) else None
    named = [name for name in (begun, config.get("finish_on")) if isinstance(name, str)]
    return " then ".join(dict.fromkeys(named))


def read_result(path: Path) -> JsonObject:
    """Read what `write_result` wrote.

    Raises
    ------
    InputError
        If there is none, or it lacks something or holds it in another form.
    """
    result = read_json_object(path)
    seconds = result.get("seconds")
    if not isinstance(result.get("policies_sha256"), str):
        raise InputError(f"{path}: policies_sha256 is missing or no text; remove the file, or train anew")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InputError(f"{path}: seconds = {shown(seconds)} must be a number; remove the file, or train anew")
    return result


def said_of(result: Mapping[str, object]) -> str:
    """Return the sentence on policies and learning that a result holds; empty if it holds none."""
    comparison = result.get("comparison")
    sentence = comparison.get("sentence") if isinstance(comparison, dict) else None
    return sentence if isinstance(sentence, str) else ""
