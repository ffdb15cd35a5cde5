"""Neutrals, near 0 pu at any time, are refused where limits of voltages would be broken at them in every step."""

from pathlib import Path

import pytest

import neomflex_jax as nf

pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")

CIRCUIT = """
clear
new circuit.c basekv=0.4 bus1=s
new linecode.w nphases=4 units=km
~ rmatrix=(0.3|0.05 0.3|0.05 0.05 0.3|0.05 0.05 0.05 0.3) xmatrix=(0.3|0.1 0.3|0.1 0.1 0.3|0.1 0.1 0.1 0.3)
new reactor.earth phases=1 bus1=s.4 r=0.1 x=0
new line.a phases=4 bus1=s.1.2.3.4 bus2=m.1.2.3.4 length=0.1 linecode=w
new load.l phases=1 bus1=m.1.4 kv=0.23 kw=3
set voltagebases=[0.4]
calcvoltagebases
"""
TASK = """
name = "four wires"
feeder = "{path}"
[[territories]]
agent = "one"
buses = ["s", "m"]
[[batteries]]
bus = "m"
capacity_mwh = 0.01
power_mw = 0.002
"""


def task(folder: Path, circuit: str) -> Path:
    """A task on a circuit."""
    path = folder / "four.dss"
    path.write_text(circuit, encoding="utf-8")
    (folder / "task.toml").write_text(TASK.format(path=path), encoding="utf-8")
    return folder / "task.toml"


def test_a_neutral_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(nf.InputError, match=r"node s\.4, m\.4 is below 0\.1 pu without load.*ground neutrals"):
        nf.make(task(tmp_path, CIRCUIT))
    grounded = CIRCUIT.replace("new reactor", "! new reactor").replace(".3.4", ".3.0").replace("m.1.4", "m.1.0")
    env = nf.make(task(tmp_path, grounded))
    assert env.feeder.node_labels == ("s.1", "s.2", "s.3", "m.1", "m.2", "m.3")
