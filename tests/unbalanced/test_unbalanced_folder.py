"""Packaged feeders with phases against OpenDSS's own answers, and the folder that they are kept in."""

import csv
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.grid import unbalanced_feeder_names
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.grid.unbalanced.write_folder import write_unbalanced_feeder

# of OpenDSS (opendssdirect.py 0.9.4), tolerance 1e-10, controls off after what the files solve
GOLDEN = Path(__file__).parents[1] / "golden" / "opendss_nominal.csv"


def golden(name: str) -> dict[str, tuple[float, float]]:
    """Voltage and angle by node, and under `source` the power drawn from it."""
    with GOLDEN.open(encoding="utf-8") as file:
        return {row[1]: (float(row[2]), float(row[3])) for row in csv.reader(file) if row[0] == name}


def check(name: str) -> nf.UnbalancedFeeder:
    """Compare a packaged feeder's nominal state with OpenDSS's."""
    expected = golden(name)
    source = expected.pop("source")
    with jax.enable_x64(True):
        feeder = nf.load_feeder(name)
        assert isinstance(feeder, nf.UnbalancedFeeder)
        flow = nf.nominal_power_flow(feeder)
        assert flow.converged
        at = [feeder.node_labels.index(node) for node in expected]
        found = np.stack([flow.vm_pu[np.array(at)], flow.va_degree[np.array(at)]], axis=1)
        np.testing.assert_allclose(found[:, 0], [vm for vm, _ in expected.values()], rtol=0, atol=1e-8)
        np.testing.assert_allclose(found[:, 1], [va for _, va in expected.values()], rtol=0, atol=1e-6)
        np.testing.assert_allclose([flow.slack_p_mw, flow.slack_q_mvar], source, rtol=0, atol=1e-6)
    return feeder


def test_ieee13_has_opendss_voltages() -> None:
    feeder = check("ieee13")
    assert feeder.node_labels[3] == "650.1"
    assert feeder.taps["transformer.reg1", 2] == pytest.approx(1.05625)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ieee34", "ieee123", "european_lv"])
def test_the_others_have_opendss_voltages(name: str) -> None:
    check(name)


def test_four_are_packaged() -> None:
    assert unbalanced_feeder_names() == ("european_lv", "ieee123", "ieee13", "ieee34")


def test_a_written_feeder_reads_back(tmp_path: Path) -> None:
    feeder = nf.load_feeder("ieee34")
    labels = tuple(label.replace("802", "=802") for label in feeder.node_labels)  # no formula in a spreadsheet
    nodes = Nodes(labels, tuple(label.rpartition(".")[0] for label in labels))
    feeder = replace(feeder, name='the "old" one', nodes=nodes, coordinates={})
    again = nf.load_feeder(write_unbalanced_feeder(feeder, tmp_path / "again"))
    assert "\n'=802.1," in (tmp_path / "again" / "nodes.csv").read_text(encoding="utf-8")
    assert again.name == feeder.name and again.nodes == feeder.nodes and again.taps == feeder.taps
    for own, other in zip(feeder.elements, again.elements, strict=True):
        assert own.name == other.name and own.nodes == other.nodes
        np.testing.assert_allclose(other.y_siemens, own.y_siemens, rtol=1e-12)
    assert [(load.p_mw, load.model) for load in again.loads] == [(load.p_mw, load.model) for load in feeder.loads]
    np.testing.assert_array_equal(again.sources[0].i_ampere, feeder.sources[0].i_ampere)


@pytest.mark.parametrize(
    ("file", "text", "by", "said"),
    [
        ("loads.csv", "671.1", "671.9", r"line 2: node '671\.9' is none of nodes\.csv"),
        ("loads.csv", "delta", "star", "wye or delta"),
        ("loads.csv", "load.634b", "load.634a", "line 4: load 'load.634a' stands on an earlier line"),
        ("elements.csv", "transformer.reg2", "transformer.reg1", "line 4: element 'transformer.reg1' stands on"),
        ("elements.csv", ",m2\n", ",m0\n", "has a fixed matrix of"),
        ("windings.csv", "transformer.reg1,2,1.05625", "transformer.reg1,2,0", "tap is above 0"),
        ("sources.csv", "\nvsource", "\nsource", "unknown element 'source.source'"),
        ("feeder.toml", "frequency_hz = 60.0", "frequency_hz = 'sixty'", "must be a number above 0"),
        ("feeder.toml", "frequency_hz", "frequency", "Did you mean 'frequency_hz'"),
    ],
)
def test_what_is_wrong_in_a_folder_is_named(tmp_path: Path, file: str, text: str, by: str, said: str) -> None:
    folder = write_unbalanced_feeder(nf.load_feeder("ieee13"), tmp_path / "own")
    whole = (folder / file).read_text(encoding="utf-8")
    assert text in whole
    (folder / file).write_text(whole.replace(text, by, 1), encoding="utf-8")
    with pytest.raises(nf.InputError, match=rf"{file}.*{said}"):
        nf.load_feeder(folder)


def test_taps_are_those_that_a_winding_has() -> None:
    feeder = nf.load_feeder("ieee13")
    assert feeder.with_taps({("transformer.reg1", 2): 1.1}).taps["transformer.reg1", 2] == 1.1
    with pytest.raises(nf.InputError, match=r"outside of 0\.9 to 1\.1"):
        feeder.with_taps({("transformer.reg1", 2): 1.2})
    with pytest.raises(nf.InputError, match="reg7"):
        feeder.with_taps({("transformer.reg7", 2): 1.0})


def test_a_scenario_of_another_feeder_is_refused_by_its_buses() -> None:
    with pytest.raises(nf.InputError, match=r"names bus 0, which feeder 'ieee13' does not have"):
        nf.make("neom33", feeder="ieee13")


@pytest.mark.parametrize("name", ["ieee13", "ieee34", "ieee123", "european_lv"])
def test_the_circuit_of_a_packaged_feeder_says_what_it_said(name: str) -> None:
    pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
    from neomflex_jax.grid.from_opendss.engine import circuit_at

    circuit = nf.load_feeder(name).circuit
    assert circuit is not None and circuit_at(circuit.path) == circuit


def test_a_written_feeder_knows_its_circuit(tmp_path: Path) -> None:
    feeder = nf.load_feeder("ieee13")
    again = nf.load_feeder(write_unbalanced_feeder(feeder, tmp_path / "again"))
    assert again.circuit == feeder.circuit is not None


def test_the_hash_of_a_feeder_is_of_its_numbers() -> None:
    feeder = nf.load_feeder("ieee13")
    assert feeder_hash(replace(feeder, name="another")) == feeder_hash(feeder)
    assert feeder_hash(feeder.with_taps({("transformer.reg1", 2): 1.1})) != feeder_hash(feeder)
    assert feeder_hash(replace(feeder, loads=feeder.loads[:-1])) != feeder_hash(feeder)
