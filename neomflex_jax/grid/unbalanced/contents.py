"""SHA-256 of what an unbalanced feeder is, by which two that were read one after the other are known to be one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from neomflex_jax.grid.unbalanced.control import Control
from neomflex_jax.grid.unbalanced.element import Element
from neomflex_jax.grid.unbalanced.load import Load
from neomflex_jax.grid.unbalanced.source import Source


def contents_hash(
    node_labels: Sequence[int | str],
    v_base_kv: np.ndarray,
    elements: Sequence[Element],
    sources: Sequence[Source],
    loads: Sequence[Load],
    controls: Sequence[Control] = (),
) -> str:
    """Hash a feeder; its name, coordinates, load shapes and where it was read from are left out."""
    elements = [*elements, *(source.element for source in sources)]
    stated: list[object] = ["phases", node_labels, len(sources)]
    stated += [
        (each.name, each.nodes, each.n_terminals, [vars(winding) for winding in each.windings]) for each in elements
    ]
    stated += [(load.name, load.nodes, load.n_phases, load.connection, vars(load.model)) for load in loads]
    stated += [(type(control).__name__, vars(control)) for control in controls]
    stated += [(each.name, each.bank.shares, each.bank.steps_in) for each in elements if each.bank is not None]
    digest = hashlib.sha256(json.dumps(stated, default=str).encode())
    numbers: list[object] = [v_base_kv, [(each.v_nominal_kv, each.p_mw, each.q_mvar) for each in loads]]
    numbers += [source.i_ampere for source in sources] + [each.max_i_ka for each in elements]
    for element in elements:
        numbers += [element.y_siemens, () if element.fixed_siemens is None else element.fixed_siemens]
    numbers += [element.bank.y_siemens for element in elements if element.bank is not None]
    for values in numbers:
        digest.update(np.ascontiguousarray(values, np.complex128).tobytes() + b"|")
    return digest.hexdigest()
