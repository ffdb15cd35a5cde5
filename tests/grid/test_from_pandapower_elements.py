"""Elements of pandapower beside lines and plain transformers: the same answers as `runpp`, nominal and random.

Each is solved by the package's own AC power flow in float64 and judged twice: by the net that has the element, and by
the net that `neomflex validate` builds of the feeder, in which the element is an equivalent of plain parts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandapower as pp
import pytest
from pandapower_nets import add_line, assert_same_flow, set_in, small_net

from neomflex_jax.grid import Feeder
from validation.referee.feeder_check import check_feeder

WITHIN_PU = 1e-8
N_SAMPLES = 10

ELEMENTS: dict[str, Callable[[Any], Any]] = {
    "series capacitor": lambda net: add_line(net, 25, 2, r_ohm_per_km=0.0, x_ohm_per_km=-0.2),
    "transformer of negative reactance": set_in("trafo", vk_percent=-4.0, tap_pos=2),
    "no-load current below 0": set_in("trafo", i0_percent=-0.9),
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_an_element_is_what_pandapower_solves(name: str, tmp_path: Path) -> None:
    net, path = small_net(), tmp_path / "net.json"
    ELEMENTS[name](net)
    assert_same_flow(net)
    pp.to_json(net, str(path))
    feeder = Feeder.from_pandapower(path)
    assert set(feeder.bus_labels) == set(small_net().bus.index)
    for referee in (path, None):
        check = check_feeder(feeder, referee, n_samples=N_SAMPLES)
        assert check.agrees(WITHIN_PU), (referee, check.largest("vm_pu"), check.unsolved)
