"""What rated branches carry at their ends beyond themselves, of a net's three-winding transformers and uneven irons.

The shunt ``y`` that a branch leaves at its end is at the `to` bus's voltage level; at its `from` bus it is
``y (vn_to / vn_from)^2 / ratio^2``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from neomflex_jax.grid.columns import WindingEnds
from neomflex_jax.grid.from_pandapower.branches import Branch


def without_partial_ratings(branches: Sequence[Branch]) -> list[Branch]:
    """Take the ratings from what is left of three windings where closed switches join two of their buses."""
    parts = Counter(branch.windings_of for branch in branches)
    return [
        branch
        if branch.windings_of is None or parts[branch.windings_of] == 3
        else replace(branch, windings_of=None, max_i_ka=math.nan, max_loading_percent=math.nan)
        for branch in branches
    ]


def rated_ends(branches: Sequence[Branch], vn_kv: Mapping[int, float]) -> list[WindingEnds]:
    """Return what the ends of rated branches carry, where that is more than the branch; `vn_kv` by bus number."""
    begins = {(branch.windings_of, branch.from_bus): branch for branch in branches if branch.windings_of is not None}
    found = []
    for row, branch in enumerate(branches):
        if math.isnan(branch.max_i_ka):
            continue
        if branch.windings_of is not None:
            from_us, to_us = 0j, _at_from_bus(begins[branch.windings_of, branch.to_bus], vn_kv)
        else:
            from_us, to_us = _at_from_bus(branch, vn_kv), 1e6 * branch.to_siemens
        if branch.windings_of is not None or from_us or to_us:
            found.append(WindingEnds(row, branch.windings_of, from_us.real, from_us.imag, to_us.real, to_us.imag))
    return found


def _at_from_bus(branch: Branch, vn_kv: Mapping[int, float]) -> complex:
    """Admittance in microsiemens."""
    return 1e6 * branch.from_siemens * (vn_kv[branch.to_bus] / vn_kv[branch.from_bus] / branch.ratio) ** 2
