"""Feeders that nobody tried before: taken as OpenDSS solves them, or refused by the name of an element."""

import sys
from itertools import product
from pathlib import Path

import jax
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.grid.from_opendss.script import Script
from neomflex_jax.powerflow.unbalanced import network

pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from opendss_answers import complex_voltages, opendss_voltages
from test_opendss_circuits import check, refusal

WIRES = """
clear
new circuit.four basekv=12.47 mvasc3=200000 mvasc1=210000
new wiredata.phase runits=mi rac=0.306 gmrunits=ft gmrac=0.0244 radunits=in diam=0.721
new wiredata.neutral runits=mi rac=0.592 gmrunits=ft gmrac=0.00814 radunits=in diam=0.563
new linegeometry.wye nconds=4 nphases=3 reduce=yes cond=1 wire=phase units=ft x=-4 h=28
~ cond=2 wire=phase units=ft x=-1.5 h=28
~ cond=3 wire=phase units=ft x=3 h=28 cond=4 wire=neutral units=ft x=0 h=24
new linegeometry.delta nconds=3 nphases=3 cond=1 wire=phase units=ft x=-4 h=28
~ cond=2 wire=phase units=ft x=-1.5 h=28
~ cond=3 wire=phase units=ft x=3 h=28
"""
BALANCED, UNBALANCED = ((1800, 0.9),) * 3, ((1275, 0.85), (1800, 0.9), (2375, 0.95))  # kW and power factor by phase


def four_buses(first: str, second: str, kv: float, loads: tuple[tuple[float, float], ...], ends: str) -> str:
    """Return IEEE's 4-bus feeder, line, transformer, line and loads, with windings of these connections."""
    sides = [
        f"wdg=1 bus={ends} conn={first} kv=12.47 kva=6000 %r=0.5",
        f"wdg=2 bus=n3 conn={second} kv={kv} kva=6000 %r=0.5",
    ]
    lines = [
        f"new line.one geometry={first} length=2000 units=ft bus1=sourcebus bus2=n2",
        f"new transformer.t xhl=6 {' '.join(sides)}",
        f"new line.two geometry={second} length=2500 units=ft bus1=n3 bus2=n4",
    ]
    for phase, (kw, pf) in enumerate(loads, 1):
        at, across = (f"{phase}", kv / 3**0.5) if second == "wye" else (f"{phase}.{phase % 3 + 1}", kv)
        lines.append(
            f"new load.l{phase} phases=1 bus1=n4.{at} conn={second} kv={across} kw={0.7 * kw} pf={pf} vminpu=0.6"
        )
    return "\n".join((WIRES, *lines, "set voltagebases=[12.47 4.16 24.9]", "calcvoltagebases"))


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), list(product(("wye", "delta"), repeat=2)))
def test_ieee_4_buses_of_every_connection_up_and_down(first: str, second: str, tmp_path: Path) -> None:
    ends = ["n2"] if (first, second) != ("wye", "delta") else ["n2", "n2.1.2.3.4"]  # neutral grounded or not
    for number, (kv, loads, end) in enumerate(product((4.16, 24.9), (BALANCED, UNBALANCED), ends)):
        path = tmp_path / f"four{number}.dss"
        path.write_text(four_buses(first, second, kv, loads, end), encoding="utf-8")
        check(path)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("new gicline.g bus1=b bus2=c r=0.1", "gicline.g"),
        ("new gictransformer.g bush=b busnh=b.4.4.4 r1=0.1 type=gsu", "gictransformer.g"),
        ("new indmach012.m bus1=b kv=4.16 kw=20 slip=0.02", "indmach012.m"),
        ("new vccs.v bus1=b phases=1 prated=100 vrated=2400", "vccs.v"),
        ("new vsconverter.v bus1=b phases=4", "vsconverter.v"),
        *((f"new generator.g bus1=b kv=4.16 kw=10 model={model}", "generator.g") for model in (3, 4, 5, 7)),
        ("new load.x bus1=b kv=4.16 kw=60\nopen load.x 1 2", "load.x"),
        ("new windgen.w bus1=b kv=4.16 kw=10", "windgen"),  # of which this OpenDSS does not know
    ],
)
def test_an_element_that_is_not_modelled_is_named(line: str, named: str, tmp_path: Path) -> None:
    assert named in refusal(tmp_path, *line.split("\n"))


def test_a_feeder_without_loads_has_voltages(tmp_path: Path) -> None:
    path = tmp_path / "empty.dss"
    path.write_text("clear\nnew circuit.empty basekv=4.16\nnew line.a bus1=sourcebus bus2=b", encoding="utf-8")
    with jax.enable_x64(True):
        feeder = nf.Feeder.from_opendss(path)
        flow = nf.bind(feeder).solve(np.zeros((3, 0)), np.zeros((3, 0)))
        assert flow.vm_pu.shape == (3, 6) and flow.converged.all()
        np.testing.assert_allclose(flow.vm_pu, 1.0, atol=1e-3)


@pytest.mark.parametrize("kw", [5400, 7200])
def test_a_load_at_a_kink_of_its_model_settles_as_in_opendss(kw: float, tmp_path: Path) -> None:
    """Below vminpu a power becomes an impedance: the plain iteration goes to and fro between both sides."""
    path = tmp_path / "kink.dss"
    lines = ("length=2000 units=ft bus1=sourcebus bus2=n2", "length=2500 units=ft bus1=n2 bus2=n3")
    path.write_text(
        WIRES.replace("basekv=12.47", "basekv=4.16")
        + "".join(f"new line.l{number} geometry=wye {line}\n" for number, line in enumerate(lines))
        + f"new load.x bus1=n3 kv=4.16 kw={kw} pf=0.9 vminpu=0.75\nset voltagebases=[4.16]\ncalcvoltagebases",
        encoding="utf-8",
    )
    with jax.enable_x64(True):
        feeder = nf.Feeder.from_opendss(path)
        flow = nf.nominal_power_flow(feeder)
        assert flow.converged and 0.65 < flow.vm_pu.min() < 0.75
        off = np.abs(complex_voltages(flow) - opendss_voltages(path, feeder, np.ones((1, 1))))
    assert off.max() < 1e-8


def test_what_hangs_on_next_to_nothing_counts_from_the_beginning(tmp_path: Path) -> None:
    """A wye behind a delta winding and a switch of next to no length, as batteries of IEEE's 9500-node feeder are."""
    path = tmp_path / "battery.dss"
    path.write_text(
        "clear\nnew circuit.far basekv=12.47\n"
        "new transformer.t xhl=5.75 buses=(sourcebus.1.2.3.4 low) conns=(wye delta) kvs=(12.47 0.48) kvas=(750 750)\n"
        "new line.sw bus1=low bus2=battery switch=y r1=0.001 r0=0.001 x1=0.001 x0=0.001 c1=0 c0=0 length=0.001\n"
        "new load.s bus1=battery kv=0.48 kw=150 model=2\n"
        "set voltagebases=[12.47 0.48]\ncalcvoltagebases",
        encoding="utf-8",
    )
    with jax.enable_x64(True):
        feeder = nf.Feeder.from_opendss(path)
        solver = nf.bind(feeder)
        assert solver.network.within is not None  # its nominal admittance holds the winding's neutral
        flow = solver.solve(feeder.load_p_mw, feeder.load_q_mvar)
    assert flow.converged
    np.testing.assert_allclose(flow.vm_pu[-3:], 1.0, atol=0.02)


def test_files_are_found_whatever_their_capitals(tmp_path: Path) -> None:
    (tmp_path / "Parts").mkdir()
    (tmp_path / "Parts" / "LineCodes.DSS").write_text("new line.a", encoding="utf-8")
    (tmp_path / "master.dss").write_text(r"redirect parts\linecodes.dss", encoding="utf-8")
    told = [each.command for each in Script(("New", "Redirect")).commands(tmp_path / "master.dss")]
    assert told == ["new line.a"]
    (tmp_path / "Parts" / "linecodes.dss").write_text("new line.b", encoding="utf-8")  # exactly that one goes first
    (tmp_path / "master.dss").write_text("redirect Parts/linecodes.dss", encoding="utf-8")
    told = [each.command for each in Script(("New", "Redirect")).commands(tmp_path / "master.dss")]
    assert told == ["new line.b"]


def test_a_feeder_that_memory_does_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "free_bytes_here", lambda: 1e5)
    with pytest.raises(nf.InputError, match=r"278 nodes and 95 branches of loads take .* GiB"):
        nf.bind(nf.load_feeder("ieee123"))
    monkeypatch.setattr(network, "free_bytes_here", lambda: None)
    assert nf.bind(nf.load_feeder("ieee123")).n_node == 278
