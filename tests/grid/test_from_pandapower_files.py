"""Nets in files: read as they are, and nothing in them is run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandapower as pp
import pytest
from pandapower_nets import NETWORKS, add, assert_equal_feeders, convert, small_net

import neomflex_jax as nf
from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_pandapower import fused_buses


@pytest.fixture(scope="module")
def small_json() -> str:
    return pp.to_json(small_net())


@pytest.fixture
def saved(tmp_path: Path, small_json: str) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(small_json, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["small", "cigre_mv_pv_wind", "oberrhein_south"])
def test_a_saved_net_is_the_net(name: str, tmp_path: Path) -> None:
    net = small_net() if name == "small" else NETWORKS[name]()
    pp.runpp(net)
    pp.to_json(net, str(tmp_path / "mine.json"))
    for path in (tmp_path / "mine.json", str(tmp_path / "mine.json")):
        feeder = convert(path)
        assert feeder.name == "mine"
        assert_equal_feeders(feeder, convert(net), 1e-12)
    assert fused_buses(tmp_path / "mine.json") == fused_buses(net)


def test_an_error_in_a_file_names_the_file(tmp_path: Path) -> None:
    net = small_net()
    add("ssc", 7, 0.1, 1.0)(net)
    pp.to_json(net, str(tmp_path / "mine.json"))
    with pytest.raises(InputError, match=r"mine\.json: net\.ssc 0 is in service"):
        convert(tmp_path / "mine.json")


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the tables of a saved net."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content["_object"])
    path.write_text(json.dumps(content), encoding="utf-8")


def command(path: Path) -> dict[str, Any]:
    """What an old reader would run: it leaves a file behind."""
    return {"_module": "os", "_class": "system", "_object": f"touch {path.parent / 'ran'}"}


def in_table(path: Path, cell: Any) -> None:
    def change(tables: dict[str, Any]) -> None:
        table = json.loads(tables["load"]["_object"])
        table["data"][0][0] = cell
        tables["load"]["_object"] = json.dumps(table)

    rewrite(path, change)


def with_table(path: Path, content: Any, **fields: Any) -> None:
    rewrite(path, lambda tables: tables["load"].update(_object=content, **fields))


def escaped_class(path: Path) -> None:
    rewrite(path, lambda tables: tables.update(x=command(path)))
    escaped = path.read_text(encoding="utf-8").replace('"_module": "os"', '"\\u005fmodule": "os"')
    assert "u005f" in escaped
    path.write_text(escaped, encoding="utf-8")


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a class": (lambda path: rewrite(path, lambda t: t.update(x=command(path))), "names the class os.system"),
    "a class beside the tables": (
        lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"x": command(path)})),
        "x names the class os.system",
    ),
    "a class in escapes": (escaped_class, "names the class os.system"),
    "a class deep down": (
        lambda path: rewrite(path, lambda t: t["std_types"].update(x=[{"y": [command(path)]}])),
        "std_types names the class os.system",
    ),
    "a class in a table": (lambda path: in_table(path, command(path)), "load names the class os.system"),
    "a class in a series": (
        lambda path: rewrite(
            path,
            lambda t: t.update(
                x={"_module": "pandas", "_class": "Series", "_object": json.dumps({"data": [command(path)]})}
            ),
        ),
        "names the class os.system",
    ),
    "a function": (
        lambda path: rewrite(path, lambda t: t.update(x={"_module": "os", "_class": "function", "_object": "getcwd"})),
        "names the class os.function",
    ),
    "a builtin": (
        lambda path: rewrite(path, lambda t: t.update(x={"_module": "builtins", "_class": "eval", "_object": "1"})),
        "names the class builtins.eval",
    ),
    "a pandapower class": (
        lambda path: rewrite(
            path, lambda t: t.update(x={"_module": "pandapower.control", "_class": "ConstControl", "_object": "{}"})
        ),
        "names the class pandapower.control.ConstControl",
    ),
    "a net in a net": (
        lambda path: rewrite(
            path,
            lambda t: t.update(x={"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": "{}"}),
        ),
        "names the class pandapower.auxiliary.pandapowerNet",
    ),
    "half a class": (lambda path: rewrite(path, lambda t: t.update(x={"_class": "DataFrame"})), "names the class None"),
    "a class by its state": (
        lambda path: rewrite(
            path, lambda t: t.update(x={"_module": "pandas", "_class": "DataFrame", "_state": {}, "_object": "{}"})
        ),
        "names the class pandas.DataFrame",
    ),
    "a class that is a list": (
        lambda path: rewrite(path, lambda t: t.update(x={"_module": ["os"], "_class": {}, "_object": "{}"})),
        "names the class",
    ),
    "a path": (lambda path: with_table(path, str(path)), "load holds no table but .*a path or a link"),
    "a link": (lambda path: with_table(path, "https://example.org/x.json"), "load holds no table but 'https"),
    "a link in quotes": (lambda path: with_table(path, '"https://example.org"'), "load holds no table"),
    "a table that is none": (lambda path: with_table(path, ["/etc/passwd"]), "load holds no table"),
    "a table cut short": (lambda path: with_table(path, '{"columns":['), "not JSON, or cut short"),
    "a field for pandas": (lambda path: with_table(path, "{}", storage_options={}), "a field 'storage_options'"),
    "one name twice": (
        lambda path: path.write_text('{"_module": "os", ' + path.read_text(encoding="utf-8").lstrip()[1:]),
        "one name twice",
    ),
    "one name twice in a table": (
        lambda path: with_table(path, '{"columns":[],"index":[],"data":[],"data":[{"a":1}]}'),
        "one name twice",
    ),
    "a deep nest": (lambda path: path.write_text("[" * 200_000), "not JSON"),
    "cut short": (lambda path: path.write_text(path.read_text(encoding="utf-8")[:-500]), "not JSON, or cut short"),
    "empty": (lambda path: path.write_text(""), "not JSON"),
    "words": (lambda path: path.write_text("bus,vn_kv\n1,20\n"), "not JSON"),
    "other JSON": (lambda path: path.write_text('{"type": "FeatureCollection"}'), "no pandapower net"),
    "a list": (lambda path: path.write_text("[1, 2]"), "no pandapower net"),
    "an old net": (lambda path: path.write_text('{"bus": {}, "line": {}}'), "one of an old format"),
    "no bus table": (lambda path: rewrite(path, lambda t: t.pop("bus")), "no pandapower net"),
    "not text": (lambda path: path.write_bytes(b"\xfe{}"), "save it as UTF-8"),
    "a pickle by another name": (lambda path: path.write_bytes(b"\x80\x04K\x01."), "a pickle runs code"),
    "a table of the wrong shape": (lambda path: with_table(path, '{"columns":["a"],"data":[[1,2]]}'), "mine.json: "),
    "a newer net": (
        lambda path: rewrite(path, lambda t: t.update(version="99.0.0", format_version="99.0.0")),
        "pandapower cannot read this net",
    ),
    "no file": (lambda path: path.unlink(), "no such file"),
}


@pytest.mark.parametrize("is_hostile", [False, True])
def test_controllers_of_a_file_are_rows_and_their_objects_are_never_made(saved: Path, is_hostile: bool) -> None:
    net = small_net()
    net.trafo[["tap_side", "tap_changer_type"]] = ("hv", "Ratio")
    net.trafo[["tap_neutral", "tap_min", "tap_max", "tap_pos", "tap_step_percent"]] = (0, -2, 2, 0, 2.5)
    pp.control.DiscreteTapControl(net, net.trafo.index[0], 0.99, 1.01)
    pp.control.ConstControl(net, "load", "p_mw", 0)
    pp.to_json(net, str(saved))
    if is_hostile:
        text = re.sub(r"pandapower\.control[.\w]*", "os", saved.read_text(encoding="utf-8"))
        saved.write_text(text.replace("ConstControl", "system"), encoding="utf-8")
    with pytest.warns(UserWarning, match=r"net.controller 0 is in service and does not act"):
        feeder = nf.Feeder.from_pandapower(saved)
    assert_equal_feeders(feeder, convert(net, feeder.name), 0)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_broken_file_is_refused_and_runs_nothing(name: str, saved: Path) -> None:
    change, message = HOSTILE[name]
    change(saved)
    with pytest.raises(InputError, match=message) as refused:
        convert(saved)
    assert str(refused.value).startswith(str(saved))
    assert not (saved.parent / "ran").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net.p", "a pickle runs code"),
        ("net.pkl", "a pickle runs code"),
        ("net.pickle", "to_json"),
        ("net.xlsx", "from_excel"),
        ("net.sqlite", "from_sqlite"),
        ("net.m", "only .json is read"),
        ("net", "only .json is read"),
    ],
)
def test_only_json_is_read(name: str, message: str, saved: Path) -> None:
    path = saved.rename(saved.parent / name)
    with pytest.raises(InputError, match=message):
        convert(path)


def test_a_folder_is_no_net(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder, no file"):
        convert(tmp_path)


def test_a_huge_file_is_not_read(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neomflex_jax.grid.from_pandapower.json_file.MAX_BYTES", 1000)
    with pytest.raises(InputError, match="larger than"):
        convert(saved)


def test_an_unchecked_reader_is_not_used(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pp, "__version__", "3.5.3")
    with pytest.raises(InputError, match=r"pandapower 3\.5\.3 reads JSON without checking it; install 3\.5\.4"):
        convert(saved)


def test_importing_the_reader_does_not_import_pandapower() -> None:
    program = "import sys, neomflex_jax.grid.from_pandapower; assert 'pandapower' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
