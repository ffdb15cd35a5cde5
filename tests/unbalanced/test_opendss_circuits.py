"""Our own small circuits, solved by OpenDSS and by us: every connection, load model and element once."""

import csv
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import neomflex_jax as nf

pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from opendss_answers import complex_voltages, opendss_currents, opendss_voltages, random_factors
from unbalanced_accuracy import Options, main

CIRCUITS = Path(__file__).parent / "circuits"


def test_every_node_has_opendss_voltage() -> None:
    check(CIRCUITS / "transformers.dss")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lines", "load_models", "four_wires", "generation", "never_seen"])
def test_every_node_has_opendss_voltage_elsewhere(name: str) -> None:
    check(CIRCUITS / f"{name}.dss")


def check(path: Path) -> None:
    """Compare ten random states and the nominal one."""
    with jax.enable_x64(True):
        feeder = nf.Feeder.from_opendss(path, strict=False)
        factors = random_factors(feeder, 10)
        flow = nf.bind(feeder).solve(feeder.load_p_mw * factors, feeder.load_q_mvar * factors)
        assert flow.converged.all()
        off = np.abs(complex_voltages(flow) - opendss_voltages(path, feeder, factors))
    assert off.max() < 1e-8, feeder.node_labels[off.max(axis=0).argmax()]
    i_ka, rating_ka = opendss_currents(path, feeder)
    found, loading = np.asarray(flow.branch_i_ka)[0], np.asarray(flow.branch_loading_percent)[0]
    off = np.abs(found - i_ka)
    assert off.max() < 1e-7 * i_ka.max(), feeder.branch_labels[off.argmax()]
    rated = rating_ka > 0
    np.testing.assert_allclose(loading[rated], 100 * i_ka[rated] / rating_ka[rated], rtol=1e-6, atol=1e-3)
    assert np.isnan(loading[~rated]).all()


def test_the_accuracy_of_a_circuit_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(Options(circuits=(CIRCUITS / "transformers.dss",), output=tmp_path / "off.csv", states=1))
    with (tmp_path / "off.csv").open(encoding="utf-8") as file:
        nominal, changed = csv.DictReader(file)
    assert [nominal["state"], changed["state"]] == ["0", "1"]
    worst = max(float(row["max_dv_pu"]) for row in (nominal, changed))
    assert 0 < worst < 1e-8
    assert f"{worst:.1e} pu" in capsys.readouterr().out


def refusal(tmp_path: Path, *lines: str) -> str:
    """Return what is said of a small circuit with further lines."""
    path = tmp_path / "circuit.dss"
    first = ("clear", "new circuit.small basekv=4.16", "new line.a bus1=sourcebus bus2=b")
    last = ("set voltagebases=[4.16]", "calcvoltagebases")
    path.write_text("\n".join((*first, *lines, *last)), encoding="utf-8")
    with pytest.raises(nf.InputError) as refused:
        nf.Feeder.from_opendss(path)
    return str(refused.value)


def test_what_is_not_modelled_is_named(tmp_path: Path) -> None:
    assert "upfc.u" in refusal(tmp_path, "new line.l bus1=b bus2=c", "new upfc.u bus1=b.1 bus2=c.1 phases=1")
    assert "generator.g" in refusal(tmp_path, "new generator.g bus1=b kv=4.16 kw=10 model=3")
    assert "set controlmode=GFL" in refusal(tmp_path, "new pvsystem.p bus1=b kv=4.16 kva=10 controlmode=gfm")


def test_opendss_says_itself_what_it_refuses(tmp_path: Path) -> None:
    told = refusal(tmp_path, "new line.b bus1=b bus2=c colour=red")
    assert "colour" in told and "line 4" in told and "circuit.dss" in told


def test_a_part_that_nothing_grounds_is_named(tmp_path: Path) -> None:
    told = refusal(
        tmp_path,
        "new transformer.t phases=1 buses=(b.1 far.1.2) kvs=(2.4 0.24) kvas=(50 50) ppm_antifloat=0",
        "new load.l bus1=far.1.2 phases=1 conn=delta kv=0.24 kw=3",
    )
    assert "far.1" in told and "ground" in told


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(nf.InputError, match="no such file"):
        nf.Feeder.from_opendss("nowhere.dss")
