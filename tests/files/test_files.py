"""One reader a format: byte order marks, bounds on what a file may announce, and one sentence for all else."""

import io
import json
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.errors import InputError, shown, unknown_name
from neomflex_jax.files.json_values import parse_json, read_json
from neomflex_jax.files.stored_arrays import Wanted, open_arrays
from neomflex_jax.files.tables import read_table
from neomflex_jax.files.text import read_text
from neomflex_jax.files.toml_lines import read_toml
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.resources import scenario_folder
from neomflex_jax.scenario.parts import Territory

NEOM33 = (scenario_folder() / "neom33.toml").read_text(encoding="utf-8")
FEEDER = {
    "buses.csv": "bus,vn_kv,p_mw,q_mvar\n1,12.66,0,0\n2,12.66,0.5,0.2\n",
    "branches.csv": "from_bus,to_bus,r_ohm,x_ohm,in_service\n1,2,0.5,0.4,1\n",
    "feeder.toml": "slack_bus = 1\n",
}


def refusal(read, path: Path) -> str:
    """What a reader says of a file."""
    with pytest.raises(InputError) as caught:
        read(path)
    assert len(str(caught.value)) < 2000
    return str(caught.value)


# ---- texts ----


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_any_text(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(NEOM33, encoding=encoding)
    assert nf.load_scenario(tmp_path / "s.toml") == nf.load_scenario("neom33")
    (tmp_path / "t.csv").write_text("a,b\n1,é\n", encoding=encoding)
    assert list(read_table(tmp_path / "t.csv", ("a",)).columns) == ["a", "b"]
    (tmp_path / "j.json").write_text('{"a": "é"}', encoding=encoding)
    assert read_json(tmp_path / "j.json") == {"a": "é"}
    for name, text in FEEDER.items():
        (tmp_path / name).write_text(text, encoding=encoding)
    assert nf.Feeder.from_csv(tmp_path).bus_labels == (1, 2)


def test_what_is_no_text_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"steps,seconds\n1,\xf2\n")
    assert "save it as UTF-8" in refusal(lambda path: read_table(path, ("steps",)), tmp_path / "t.csv")
    (tmp_path / "large.txt").write_text("x" * 100)
    assert "too large" in refusal(lambda path: read_text(path, most_bytes=99), tmp_path / "large.txt")
    for path in (tmp_path / "none", tmp_path / ("a" * 3000), tmp_path / "a\0b"):
        assert "no such file" in refusal(read_text, path)
    assert "is a folder" in refusal(read_text, tmp_path)


# ---- numbers, names and nests of any size ----


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (NEOM33.replace("step_hours = 0.5", f"step_hours = {'9' * 5000}"), "not a TOML file"),
        (NEOM33.replace("step_hours = 0.5", f"step_hours = {'9' * 400}"), "too large for an integer"),
        (NEOM33.replace("step_hours = 0.5", "step_hours = 1e300"), "step_hours = 1e+300 is too large"),
        ("a = " + "[" * 500 + "]" * 500, "more than 100 deep"),
        ("a = " + "[" * 150 + "]" * 150, "more than 100 deep"),
        ("a." * 5000 + "a = 1", "a key of more than 50 parts"),
        (NEOM33.replace('"training"', '"' + "a" * 3000 + '"'), "no such file"),
        (NEOM33.replace('"case33bw"', '"' + "a" * 3000 + '"'), "unknown feeder"),
        ("a" * 100_000 + " = 1\n" + NEOM33, "unknown field 'aaa"),
    ],
)
def test_a_scenario_of_monstrous_size_is_refused_in_a_sentence(text: str, says: str, tmp_path: Path) -> None:
    assert text != NEOM33
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    assert says in refusal(nf.make, tmp_path / "s.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "more than 100 deep"),
        ("[" * 101 + "]" * 101, "more than 100 deep"),
        ("9" * 400, "too large for an integer"),
        ("9" * 5000, "not JSON"),
        ('{"a": 1, "b": {"a": 1, "a": 2}}', "one name twice, 'a'"),
        (r'["\ud800"]', "not JSON"),
        ('{"a": 1', "not JSON, or cut short"),
    ],
)
def test_json_of_any_kind_is_read_or_refused_in_a_sentence(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "j.json").write_text(text, encoding="utf-8")
    assert says in refusal(read_json, tmp_path / "j.json")
    assert parse_json("here", "[" * 100 + "]" * 100) and parse_json("here", r'["\ud83d\ude00"]') == ["\U0001f600"]


def test_a_value_that_cannot_be_written_is_named_all_the_same() -> None:
    with pytest.raises(InputError, match="step_hours = a value of type int too long to write is too large"):
        nf.load_scenario("neom33", step_hours=10**5000)
    assert len(shown([["x" * 1000] * 1000] * 1000)) <= 400
    assert len(str(unknown_name("field", "x" * 10**6, ["y" * 10**6] * 1000))) < 20_000


def test_a_column_given_twice_is_refused_where_it_is_kept(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,x,x\n1,2,3\n")
    assert "column 'x' is given 2 times" in refusal(lambda path: read_table(path, ("a",)), tmp_path / "t.csv")
    assert list(read_table(tmp_path / "t.csv", ("a",), others=False).columns) == ["a"]


def test_a_header_that_is_far_wider_than_its_rows_costs_no_memory(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a" + "".join(f",c{index}" for index in range(20_000)) + "\n" + "1\n" * 2000)
    tracemalloc.start()
    assert "far shorter than the header" in refusal(lambda path: read_table(path, ("a",)), tmp_path / "t.csv")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


# ---- arrays ----


def stored(path: Path, method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def as_npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


THREE = Wanted("f", (3,))


def read_a(path: Path, wanted: Wanted = THREE, most: int = 10**6) -> np.ndarray:
    with open_arrays(path, "test") as arrays:
        return arrays.read("a", wanted, most)


@pytest.mark.parametrize("array", [np.arange(3.0), np.arange(3, dtype=">f4"), np.ones((2, 0)), np.eye(3)[:, :2].T])
def test_arrays_come_back_as_they_were(array: np.ndarray, tmp_path: Path) -> None:
    found = read_a(stored(tmp_path / "a.npz", a=as_npy(array)), Wanted("f", array.shape))
    np.testing.assert_array_equal(found, array)
    assert found.dtype.isnative and found.flags.writeable


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_without_bounds_are_not_opened(method: int, tmp_path: Path) -> None:
    assert "neither stored nor deflated" in refusal(read_a, stored(tmp_path / "a.npz", method, a=as_npy(np.ones(3))))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (as_npy(np.ones(4)), r"must hold floats of shape (3)"),
        (as_npy(np.ones((3, 1))), r"must hold floats of shape (3)"),
        (as_npy(np.ones(3, int)), "must hold floats"),
        (as_npy(np.ones(3, complex)), "none that NumPy writes"),
        (as_npy(np.ones(3, np.float16)), "none that NumPy writes"),
        (as_npy(np.ones(3)).replace(b"(3,)", b"(3,"), "none that NumPy writes"),
        (as_npy(np.ones(3)) + b"more", "another size than its header says"),
        (as_npy(np.ones(3))[:-1], "another size than its header says"),
        (as_npy(np.ones(3))[:9], "cut off"),
        (b"", "cut off"),
        (as_npy(np.array([print], object)), "none that NumPy writes"),
    ],
)
def test_another_array_than_wanted_is_named(content: bytes, says: str, tmp_path: Path) -> None:
    assert says in refusal(read_a, stored(tmp_path / "a.npz", a=content))


def test_a_truth_value_is_true_or_false(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.npz", a=as_npy(np.array([True, False])).replace(b"\x01\x00", b"\x02\x00"))
    content = as_npy(np.array([True, False]))
    stored(path, a=content[:-2] + b"\x02\x00")
    assert "neither true nor false" in refusal(lambda path: read_a(path, Wanted("b", (2,))), path)


@pytest.mark.parametrize("declared", [1000, 2**31])
def test_nothing_is_inflated_beyond_what_the_array_should_hold(declared: int, tmp_path: Path) -> None:
    """256 MB of zeros in a member that declares another size, and a header that announces what it likes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**25,)})
    press = zlib.compressobj(wbits=-15)
    data = b"".join(
        [press.compress(header.getvalue()), *(press.compress(bytes(2**20)) for _ in range(256)), press.flush()]
    )
    name = b"a.npy"
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, 0, len(data), declared, len(name), 0) + name + data
    entry = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 33, 0, len(data), declared, len(name), 0, 0, 0, 0, 0, 0
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry + name), len(local), 0)
    (tmp_path / "a.npz").write_bytes(local + entry + name + end)
    tracemalloc.start()
    for wanted in (Wanted("f", (3,)), Wanted("f", (None,))):
        refusal(lambda path, wanted=wanted: read_a(path, wanted), tmp_path / "a.npz")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_names_given_twice_and_arrays_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", as_npy(np.ones(3)))
        archive.writestr("a.npy", as_npy(np.zeros(3)))
    assert "given twice" in refusal(read_a, tmp_path / "a.npz")
    assert "array 'a' is missing" in refusal(read_a, stored(tmp_path / "b.npz", b=b""))
    assert "no such file" in refusal(read_a, tmp_path / "c.npz")


# ---- no check costs more than the size times its logarithm ----


class Counted(int):
    """A bus number that counts how often it is compared or looked up."""

    asked = 0

    def __eq__(self, other: object) -> bool:
        Counted.asked += 1
        return int(self) == other

    def __hash__(self) -> int:
        Counted.asked += 1
        return int.__hash__(self)


def test_a_territory_of_many_buses_is_checked_in_a_few_looks_at_each() -> None:
    Counted.asked = 0
    buses = tuple(Counted(bus) for bus in range(5000))
    Territory("a", buses)
    assert Counted.asked < 10 * len(buses)
    with pytest.raises(InputError, match="names bus 7 twice"):
        Territory("a", (*buses, Counted(7)))
    assert Counted.asked < 30 * len(buses)


def test_a_scenario_of_many_agents_and_devices_is_checked_in_a_few_looks_at_each() -> None:
    scenario = nf.load_scenario("neom33")
    battery, n = scenario.batteries[0], 2000
    buses = [Counted(100 + index) for index in range(n)]
    values = scenario.as_dict()
    values["territories"] = [{"agent": f"agent_{index}", "buses": [bus]} for index, bus in enumerate(buses)]
    values["batteries"] = [vars(battery) | {"bus": bus, "name": ""} for bus in buses]
    values["pv_inverters"] = values["flexible_loads"] = []
    Counted.asked = 0
    many = nf.scenario.load.scenario_from_dict(values, "many")
    many.observation_layout()
    assert Counted.asked < 60 * n


def test_a_feeder_of_many_buses_that_are_one_is_checked_in_a_few_looks_at_each() -> None:
    labels = [Counted(bus) for bus in [*range(5000), *range(5000)]]
    Counted.asked = 0
    branches = [(0, 1)]
    with pytest.raises(InputError, match="listed more than once"):
        build_feeder(
            name="many",
            bus_labels=labels,
            vn_kv=np.ones(10_000),
            load_p_mw=np.ones(10_000),
            load_q_mvar=np.ones(10_000),
            branches=branches,
            r_ohm=[1.0],
            x_ohm=[1.0],
        )
    assert Counted.asked < 20 * len(labels)


def test_long_dotted_keys_never_reach_the_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library's takes the square of their parts."""
    monkeypatch.setattr("neomflex_jax.files.toml_lines.tomllib.loads", lambda text: pytest.fail("it was parsed"))
    for key in ("a." * 60 + "a", '"a b" . ' * 60 + "a", "[" + "'x'." * 60 + "a]"):
        (tmp_path / "s.toml").write_text(f"{key} = 1\n")
        assert "more than 50 parts" in refusal(read_toml, tmp_path / "s.toml")


def test_json_written_by_us_is_read(tmp_path: Path) -> None:
    values = {"a": [1, 2.5, None, True, "é\U0001f600"], "b": {"c": -(2**63) + 1}}
    (tmp_path / "j.json").write_text(json.dumps(values), encoding="utf-8")
    assert read_json(tmp_path / "j.json") == values
