"""What power-grid-model itself answers for a pandapower net of lines and constant powers, phase by phase.

Made from the net's tables, not from our feeder, so that a mistake in reading them shows. A line is ``r1, x1, c1, tan1``
and ``r0, x0, c0``, the net's values by its length; conductance is in the positive sequence alone, ``tan1 = g / (w c)``,
as `runpp_3ph` has it. Loads and sgens are asymmetric loads of constant power from phase to ground.

The two place an external grid differently. A source of power-grid-model is a symmetric voltage behind ``z1 = z2`` and
``z0 = z01 z1``; pandapower's holds the positive sequence at the bus and has z2 and z0 in the others. So the voltage
behind is moved, ``u <- u + (u_bus - v1)``, until the bus has the positive sequence that the net states. ``z0`` has the
angle of ``z1`` there, so that ``r0x0_max`` must equal ``rx_max``.

Left out, and asserted to be absent: transformers, whose zero sequence pandapower states by `vk0`, `mag0` and
`si0_hv_partial` and power-grid-model takes from the positive one; delta loads, which it does not have; closed switches
between buses. Source: power-grid-model's documentation, user manual, components. Needs the extra `referee`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

VOLTAGE_FACTOR = 1.1  # pandapower's, of the largest short-circuit power
STOP_PU, MOST_ROUNDS = 1e-10, 30  # its Newton steps round to some 2e-11 on short lines
SIGNS = {"load": 1.0, "asymmetric_load": 1.0, "sgen": -1.0, "asymmetric_sgen": -1.0}
ROTATION = np.exp(2j * math.pi / 3 * np.arange(3)) / 3


def power_grid_voltages(net: Any, feeder_labels: tuple[str, ...]) -> np.ndarray:
    """Complex voltages to ground in pu at the nodes ``bus.phase``."""
    from power_grid_model import PowerGridModel

    parts, grid = _parts(net), net.ext_grid.iloc[0]
    model = PowerGridModel(parts, system_frequency=net.f_hz)
    wanted = complex(grid.vm_pu * np.exp(1j * math.radians(grid.va_degree)))
    at, behind = list(net.bus.index).index(grid.bus), wanted
    for _ in range(MOST_ROUNDS):
        model.update(update_data={"source": _source_at(parts, behind)})
        found = model.calculate_power_flow(symmetric=False, error_tolerance=STOP_PU, max_iterations=100)["node"]
        voltages = found["u_pu"] * np.exp(1j * found["u_angle"])
        off = wanted - voltages[at] @ ROTATION
        if abs(off) < STOP_PU:
            break
        behind += off
    else:
        raise RuntimeError(f"the positive sequence at the external grid stays {abs(off):.1e} pu off")
    labels = [f"{bus}.{phase}" for bus in net.bus.index for phase in (1, 2, 3)]
    by_label = dict(zip(labels, voltages.ravel(), strict=True))
    return np.array([by_label[label] for label in feeder_labels])


def below_its_transformer(net: Any) -> Any:
    """Leave of a net with one transformer what hangs on its low-voltage side, fed there by a grid of 20 MVA."""
    import pandapower as pp
    from pandapower.toolbox import drop_buses

    (transformer,) = net.trafo.index
    high, low = net.trafo.loc[transformer, ["hv_bus", "lv_bus"]]
    net.ext_grid = net.ext_grid.iloc[:0]
    drop_buses(net, [high])
    pp.create_ext_grid(net, low, vm_pu=1.03, s_sc_max_mva=20.0, rx_max=0.25, x0x_max=0.9, r0x0_max=0.25)
    return net


def _parts(net: Any) -> dict[str, np.ndarray]:
    from power_grid_model import initialize_array

    assert net.trafo.empty and net.switch.query("et == 'b'").empty and len(net.ext_grid) == 1
    position = {bus: number for number, bus in enumerate(net.bus.index)}
    node = initialize_array("input", "node", len(position))
    node["id"], node["u_rated"] = np.arange(len(position)), 1e3 * net.bus.vn_kv
    line, load = _lines(net, position), _loads(net, position)
    grid = net.ext_grid.iloc[0]
    assert grid.r0x0_max == grid.rx_max, "z0 has the angle of z1 in power-grid-model"
    source = initialize_array("input", "source", 1)
    source["node"], source["status"], source["u_ref"], source["u_ref_angle"] = position[grid.bus], 1, 1.0, 0.0
    source["sk"] = 1e6 * grid.s_sc_max_mva / VOLTAGE_FACTOR
    source["rx_ratio"], source["z01_ratio"] = grid.rx_max, grid.x0x_max
    first = len(node)
    for table in (line, load, source):
        table["id"] = first + np.arange(len(table))
        first += len(table)
    return {"node": node, "line": line, "asym_load": load, "source": source}


def _lines(net: Any, position: dict[int, int]) -> np.ndarray:
    from power_grid_model import initialize_array

    lines = net.line[net.line.in_service]
    table = initialize_array("input", "line", len(lines))
    open_ends = set(net.switch.query("et == 'l' and not closed")[["bus", "element"]].itertuples(index=False, name=None))
    for end in ("from", "to"):
        buses = lines[f"{end}_bus"]
        table[f"{end}_node"] = buses.map(position)
        table[f"{end}_status"] = [(bus, number) not in open_ends for number, bus in buses.items()]
    series, shunt = lines.length_km / lines.parallel, lines.length_km * lines.parallel
    for number, zero in (("1", ""), ("0", "0")):
        for part in "rx":
            table[part + number] = lines[f"{part}{zero}_ohm_per_km"] * series
        table["c" + number] = 1e-9 * lines[f"c{zero}_nf_per_km"] * shunt
    charging_us = 2e-3 * math.pi * net.f_hz * lines.c_nf_per_km
    table["tan0"], table["tan1"] = 0.0, np.where(lines.g_us_per_km == 0, 0.0, lines.g_us_per_km / charging_us)
    return table


def _loads(net: Any, position: dict[int, int]) -> np.ndarray:
    from power_grid_model import LoadGenType, initialize_array

    nodes, powers = [], []
    for name, sign in SIGNS.items():
        rows = net[name][net[name].in_service]
        assert (rows.type == "wye").all(), f"net.{name} has delta loads"
        nodes += rows.bus.map(position).tolist()
        columns = [("p_mw", "q_mvar")] * 3 if "asym" not in name else [(f"p_{x}_mw", f"q_{x}_mvar") for x in "abc"]
        share = sign * rows.scaling.to_numpy(float) / (1 if "asym" in name else 3)
        powers.append(np.array([(rows[p] + 1j * rows[q]).to_numpy() * share for p, q in columns]).T.reshape(-1, 3))
    table = initialize_array("input", "asym_load", len(nodes))
    table["node"], table["status"], table["type"] = nodes, 1, LoadGenType.const_power
    power_va = 1e6 * np.concatenate(powers)
    table["p_specified"], table["q_specified"] = power_va.real, power_va.imag
    return table


def _source_at(parts: dict[str, np.ndarray], behind: complex) -> np.ndarray:
    from power_grid_model import initialize_array

    update = initialize_array("update", "source", 1)
    update["id"], update["u_ref"], update["u_ref_angle"] = parts["source"]["id"], abs(behind), np.angle(behind)
    return update
