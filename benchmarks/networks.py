"""Every network of `pandapower.networks` up to 300 buses, and twelve of SimBench, against pandapower.

    python benchmarks/networks.py --rows networks.jsonl [--only NAME ...]    plays what the file does not have yet
    python benchmarks/networks.py --rows networks.jsonl --write docs/networks.md

Each is saved to a file, read as a feeder, and solved in the nominal state and in 50 random ones (every element scaled
by itself) in float64, by `ac` and, where that has no answer, by `newton`; the referee is the net itself, by `runpp`.
`tests/grid/test_published_networks.py` holds the same to 1e-8 pu.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandapower
import pandapower.networks as nw

import neomflex_jax as nf
from validation.referee.feeder_check import FeederCheck, check_feeder

N_SAMPLES = 50
PLAIN = ("case4gs", "case5", "case6ww", "case9", "case14", "case24_ieee_rts", "case30", "case_ieee30", "case33bw")
PLAIN += ("case39", "case57", "case11_iwamoto", "case89pegase", "case118", "case145", "case_illinois200", "case300")
PLAIN += ("GBreducednetwork", "iceland", "example_simple", "example_multivoltage", "panda_four_load_branch")
PLAIN += ("four_loads_with_branches_out", "simple_four_bus_system", "simple_mv_open_ring_net")
PLAIN += ("create_cigre_network_hv", "create_cigre_network_mv", "create_cigre_network_lv")
PLAIN += tuple(name for name in dir(nw) if name.startswith(("create_kerber_", "kb_extrem_")))
CIGRE_WITH = ("pv_wind", "all")
VOLTAGE_CONTROL = ("rural_1", "rural_2", "village_1", "village_2", "suburb_1")
SIMBENCH = ("1-LV-rural1--0-sw", "1-LV-rural2--0-sw", "1-LV-rural3--0-sw", "1-LV-semiurb4--0-sw", "1-LV-semiurb5--0-sw")
SIMBENCH += ("1-LV-urban6--0-sw", "1-MV-rural--0-sw", "1-MV-semiurb--0-sw", "1-MV-urban--0-sw", "1-MV-comm--0-no_sw")
SIMBENCH += ("1-MVLV-rural-1.108-0-no_sw", "1-MVLV-urban-5.303-0-no_sw")
ELEMENTS = {
    **{"trafo": "transformer", "trafo3w": "three-winding transformer", "gen": "generator"},
    **{"ext_grid": "further external grid", "sgen": "static generator", "storage": "storage", "shunt": "shunt"},
    **{"ward": "ward", "xward": "xward", "impedance": "impedance", "dcline": "DC line", "motor": "motor"},
}


def _simbench(code: str) -> Any:
    import simbench  # the extra `simbench`

    return simbench.get_simbench_net(code)


NETWORKS: dict[str, Callable[[], Any]] = {
    **{name: getattr(nw, name) for name in PLAIN},
    **{
        f"create_cigre_network_mv({kind!r})": lambda kind=kind: nw.create_cigre_network_mv(with_der=kind)
        for kind in CIGRE_WITH
    },
    "create_dickert_lv_network": nw.create_dickert_lv_network,
    "mv_oberrhein": nw.mv_oberrhein,
    "mv_oberrhein('generation')": lambda: nw.mv_oberrhein(scenario="generation"),
    **{
        f"create_synthetic_voltage_control_lv_network({kind!r})": lambda kind=kind: (
            nw.create_synthetic_voltage_control_lv_network(kind)
        )
        for kind in VOLTAGE_CONTROL
    },
    **{f"simbench {code}": lambda code=code: _simbench(code) for code in SIMBENCH},
}


def play(name: str, n_samples: int = N_SAMPLES) -> dict[str, Any]:
    """Return what is to say of a network: its size, and how far both are apart or why it was not solved."""
    net = NETWORKS[name]()
    row: dict[str, Any] = {"network": name, "buses": len(net.bus), "elements": _elements(net)}
    try:
        pandapower.runpp(net)
    except pandapower.LoadflowNotConverged:
        row["note"] = "`runpp` finds no solution with its defaults"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.json"
        pandapower.to_json(net, str(path))
        try:
            feeder = nf.Feeder.from_pandapower(path, islands=True)
        except nf.InputError as error:
            return row | {"refused": str(error).replace(f"{path}: ", "")}
        check, method = check_feeder(feeder, path, n_samples=n_samples), "ac"
        if check.unsolved.ours:
            check, method = check_feeder(feeder, path, n_samples=n_samples, method="newton"), "newton"
    return row | _differences(check) | {"method": method}


def _differences(check: FeederCheck) -> dict[str, Any]:
    unsolved = check.unsolved
    return {
        "nominal_pu": check.largest("vm_pu", slice(1)),
        "random_pu": check.largest("vm_pu", slice(1, None)),
        "cases": unsolved.n_cases,
        "neither": unsolved.neither,
        "pandapower_alone": unsolved.ours,
        "ours_alone": unsolved.pandapower,
    }


def _elements(net: Any) -> str:
    active = {table: _n_active(net.get(table)) for table in ELEMENTS}
    active["ext_grid"] -= 1
    named = [(count, ELEMENTS[table]) for table, count in active.items() if count > 0]
    return ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for count, name in named)


def _n_active(table: Any) -> int:
    if table is None or table.empty:
        return 0
    return int(table["in_service"].astype(bool).sum()) if "in_service" in table else len(table)


HEADER = """# Networks that were read and solved

`pandapower.networks` up to 300 buses and SimBench grids, read by `nf.Feeder.from_pandapower` and solved here and by
pandapower's `runpp`, float64: the largest difference of a voltage, pu, in the nominal state and over random states in
which every element is scaled by a number of its own. `case11_iwamoto` is ill-conditioned and has several solutions;
where both find one in a random state, it is not always the same. {}

| network | buses | beside lines and loads | nominal | random states | unsolved, or refused |
|---|---|---|---|---|---|
"""
MADE_BY = (
    "Made by `benchmarks/networks.py`; `pytest -m slow tests/grid/test_published_networks.py` holds all to 1e-8 pu."
)


def table(rows: list[dict[str, Any]]) -> str:
    """Write the page, with a line for every network."""
    lines, played = [HEADER.format(MADE_BY)], {row["network"]: row for row in rows}
    for name in NETWORKS:
        if name not in played:
            lines.append(f"| {name} | | | | | not played yet |\n")
            continue
        row = played[name]
        nominal, random = (_power(row.get(name)) for name in ("nominal_pu", "random_pu"))
        cells = (row["network"], row["buses"], row["elements"], nominal, random, _said(row))
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |\n")
    return "".join(lines)


def _power(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.1e}"


def _said(row: dict[str, Any]) -> str:
    said = [row["note"]] if "note" in row else []
    if "refused" in row:
        return "; ".join([*said, f"refused: {row['refused']}"]).replace("|", "\\|")
    for name, text in (("neither", "neither"), ("pandapower_alone", "pandapower alone"), ("ours_alone", "ours alone")):
        if row[name]:
            said.append(f"{row[name]} of {row['cases']} states solved by {text}")
    if row["method"] != "ac":
        said.append(f"by `{row['method']}`")
    return "; ".join(said)


def main() -> None:
    """Play, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True, help="file of what was played, a line a network")
    parser.add_argument("--only", nargs="*", default=list(NETWORKS), help="names of networks")
    parser.add_argument("--write", type=Path, help="write the page here and play nothing")
    options = parser.parse_args()
    known = [json.loads(line) for line in options.rows.read_text().splitlines()] if options.rows.exists() else []
    if options.write is not None:
        options.write.write_text(table(known))
        return
    warnings.simplefilter("ignore")
    for name in options.only:
        if name not in {row["network"] for row in known}:
            row = play(name)
            with options.rows.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(name, _said(row), _power(row.get("nominal_pu")), _power(row.get("random_pu")), flush=True)


if __name__ == "__main__":
    main()
