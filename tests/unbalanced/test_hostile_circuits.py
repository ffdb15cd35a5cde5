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
