"""result.json: how a run ended, and a fingerprint of its policies by which two runs are told to be equal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neomflex_jax.agents.networks import ActorNetwork


def fingerprint(network: ActorNetwork) -> str:
    """SHA-256 of all that a policy computes with; a policy file's own differs with the order of its header."""
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
) -> dict[str, Any]:
    """Lay out what result.json says; `networks` are by seed and agent, and so are the fingerprints."""
    each = [dict(zip(agents, map(fingerprint, one), strict=True)) for one in networks]
    together = hashlib.sha256("".join(value for one in each for value in one.values()).encode()).hexdigest()
    by_seed = {f"seed_{seed}": one for seed, one in zip(seeds, each, strict=True)}
    return {
        "steps": steps,
        "seconds": round(seconds, 3),
        "stopped": stopped,
        "policies_sha256": together,
        "sha256": each[0] if len(seeds) == 1 else by_seed,
    }


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write it, whole or not at all."""
    partial = path.with_name(".result.partial")
    partial.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
