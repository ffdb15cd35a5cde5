"""SHA-256 of everything that a feeder is, to tell whether two results rest on the same one.

A scenario's hash holds the feeder's name or folder; what lies in a folder may change.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json

import jax
import numpy as np

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder


def feeder_hash(feeder: Feeder | UnbalancedFeeder) -> str:
    """SHA-256 of a feeder's labels, topology and numbers, its name left out.

    Of a feeder as `load_feeder` gives it, in double precision; one in JAX's single precision has another hash.
    """
    if isinstance(feeder, UnbalancedFeeder):
        return feeder.contents
    topology = feeder.topology
    stated = [feeder.bus_labels, feeder.s_base_mva, topology.slack, topology.from_bus, topology.to_bus]
    stated += [topology.in_service, [getattr(feeder, name) is None for name in ("charging", "transformers", "shunts")]]
    if feeder.elements:
        stated.append([dataclasses.astuple(row) for row in feeder.elements.rows])
    if feeder.held is not None:
        stated += [feeder.held.bus, feeder.held.is_slack]
    if feeder.back is not None:
        stated.append(["back", feeder.back.branch])
    if feeder.windings is not None:
        stated += [feeder.windings.branch, feeder.windings.next_branch]
    if feeder.voltage_dependence is not None:
        stated.append("voltage_dependence")
    digest = hashlib.sha256(json.dumps(stated, default=str).encode())
    for leaf in jax.tree.leaves(feeder):
        digest.update(np.ascontiguousarray(leaf, np.float64).tobytes() + b"|")
    return digest.hexdigest()
