"""A feeder with phases whose loads stand at more buses: what many agents need, each of whom has a bus with load."""

from dataclasses import replace

import numpy as np

from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.grid.unbalanced.element import GROUND
from neomflex_jax.grid.unbalanced.load import Load


def spread_loads(feeder: UnbalancedFeeder, n_load: int) -> UnbalancedFeeder:
    """Return a feeder with `n_load` single-phase loads as those it has, in all of the same power.

    They stand at as many buses of the low voltage, evenly along the feeder's order, on its phases in turn.
    """
    low = feeder.v_base_kv.min()
    buses = [nodes for nodes in feeder.nodes.at.values() if np.isclose(feeder.v_base_kv[nodes[0]], low)]
    if n_load > len(buses):
        raise ValueError(f"{feeder.name} has {len(buses)} buses of its lowest voltage, asked are {n_load} loads")
    share, loads = feeder.n_load / n_load, []
    for number, place in enumerate(np.linspace(0, len(buses) - 1, n_load).astype(int)):
        like, nodes = feeder.loads[number % feeder.n_load], buses[place]
        node = int(nodes[number % len(nodes)])
        loads.append(
            Load(
                f"load.load{number + 1}",
                (node, GROUND),
                n_phases=1,
                connection="wye",
                v_nominal_kv=like.v_nominal_kv,
                p_mw=like.p_mw * share,
                q_mvar=like.q_mvar * share,
                model=like.model,
            )
        )
    return replace(feeder, loads=tuple(loads), load_shapes={}, circuit=None)
