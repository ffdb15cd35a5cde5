"""Feeder folders: what the optional columns mean, how mistakes in them are named, and that writing loses nothing."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neomflex_jax as nf
from neomflex_jax.grid import feeder_names
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.grid.to_csv import write_feeder

WriteFeeder = Callable[..., Path]
BUSES = "bus,vn_kv,p_mw,q_mvar,shunt_p_mw,shunt_q_mvar\n10,20,0,0,0,0\n20,20,0.5,0.2,0,-0.3\n30,0.4,0.1,0,0.01,0\n"
HEADER = "from_bus,to_bus,r_ohm,x_ohm,in_service,max_i_ka,g_us,b_us,ratio,shift_degree,rated_ratio\n"
BRANCHES = HEADER + "10,20,0.5,0.4,1,0.2,1,80,1,0,1\n20,30,0.01,0.02,1,,2,-30,1.025,150,50\n"


def assert_identical(one: nf.Feeder, other: nf.Feeder) -> None:
    """Bit for bit, and the same parts."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for own, read in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.asarray(own, np.float64).tobytes() == np.asarray(read, np.float64).tobytes()


# ---- reading ----


def test_every_optional_column_is_read(feeder_folder: WriteFeeder) -> None:
    feeder = nf.Feeder.from_csv(feeder_folder(buses=BUSES, branches=BRANCHES))
    assert feeder.charging is not None and feeder.transformers is not None and feeder.shunts is not None
    np.testing.assert_array_equal(feeder.vn_kv, [20, 20, 0.4])
    np.testing.assert_array_equal(feeder.max_i_ka, [0.2, np.nan])
    np.testing.assert_array_equal(feeder.charging.g_us, [1, 2])
    np.testing.assert_array_equal(feeder.charging.b_us, [80, -30])
    np.testing.assert_array_equal(feeder.transformers.ratio, [1, 1.025])
    np.testing.assert_array_equal(feeder.transformers.shift_degree, [0, 150])
    np.testing.assert_array_equal(feeder.transformers.rated_ratio, [1, 50])
    np.testing.assert_array_equal(feeder.shunts.p_mw, [0, 0, 0.01])
    np.testing.assert_array_equal(feeder.shunts.q_mvar, [0, -0.3, 0])


def test_a_feeders_hash_is_of_what_its_folder_holds(feeder_folder: WriteFeeder) -> None:
    folder = feeder_folder(BUSES, BRANCHES)
    one = nf.load_feeder(folder)
    found = {feeder_hash(one)}
    assert found == {feeder_hash(nf.load_feeder(folder))} == {feeder_hash(dataclasses.replace(one, name="renamed"))}
    others = [
        (BUSES, BRANCHES.replace("0.5,0.4,1,0.2", "0.500001,0.4,1,0.2")),
        (BUSES.replace("-0.3", "0.3"), BRANCHES),
    ]
    others += [(BUSES.replace("30,", "31,"), BRANCHES.replace("20,30", "20,31"))]
    for buses, branches in others:
        found.add(feeder_hash(nf.load_feeder(feeder_folder(buses, branches))))
    assert len(found) == 4


def test_a_rating_that_is_not_known_gives_no_loading(feeder_folder: WriteFeeder) -> None:
    feeder = nf.Feeder.from_csv(feeder_folder(buses=BUSES, branches=BRANCHES))
    flow = nf.power_flow(feeder, -feeder.load_p_mw, -feeder.load_q_mvar)
    assert float(flow.branch_loading_percent[0]) > 0
    assert np.isnan(flow.branch_loading_percent[1])


def test_numbers_are_read_to_the_last_digit(feeder_folder: WriteFeeder) -> None:
    digits = ["0.39894228040143264", "1.8e-05", "0.10000000000000002", "3.0000000000000004e-07"]
    rows = "".join(f"{bus},10,{digit},0\n" for bus, digit in enumerate(digits))
    branches = "from_bus,to_bus,r_ohm,x_ohm,in_service\n0,1,1,1,1\n1,2,1,1,1\n2,3,1,1,1\n"
    feeder = nf.Feeder.from_csv(feeder_folder(buses="bus,vn_kv,p_mw,q_mvar\n" + rows, branches=branches))
    assert feeder.load_p_mw.tolist() == [float(digit) for digit in digits]


BROKEN = {  # file, text, replacement, and what the message must say
    "no number": ("branches", ",80,", ",many,", ["branches.csv", "line 2", "'b_us'", "'many'"]),
    "empty ratio": ("branches", ",1.025,", ",,", ["branches.csv", "line 3", "'ratio'"]),
    "infinite rating": ("branches", ",0.2,", ",inf,", ["branches.csv", "line 2", "'max_i_ka'"]),
    "NaN for a rating": ("branches", ",0.2,", ",nan,", ["branches.csv", "line 2", "'max_i_ka'"]),
    "rating of zero": ("branches", ",0.2,", ",0,", ["my_feeder", "branch 10-20", "max_i_ka", "leave it empty"]),
    "ratio far off": ("branches", ",1.025,", ",50,", ["my_feeder", "branch 20-30", "ratio = 50", "0.5 and 2"]),
    "shunt is no number": ("buses", ",-0.3", ",x", ["buses.csv", "line 3", "'shunt_q_mvar'"]),
    "another case": ("branches", "max_i_ka", "max_i_kA", ["line 1", "'max_i_kA'", "did you mean 'max_i_ka'"]),
    "another unit": ("branches", "max_i_ka", "max_i_a", ["'max_i_a'", "did you mean 'max_i_ka'"]),
    "a word less": ("branches", "shift_degree", "shift", ["'shift'", "did you mean 'shift_degree'"]),
    "a word more": ("branches", "b_us", "b_us_per_km", ["'b_us_per_km'", "did you mean 'b_us'"]),
    "a bus column misspelt": ("buses", "shunt_q_mvar", "shunt_q_mvr", ["buses.csv", "did you mean 'shunt_q_mvar'"]),
    "given twice": ("branches", "g_us,b_us", "b_us,b_us", ["branches.csv", "'b_us'", "2 times"]),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_mistake_in_an_optional_column_is_named(feeder_folder: WriteFeeder, mistake: str) -> None:
    file, text, replacement, says = BROKEN[mistake]
    files = {"buses": BUSES, "branches": BRANCHES}
    assert text in files[file]
    with pytest.raises(nf.InputError) as caught:
        nf.Feeder.from_csv(feeder_folder(**files | {file: files[file].replace(text, replacement)}))
    for part in says:
        assert part in str(caught.value)


def test_columns_of_the_users_own_are_left_alone(feeder_folder: WriteFeeder) -> None:
    branches = BRANCHES.replace(HEADER.strip(), HEADER.strip() + ",name,r0_ohm,length_km").replace("\n", ",a,1,2\n")
    plain = nf.Feeder.from_csv(feeder_folder(buses=BUSES, branches=BRANCHES))
    with_more = branches.replace(",name,r0_ohm,length_km,a,1,2", ",name,r0_ohm,length_km")
    assert_identical(nf.Feeder.from_csv(feeder_folder(buses=BUSES, branches=with_more)), plain)


def test_a_net_file_is_a_feeder_by_its_path(tmp_path: Path) -> None:
    import pandapower
    import pandapower.networks

    path = tmp_path / "net.json"
    pandapower.to_json(pandapower.networks.case33bw(), path)
    assert nf.load_feeder(path).n_bus == 33
    with pytest.raises(nf.InputError, match=r"^\S*nowhere\.json: no such file"):
        nf.load_feeder(tmp_path / "nowhere.json")


# ---- writing ----


@pytest.mark.parametrize("name", feeder_names())
def test_packaged_feeders_survive_the_round_trip(name: str, tmp_path: Path) -> None:
    feeder = nf.load_feeder(name)
    assert_identical(nf.Feeder.from_csv(write_feeder(feeder, tmp_path / name)), feeder)


def test_columns_that_a_feeder_does_not_have_are_left_out(tmp_path: Path) -> None:
    folder = write_feeder(nf.load_feeder("case33bw"), tmp_path / "plain")
    assert (folder / "buses.csv").read_text().splitlines()[0] == "bus,vn_kv,p_mw,q_mvar"
    assert (folder / "branches.csv").read_text().splitlines()[0] == "from_bus,to_bus,r_ohm,x_ohm,in_service"
    assert (folder / "feeder.toml").read_text() == "slack_bus = 0\nslack_vm_pu = 1.0\n"


numbers = st.floats(-1e3, 1e3, allow_subnormal=False)
positive = st.floats(1e-6, 1e3)


@st.composite
def feeders(draw: Any) -> nf.Feeder:
    """Trees with some further branches, any mixture of parts, labels in no order."""
    n_bus = draw(st.integers(2, 6))
    labels = draw(st.lists(st.integers(-5, 10**6), min_size=n_bus, max_size=n_bus, unique=True))
    ends = [(labels[draw(st.integers(0, bus - 1))], labels[bus]) for bus in range(1, n_bus)]
    ties = draw(st.lists(st.tuples(st.sampled_from(labels), st.sampled_from(labels)), max_size=3))
    ties = [(a, b) for a, b in ties if a != b]
    n_branch = len(ends) + len(ties)

    def column(values: Any, size: int) -> list[float]:
        return draw(st.lists(values, min_size=size, max_size=size))

    def maybe(values: Any, size: int) -> list[float] | None:
        return column(values, size) if draw(st.booleans()) else None

    ratio = maybe(st.floats(0.5, 2), n_branch)
    return build_feeder(
        name="drawn",
        bus_labels=labels,
        vn_kv=[draw(positive)] * n_bus if ratio is None else column(positive, n_bus),
        load_p_mw=column(numbers, n_bus),
        load_q_mvar=column(numbers, n_bus),
        branches=ends + ties,
        r_ohm=column(positive, n_branch),
        x_ohm=column(positive, n_branch),
        in_service=[True] * len(ends) + column(st.booleans(), len(ties)),
        max_i_ka=maybe(positive | st.just(float("nan")), n_branch),
        g_us=maybe(positive, n_branch),
        b_us=maybe(numbers, n_branch),
        ratio=ratio,
        shift_degree=maybe(st.floats(-180, 180), n_branch),
        rated_ratio=maybe(positive, n_branch) if ratio is not None else None,
        shunt_p_mw=maybe(numbers, n_bus),
        shunt_q_mvar=maybe(numbers, n_bus),
        slack_bus=draw(st.sampled_from(labels)),
        slack_vm_pu=draw(st.floats(0.5, 1.5)),
    )


@settings(max_examples=100)
@given(feeder=feeders())
def test_any_feeder_survives_the_round_trip(feeder: nf.Feeder, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("feeders", numbered=True) / "drawn"
    assert_identical(nf.Feeder.from_csv(write_feeder(feeder, folder)), feeder)


def test_a_feeder_may_be_written_again_and_nothing_else_overwritten(tmp_path: Path) -> None:
    feeder, folder = nf.load_feeder("case69"), tmp_path / "mine"
    write_feeder(nf.load_feeder("case85"), folder)
    write_feeder(feeder, folder)
    assert nf.load_feeder(folder).n_bus == 69
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(nf.InputError, match=r"thesis\.txt"):
        write_feeder(feeder, folder)
    with pytest.raises(nf.InputError, match="is a file"):
        write_feeder(feeder, folder / "thesis.txt")
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_a_feeder_that_is_replaced_is_never_half_another(
    tmp_path: Path, case33bw: nf.Feeder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plain, other = tmp_path / "f", Path.replace, nf.load_feeder("case69")
    hashes = [feeder_hash(case33bw), feeder_hash(other)]
    for killed_at in range(20):
        write_feeder(case33bw, folder)
        left = [killed_at]

        def replace(self: Path, target: Path, left: list[int] = left) -> Path:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return plain(self, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", replace)
            try:
                write_feeder(other, folder)
                break
            except KeyboardInterrupt:
                pass
        try:
            assert feeder_hash(nf.Feeder.from_csv(folder)) in hashes
        except nf.InputError as error:
            assert "buses.csv" in str(error)
    assert killed_at > 2


def test_a_feeders_links_are_not_replaced(tmp_path: Path, case33bw: nf.Feeder) -> None:
    folder = write_feeder(case33bw, tmp_path / "f")
    (folder / "buses.csv").rename(tmp_path / "mine.csv")
    (folder / "buses.csv").symlink_to(tmp_path / "mine.csv")
    with pytest.raises(nf.InputError, match=r"buses\.csv: is a link"):
        write_feeder(case33bw, folder)
    assert (folder / "buses.csv").is_symlink()
