"""The nearest territories, on a line whose distances are plain."""

import numpy as np

from neomflex_jax.grid.build import build_feeder
from neomflex_jax.grid.nearest import nearest_territories


def line(r_ohm, in_service=None):
    n_bus = len(r_ohm) + 1
    return build_feeder(
        name="line",
        bus_labels=range(n_bus),
        vn_kv=[10.0] * n_bus,
        load_p_mw=[0.1] * n_bus,
        load_q_mvar=[0.0] * n_bus,
        branches=[(bus, bus + 1) for bus in range(n_bus - 1)],
        r_ohm=r_ohm,
        x_ohm=[0.0] * (n_bus - 1),
        in_service=in_service or [True] * (n_bus - 1),
    )


def test_the_nearest_by_impedance_come_first_and_oneself_before_them():
    feeder = line([1.0, 1.0, 5.0, 1.0, 1.0])
    own = [np.array([0, 1]), np.array([2]), np.array([3]), np.array([4, 5])]
    assert nearest_territories(feeder, own, 1) == ((0, 1), (1, 0), (2, 3), (3, 2))
    assert nearest_territories(feeder, own, 2) == ((0, 1, 2), (1, 0, 2), (2, 3, 1), (3, 2, 1))
    assert nearest_territories(feeder, own, 9) == ((0, 1, 2, 3), (1, 0, 2, 3), (2, 3, 1, 0), (3, 2, 1, 0))
    assert nearest_territories(feeder, [*own[:1], np.arange(2, 6)], 0) == ((0,), (1,))
