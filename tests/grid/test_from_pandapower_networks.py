"""Published nets of pandapower as feeders: the same voltages as `runpp`."""

from __future__ import annotations

import pytest
from pandapower_nets import NETWORKS, assert_same_flow, change_injections

QUICK = {"case33bw", "cigre_mv_pv_wind", "cigre_lv", "dickert", "oberrhein_south", "four_loads_with_branches_out"}
QUICK |= {"simple_mv_open_ring", "simbench_lv_rural", "voltage_control_rural_1"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in NETWORKS])
def test_a_published_network_has_the_voltages_of_pandapower(name: str) -> None:
    net = NETWORKS[name]()
    assert_same_flow(net)
    for seed, (low, high) in enumerate(((0, 2), (-2, 1))):
        assert_same_flow(change_injections(net, low, high, seed))
