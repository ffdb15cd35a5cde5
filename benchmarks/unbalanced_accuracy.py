"""How far the power flow of circuits with phases is from OpenDSS's, in float64.

``python benchmarks/unbalanced_accuracy.py 13Bus/IEEE13Nodeckt.dss 123Bus/IEEE123Master.dss ... [--output off.csv]``

Of each circuit the nominal state and 50 random ones: every load by itself, 0.3 to 1.3 times its power; taps and all
else that controls move as the file leaves them, controls off, OpenDSS at a tolerance of 1e-10. What is compared is the
complex voltage of every node, in pu of its base. Needs the extra `opendss`; IEEE's feeders come with OpenDSS.

``--power-grid-model`` compares pandapower's European feeder, below its transformer, with power-grid-model too, in as
many states (see `power_grid_answers.py`); needs the extra `referee`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np
import tyro
from opendss_answers import complex_voltages, opendss_voltages, random_factors
from pandapower.networks import ieee_european_lv_asymmetric
from power_grid_answers import below_its_transformer, power_grid_voltages
from tyro.conf import Positional

import neomflex_jax as nf

COLUMNS = ("circuit", "state", "max_dv_pu", "node", "converged")
NET = "European LV, lines alone"


@dataclass(frozen=True)
class Options:
    """Compare circuits with OpenDSS, and a net with power-grid-model."""

    circuits: Positional[tuple[Path, ...]] = ()
    """Their master files."""
    output: Path | None = None
    """CSV file for the worst node of each state; state 0 is the nominal one."""
    states: int = 50
    """Random states of each circuit."""
    power_grid_model: bool = False
    """Also compare pandapower's European feeder, below its transformer, with power-grid-model."""


def compare(path: Path, n_states: int) -> list[tuple[str, int, float, str, bool]]:
    """Return a row of `COLUMNS` for each state of a circuit."""
    with jax.enable_x64(True):
        feeder = nf.Feeder.from_opendss(path, strict=False)
        factors = random_factors(feeder, n_states)
        fields = ("vm_pu", "va_degree", "converged")
        flow = nf.bind(feeder).solve(feeder.load_p_mw * factors, feeder.load_q_mvar * factors, fields)
        found, converged = complex_voltages(flow), np.asarray(flow.converged)
    off = np.abs(found - opendss_voltages(path, feeder, factors))
    return [
        (path.name, state, float(row.max()), str(feeder.node_labels[row.argmax()]), bool(settled))
        for state, (row, settled) in enumerate(zip(off, converged, strict=True))
    ]


def compare_net(n_states: int) -> list[tuple[str, int, float, str, bool]]:
    """Return a row of `COLUMNS` for each state of pandapower's European feeder, against power-grid-model."""
    net = below_its_transformer(ieee_european_lv_asymmetric("on_peak_566"))
    factors = np.random.default_rng(0).uniform(0.3, 1.3, (1 + n_states, len(net.asymmetric_load)))
    factors[0] = 1
    rows = []
    with jax.enable_x64(True):
        for state, factor in enumerate(factors):
            net.asymmetric_load["scaling"] = factor
            feeder = nf.Feeder.from_pandapower(net)
            flow = nf.nominal_power_flow(feeder)
            off = np.abs(complex_voltages(flow) - power_grid_voltages(net, feeder.node_labels))
            worst = int(off.argmax())
            rows.append((NET, state, float(off[worst]), str(feeder.node_labels[worst]), bool(flow.converged)))
    return rows


def main(options: Options) -> None:
    """Print the largest difference of each circuit, and list all states."""
    if not (options.circuits or options.power_grid_model):
        raise SystemExit("nothing to compare: name master files of circuits, or --power-grid-model")
    listed = []
    calls = [partial(compare, path) for path in options.circuits] + [compare_net] * options.power_grid_model
    for call in calls:
        rows = call(options.states)
        _, state, worst, node, _ = max(rows, key=lambda row: row[2])
        settled = sum(row[-1] for row in rows)
        where = f"at node {node} in state {state}"
        print(f"{rows[0][0]:24} {len(rows):4} states, {settled} converged: {worst:.1e} pu {where}", flush=True)
        listed += rows
    if options.output:
        with options.output.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *listed])


if __name__ == "__main__":
    main(tyro.cli(Options))
