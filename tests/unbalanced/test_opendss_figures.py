"""Figures of an OpenDSS file that leave voltages without a value: what is at fault is named, with its bus."""

from pathlib import Path

import pytest

import neomflex_jax as nf

pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")

BELOW = "new transformer.t buses=(m,lo) conns=(wye,wye) kvs=(12.47,0.48) kvas=(500,500) xhl=4"
DELTAS = "new transformer.t buses=(m,lo) conns=(delta,delta) kvs=(12.47,0.48) kvas=(500,500) xhl=4 ppm_antifloat=0"
BEYOND = "new line.b bus1=m bus2=e length=1 r1=0.3 x1=0.4"


def refusal(folder: Path, *lines: str, solved: bool) -> str:
    """What is said of a sound circuit of two buses with further lines."""
    path = folder / "circuit.dss"
    first = ("clear", "new circuit.c basekv=12.47 bus1=s r1=0.1 x1=0.3 r0=0.2 x0=0.5", "new line.a bus1=s bus2=m")
    last = ("set voltagebases=[12.47 0.48]", "calcvoltagebases") if solved else ()
    path.write_text("\n".join((*first, "new load.l bus1=m kv=12.47 kw=30", *lines, *last)), encoding="utf-8")
    with pytest.raises(nf.InputError) as refused:
        nf.Feeder.from_opendss(path)
    return str(refused.value)


@pytest.mark.parametrize("solved", [True, False])
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("new load.z bus1=m kv=0 kw=0 kvar=0", "load.z at bus m has kv=0;"),
        ("new load.z bus1=m.2 phases=1 kv=nan kw=1", "load.z at bus m has kv=----;"),
        ("new load.z bus1=m kv=12.47 kw=1 pf=0", "load.z at bus m has kvar=+Inf;"),
        (BELOW.replace("0.48)", "0)"), "transformer.t at buses m and lo has kv=0 (winding 2);"),
        (BELOW.replace("(500,500)", "(0,0)"), "transformer.t at buses m and lo has kva=0 (winding 1);"),
        ("new autotrans.t buses=(m,lo) kvs=(0,7) kvas=(5,5)", "autotrans.t at buses m and lo has kv=0 (winding 1);"),
        ("new capacitor.c bus1=m kv=0 kvar=100", "capacitor.c at bus m has kv=0;"),
        ("new reactor.r bus1=m bus2=e r=0 x=0", "reactor.r at buses m and e has r=0 x=0 "),
        ("new generator.g bus1=m kv=0 kw=100", "generator.g at bus m has kv=0;"),
        ("new pvsystem.p bus1=m kv=0 kva=100", "pvsystem.p at bus m has kv=0;"),
        ("new storage.s bus1=m kv=12.47 kva=0 kwrated=100", "storage.s at bus m has kva=0;"),
        ("new generator.g bus1=m kv=12.47 kw=nan", "generator.g at bus m has kw=----;"),
        ("new pvsystem.p bus1=m kv=12.47 kva=100 pmpp=nan", "pvsystem.p at bus m has pmpp=----;"),
        ("edit vsource.source basekv=0", "vsource.source at bus s has basekv=0;"),
        (BEYOND.replace("length=1", "length=0"), "line.b at buses m and e has length=0;"),
        ("new line.b phases=1 bus1=m.1 bus2=e.1 r1=0 x1=0 length=1", "line.b at buses m and e has no impedance"),
        ("set frequency=0", "frequency=0;"),
        (DELTAS, "nothing grounds node lo.1, lo.2, lo.3, so that its voltage could be anything (there: transformer.t)"),
        (
            f"{DELTAS}\n{BEYOND} c1=0 c0=0".replace("bus1=m ", "bus1=lo "),
            "nothing grounds node lo.1, lo.2, lo.3, e.1, e.2 and 1 more, so that its voltage could be anything "
            "(there: transformer.t, line.b)",
        ),
    ],
)
def test_what_is_at_fault_is_named_with_its_bus(line: str, told: str, solved: bool, tmp_path: Path) -> None:
    said = refusal(tmp_path, line, solved=solved)
    assert said.startswith(str(tmp_path / "circuit.dss")) and told in said, said


def test_a_mistyped_line_after_a_reactor_is_told_in_opendss_words(tmp_path: Path) -> None:
    said = refusal(tmp_path, "new reactor.r bus1=m bus2=e r=1 x=1", "new line.z bus1=e linecode=nothere", solved=False)
    assert "nothere" in said and "line" in said


def test_an_element_of_next_to_no_impedance_is_named(tmp_path: Path) -> None:
    path = tmp_path / "circuit.dss"
    lines = ("new circuit.c basekv=12.47 bus1=s", "new line.a bus1=s bus2=m", "new load.l bus1=e kv=12.47 kw=30")
    path.write_text("\n".join((*lines, f"{BEYOND} c1=0 c0=0".replace("0.3 x1=0.4", "1e-12 x1=0 r0=1e-12 x0=0"))))
    feeder = nf.Feeder.from_opendss(path)
    with pytest.raises(nf.InputError, match=r"line\.b joins it by 1e-12 ohm"):
        nf.bind(feeder)
