"""What a file of OpenDSS may not do by being read: run code, write files, end without a sentence."""

from pathlib import Path

import pytest

import neomflex_jax as nf
from neomflex_jax.grid.from_opendss.script import Script
from neomflex_jax.grid.from_opendss.words import Argument, arguments_of, without_comment

pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
CIRCUIT = (
    "clear",
    "new circuit.small basekv=4.16",
    "new line.a bus1=sourcebus bus2=b",
    "new load.x bus1=b kv=4.16 kw=1",
)


def written(folder: Path, *lines: str) -> Path:
    """Write a small circuit with further lines."""
    path = folder / "circuit.dss"
    path.write_text("\n".join((*CIRCUIT, *lines)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "line",
    [
        "new generator.g bus1=b kv=4.16 kw=1 model=6 usermodel=./evil.so",
        "new generator.g bus1=b kv=4.16 kw=1 'UserMod' = ./evil.so",
        "new object=gen.g bus1=b kv=4.16 kw=1 dutystart=0 ./evil.so",
        "new storage.s bus1=b kv=4.16 kwrated=1\n~ dyn=./evil.so",
        "new pvsystem.p bus1=b kv=4.16\npvsystem.p.usermodel=./evil.so",
        "usermodel=./evil.so",
        "set class=generator\n~ user=./evil.so",
        "new loadshape.s npts=2 mult=(1 2) action=dblsave",
        "new loadshape.s dblfile=a sngsave",
        "set data=elsewhere",
        "solve mode=yearly number=2 demandinterval=yes",
        "doscmd touch elsewhere",
        "var @x=usermodel",
        "new circuit./somewhere/else basekv=1",
        "redirect circuit.dss",
        "redirect nowhere.dss",
        "redirect ''",
        "compile .",
        "new line.\x0bq bus1=b",
        "edit load.x kw=nan",
        "edit load.x kw=inf",
    ],
)
def test_what_would_run_code_or_write_or_never_end_is_refused(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, *line.split("\n"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(nf.InputError) as refused:
        nf.Feeder.from_opendss(path)
    assert "circuit.dss" in str(refused.value) and "OpenDSS refuses" not in str(refused.value)
    assert [each.name for each in tmp_path.iterdir()] == ["circuit.dss"] and Path.cwd() == tmp_path


def test_what_shows_or_writes_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = tmp_path / "away"
    lines = [
        "solve",
        f"export voltages {away}/a.csv",
        f"save circuit dir={away}/s",
        "sho voltages",
        "dump",
        "fileedit a.b",
    ]
    path = written(tmp_path, *lines, "/* a comment", "usermodel=x", "*/", "// and another", "cd ..", "plot profile")
    monkeypatch.chdir(tmp_path)
    assert nf.Feeder.from_opendss(path).n_load == 1
    assert [each.name for each in tmp_path.iterdir()] == ["circuit.dss"]


def test_files_and_data_are_looked_for_beside_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/shape.csv").write_text("1\n2\n", encoding="utf-8")
    shape = "new loadshape.s npts=2 interval=1 mult=(file=shape.csv)\nedit load.x daily=s ! caf\xe9"
    (tmp_path / "parts/shapes.dss").write_bytes(shape.encode("latin-1"))
    feeder = nf.Feeder.from_opendss(written(tmp_path, r"redirect parts\shapes"))
    assert feeder.load_shapes["s"].p_factor.tolist() == [1, 2]


def test_words_are_taken_apart_as_opendss_does() -> None:
    assert without_comment("new line.a bus1='b!c' length = 3 ! kw//5") == "new line.a bus1='b!c' length = 3"
    assert arguments_of("a.b, x = (1 2), [3, 4] y='p q'") == [
        Argument("", "a.b"),
        Argument("x", "1 2"),
        Argument("", "3, 4"),
        Argument("y", "p q"),
    ]


def test_a_short_command_is_the_first_that_begins_so(tmp_path: Path) -> None:
    (tmp_path / "a.dss").write_text("exp voltages\nsol\nSE tolerance=1e-5", encoding="utf-8")
    names = ("New", "Select", "Save", "Solve", "Set", "Seqvoltages", "Export")
    told = [each.command for each in Script(names).commands(tmp_path / "a.dss")]
    assert told == ["solve", "select tolerance=1e-5"]


@pytest.mark.parametrize(
    ("lines", "npts", "has"),
    [
        ("new loadshape.s npts=5 interval=1 mult=(1 2 3)", 5, "mult has 3 values"),
        ("new loadshape.s 5 1 [1, 2, 3]", 5, "mult has 3 values"),
        ("new loadshape.s npts=5 interval=1\n~ mul={1 2}", 5, "mult has 2 values"),
        ("new loadshape.s npts=3 mult=(1 2 3) qmult=(1 2)", 3, "qmult has 2 values"),
        ("new loadshape.s npts=3 mult=(1 2 3)\nloadshape.s.npts=6", 6, "mult has 3 values"),
        ("new loadshape.t npts=3 mult=(1 2 3)\nnew loadshape.s like=t\nloadshape.s.npts=4", 4, "mult has 3 values"),
        ("new loadshape.s npts=5 mult=(1 2 3 4 5) qmult=(file=three.csv)", 5, "qmult has 3 values"),
        ("new loadshape.s npts=3 interval=0 hour=(0 1) mult=(1 2 3)", 3, "hour has 2 values"),
        ("new loadshape.s mult=(1 2 3) npts=3", 3, "0 values of mult"),
        ("new loadshape.s npts=-5 mult=(1 2 3)", -5, "0 values of mult"),
    ],
)
def test_shapes_with_fewer_values_than_npts_are_refused(lines: str, npts: int, has: str, tmp_path: Path) -> None:
    (tmp_path / "three.csv").write_text("1\n2\n3\n", encoding="utf-8")
    with pytest.raises(nf.InputError, match=has) as refused:
        nf.Feeder.from_opendss(written(tmp_path, *lines.split("\n"), "edit load.x daily=s"))
    assert "load shape 's'" in str(refused.value) and f"npts={npts}," in str(refused.value)
    line = len(CIRCUIT) + len(lines.split("\n"))
    assert "0 values" in has or f"circuit.dss, line {line}: " in str(refused.value)


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        ("new loadshape.s npts=5 interval=1 mult=(0 1 2 0 0) qmult=(0 1 1 0 0)", [0, 1, 2, 0, 0]),  # night
        ("new loadshape.s npts=2 interval=1 mult=(0 0)", [0, 0]),
        ("new loadshape.s npts=2 interval=1 mult=(1 2 3)", [1, 2]),
        ("new loadshape.s npts=5 interval=1 mult=(file=three.csv)", [1, 2, 3]),  # a file's own length
        ("new loadshape.s npts=5 interval=1 csvfile=three.csv qmult=(file=three.csv)", [1, 2, 3]),
        ("new loadshape.t npts=2 mult=(1 2)\nnew loadshape.s like=t\nloadshape.s.npts=3\n~ mult=(3 4 5)", [3, 4, 5]),
    ],
)
def test_shapes_that_end_in_zeros_or_come_from_files_are_read(lines: str, values: list[float], tmp_path: Path) -> None:
    (tmp_path / "three.csv").write_text("1\n2\n3\n", encoding="utf-8")
    feeder = nf.Feeder.from_opendss(written(tmp_path, *lines.split("\n"), "edit load.x daily=s"))
    assert feeder.load_shapes["s"].p_factor.tolist() == values


def test_a_tap_outside_its_range_is_refused(tmp_path: Path) -> None:
    transformer = "new transformer.t buses=(b c) kvs=(4.16 0.4) kvas=(100 100) wdg=2 tap="
    with pytest.raises(nf.InputError, match=r"transformer\.t: winding 2 is at tap=1\.5, .*0\.9 to maxtap=1\.1"):
        nf.Feeder.from_opendss(written(tmp_path, f"{transformer}1.5"))
    with pytest.raises(nf.InputError, match=r"winding 2 is at tap=0\.8"):
        nf.Feeder.from_opendss(written(tmp_path, f"{transformer}0.8"))
    for tap in ("1.1", "0.9", "1.5 maxtap=1.5"):
        assert nf.Feeder.from_opendss(written(tmp_path, transformer + tap)).n_load == 1
    auto = "new autotrans.a buses=(b c) kvs=(4.16 2.4) kvas=(100 100) wdg=1 tap=0.95 wdg=2 tap="
    for tap in ("1.2", "0.85"):
        with pytest.raises(nf.InputError, match=rf"autotrans\.a: winding 2 is at tap={tap}, .*0\.9 to maxtap=1\.1"):
            nf.Feeder.from_opendss(written(tmp_path, auto + tap))
    assert nf.Feeder.from_opendss(written(tmp_path, f"{auto}1.2 maxtap=1.25")).n_load == 1
