"""What nothing feeds: named when a feeder is read, against what OpenDSS calls isolated, and refused to environments."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.environment.phases import check_playable_with_phases
from neomflex_jax.grid.unbalanced.supply import unfed_loads, unfed_nodes
from neomflex_jax.grid.unbalanced.write_folder import write_unbalanced_feeder

dss = pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")

LINE = "new line.b bus1=m bus2=e length=1 r1=0.3 x1=0.4"
LOAD = "new load.k bus1=e kv=12.47 kw=10"
BEHIND = "new transformer.t buses=(e,lo) kvs=(12.47,0.48) kvas=(500,500)\nnew load.j bus1=lo kv=0.48 kw=20 kvar=5"


def written(folder: Path, *lines: str) -> Path:
    """A circuit of two fed buses with further lines."""
    path = folder / "circuit.dss"
    first = ("clear", "new circuit.c basekv=12.47 bus1=s", "new line.a bus1=s bus2=m")
    last = ("set voltagebases=[12.47 0.48]", "calcvoltagebases", "")
    path.write_text("\n".join((*first, "new load.l bus1=m kv=12.47 kw=30", *lines, *last)), encoding="utf-8")
    return path


ISLANDS = {
    "open switch": ((LINE, LOAD, "open line.b 1"), {"e"}, {"k"}),
    "open at both ends": ((LINE, LOAD, "open line.b 1", "open line.b 2"), {"e"}, {"k"}),
    "behind a transformer": ((LINE, BEHIND, "open line.b 2"), {"e", "lo"}, {"j"}),
    "nothing but a load": ((LOAD,), {"e"}, {"k"}),
    "disabled line": ((f"{LINE} enabled=no", LOAD), {"e"}, {"k"}),
    "no load": ((LINE, "new line.c bus1=e bus2=f length=1", "open line.b 1"), {"e", "f"}, set()),
    "a line by itself": (("new line.c bus1=e bus2=f length=1",), {"e", "f"}, set()),
    "all closed": ((LINE, LOAD), set(), set()),
}


@pytest.mark.parametrize("island", ISLANDS)
@pytest.mark.filterwarnings("ignore:.*nothing connects")
def test_what_nothing_feeds_is_what_opendss_calls_isolated(island: str, tmp_path: Path) -> None:
    lines, buses, loads = ISLANDS[island]
    path = written(tmp_path, *lines)
    feeder = nf.Feeder.from_opendss(path, strict=False)
    unfed = unfed_nodes(feeder)
    assert {feeder.nodes.bus[node] for node in unfed} == buses
    assert {load.name for load in unfed_loads(feeder, unfed)} == {f"load.{name}" for name in loads}
    engine = dss.NewContext()
    for line in path.read_text(encoding="utf-8").splitlines()[:-1]:
        engine.Text.Command(line)
    engine.Text.Command("solve")
    assert {name.partition(".")[2].lower() for name in engine.Topology.AllIsolatedLoads() if name} == loads
    volts = np.abs(np.array(engine.Circuit.YNodeVArray()).view(complex))
    named = dict(zip([label.lower() for label in engine.Circuit.YNodeOrder()], volts, strict=True))
    assert {label.partition(".")[0] for label, size in named.items() if size < 1e-3} == buses
    if loads:
        with pytest.raises(nf.InputError, match=f"{next(iter(loads))} is at node .*close a switch"):
            nf.Feeder.from_opendss(path)


def test_they_are_named_in_a_warning_and_their_voltage_is_0(tmp_path: Path) -> None:
    path = written(tmp_path, LINE, LOAD, "open line.b 1")
    told = "nothing connects bus e to a source.* 0.01 MW of consumption and 0 MW of production: load.k"
    with pytest.warns(UserWarning, match=told):
        feeder = nf.load_feeder(path)
    flow = nf.nominal_power_flow(feeder)
    assert flow.converged and np.max(flow.vm_pu[unfed_nodes(feeder)]) == 0
    write_unbalanced_feeder(replace(feeder, circuit=None), tmp_path / "folder")
    with pytest.warns(UserWarning, match=told):
        nf.load_feeder(tmp_path / "folder")


def test_a_phase_alone_is_named_as_a_node(tmp_path: Path) -> None:
    one, two = (f"new line.{n} phases=1 bus1=m.{n} bus2=e.{n} length=1" for n in (1, 2))
    with pytest.warns(UserWarning, match=r"nothing connects node e\.1 to a source, where voltages are 0$"):
        nf.Feeder.from_opendss(written(tmp_path, one, two, "open line.1 1"))


@pytest.mark.filterwarnings("ignore:.*nothing connects")
def test_environments_refuse_it(tmp_path: Path) -> None:
    feeder = nf.Feeder.from_opendss(written(tmp_path, LINE, LOAD, "open line.b 1"), strict=False)
    scenario = nf.load_scenario("ieee13_volt_var")
    with pytest.raises(nf.InputError, match=r"nothing connects bus e to a source.*; these are below any limit"):
        check_playable_with_phases(scenario, feeder)
