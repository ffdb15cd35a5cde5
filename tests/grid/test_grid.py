"""Feeders: what the packaged one holds, what a folder of files may hold, and how each mistake in it is reported."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import GOLDEN

import neomflex_jax as nf
from neomflex_jax.grid import feeder_names
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.grid.parts import summarise_labels
from neomflex_jax.grid.territories import layout_territories, pad
from neomflex_jax.grid.topology import path_matrix, spanning_tree

WriteFeeder = Callable[..., Path]
PUBLISHED = json.loads((GOLDEN / "feeders.json").read_text(encoding="utf-8"))
LOW_VOLTAGE = json.loads((GOLDEN / "low_voltage_feeders.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_packaged_feeders_have_the_published_sizes_and_loads(name: str) -> None:
    golden, feeder = PUBLISHED[name], nf.load_feeder(name)
    closed = feeder.topology.in_service
    assert feeder.n_bus == golden["n_bus"]
    assert sum(closed) == golden["n_branch_in_service"]
    assert len(closed) - sum(closed) == golden["n_open_ties"]
    assert (feeder.vn_kv == golden["vn_kv"]).all()
    assert feeder.topology.slack == golden["slack_bus"] - 1
    assert feeder.load_p_mw.sum() == pytest.approx(golden["load_p_mw"], rel=1e-14)
    assert feeder.load_q_mvar.sum() == pytest.approx(golden["load_q_mvar"], rel=1e-14)
    assert feeder.charging is None and feeder.transformers is None and feeder.shunts is None


@pytest.mark.parametrize("name", PUBLISHED)
def test_packaged_feeders_keep_the_numbers_that_their_users_know(name: str) -> None:
    first = 0 if name == "case33bw" else 1  # pandapower's numbers, the publications' numbers
    feeder = nf.load_feeder(name)
    assert feeder.bus_labels == tuple(range(first, first + feeder.n_bus))


@pytest.mark.parametrize("name", PUBLISHED)
def test_packaged_feeders_answer_the_golden_numbers_exactly(name: str, float64: None) -> None:
    golden, feeder = PUBLISHED[name], nf.load_feeder(name)
    flow = nf.power_flow(feeder, -feeder.load_p_mw, -feeder.load_q_mvar)
    coarse = name in ("case33bw", "case141")  # there the reference stopped earlier; see golden/README.md
    loss_kvar = 1e3 * (float(flow.slack_q_mvar) - feeder.load_q_mvar.sum())
    assert float(flow.vm_pu.min()) == pytest.approx(golden["vm_min_pu"], abs=5e-9 if coarse else 1e-9)
    assert 1e3 * float(flow.loss_mw) == pytest.approx(golden["loss_kw"], abs=2e-5 if coarse else 1e-6)
    assert loss_kvar == pytest.approx(golden["loss_kvar"], abs=2e-5 if coarse else 1e-6)


def test_every_packaged_feeder_is_published() -> None:
    assert set(feeder_names()) == set(PUBLISHED) | set(LOW_VOLTAGE)
    for name in feeder_names():
        assert nf.load_feeder(name).name == name


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_feeders_are_never_reported_as_rated(name: str) -> None:
    assert np.isnan(nf.load_feeder(name).max_i_ka).all()  # the sources publish no ratings


def test_a_folder_gives_the_same_feeder_by_either_way_in(feeder_folder: WriteFeeder) -> None:
    folder = feeder_folder()
    first, second = nf.Feeder.from_csv(folder), nf.load_feeder(folder)
    assert first.topology == second.topology
    assert first.bus_labels == second.bus_labels == (10, 20, 30, 40)
    np.testing.assert_array_equal(first.r_ohm, second.r_ohm)


def test_the_first_row_is_the_slack_unless_the_settings_name_another(feeder_folder: WriteFeeder) -> None:
    assert nf.Feeder.from_csv(feeder_folder()).topology.slack == 0
    feeder = nf.Feeder.from_csv(feeder_folder(settings="slack_bus = 30\nslack_vm_pu = 1.02\n"))
    assert feeder.topology.slack == 2
    assert feeder.slack_vm_pu == 1.02


def test_ratings_are_read_where_the_column_is_there(feeder_folder: WriteFeeder) -> None:
    rated = "from_bus,to_bus,r_ohm,x_ohm,in_service,max_i_ka\n10,20,.5,.4,1,0.2\n20,30,.6,.3,1,0.1\n20,40,.7,.2,1,0.3\n"
    np.testing.assert_array_equal(nf.Feeder.from_csv(feeder_folder(branches=rated)).max_i_ka, [0.2, 0.1, 0.3])


def test_path_matrix_lists_the_branches_to_the_slack_with_their_direction(feeder_folder: WriteFeeder) -> None:
    branches = "from_bus,to_bus,r_ohm,x_ohm,in_service\n20,10,.5,.4,1\n20,30,.6,.3,1\n40,30,1,1,0\n20,40,.7,.2,1\n"
    topology = nf.Feeder.from_csv(feeder_folder(branches=branches)).topology
    np.testing.assert_array_equal(path_matrix(topology), [[-1, 0, 0, 0], [-1, 1, 0, 0], [-1, 0, 0, 1]])


BUSES = "bus,vn_kv,p_mw,q_mvar\n"
BRANCHES = "from_bus,to_bus,r_ohm,x_ohm,in_service\n"
GOOD_BUSES = BUSES + "10,12.66,0,0\n20,12.66,1,0.5\n30,12.66,1,0.5\n"
GOOD_BRANCHES = BRANCHES + "10,20,0.5,0.4,1\n20,30,0.6,0.3,1\n"


BROKEN = {  # what is wrong: buses.csv, branches.csv, and what the message must say
    "missing column": ("bus,vn_kv,p_mw\n10,12.66,0\n", GOOD_BRANCHES, ["buses.csv", "'q_mvar'", "missing"]),
    "NaN": (GOOD_BUSES.replace("20,12.66,1,", "20,12.66,nan,"), GOOD_BRANCHES, ["buses.csv", "line 3", "'p_mw'"]),
    "empty cell": (GOOD_BUSES, GOOD_BRANCHES.replace("0.6", ""), ["branches.csv", "line 3", "'r_ohm'"]),
    "no number": (GOOD_BUSES, GOOD_BRANCHES.replace("0.3", "low"), ["line 3", "'x_ohm'", "'low'"]),
    "infinite": (GOOD_BUSES, GOOD_BRANCHES.replace("0.3", "inf"), ["line 3", "'x_ohm'", "'inf'"]),
    "half a bus number": (GOOD_BUSES.replace("30,", "30.5,"), GOOD_BRANCHES, ["line 4", "'bus'", "30.5", "whole"]),
    "duplicate bus": (GOOD_BUSES + "20,12.66,0,0\n", GOOD_BRANCHES, ["bus 20", "more than once"]),
    "unknown bus": (GOOD_BUSES, GOOD_BRANCHES.replace("20,30", "20,99"), ["20-99", "bus 99"]),
    "self-loop": (GOOD_BUSES, GOOD_BRANCHES + "30,30,1,1,1\n", ["loop on its own bus", "30-30"]),
    "open branch": (GOOD_BUSES, GOOD_BRANCHES.replace("0.3,1", "0.3,0"), ["not connected", "bus 30", "slack bus 10"]),
    "zero impedance": (
        GOOD_BUSES,
        GOOD_BRANCHES.replace("0.6,0.3", "0,0"),
        ["20-30", "x_ohm = 0", "one of them above", "merge"],
    ),
    "negative r": (GOOD_BUSES, GOOD_BRANCHES.replace("0.6", "-0.6"), ["20-30", "r_ohm = -0.6"]),
    "two voltage levels": (
        GOOD_BUSES.replace("30,12.66", "30,0.4"),
        GOOD_BRANCHES,
        ["branch 20-30", "one voltage level", "`ratio`"],
    ),
    "no voltage level": (
        GOOD_BUSES.replace("12.66", "0"),
        GOOD_BRANCHES,
        ["my_feeder", "bus 10", "vn_kv = 0", "above 0"],
    ),
    "one bus only": (BUSES + "10,12.66,0,0\n", BRANCHES, ["at least two buses"]),
    "half in service": (GOOD_BUSES, GOOD_BRANCHES.replace("0.3,1", "0.3,0.5"), ["line 3", "'in_service'"]),
    "empty file": ("", GOOD_BRANCHES, ["buses.csv", "not a readable CSV"]),
}


LOOPS = {"ring": "30,10,1,1,1\n", "doubled branch": "20,30,1,1,1\n"}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_is_a_feeder_too(feeder_folder: WriteFeeder, loop: str) -> None:
    feeder = nf.Feeder.from_csv(feeder_folder(buses=GOOD_BUSES, branches=GOOD_BRANCHES + LOOPS[loop]))
    assert not feeder.topology.is_radial
    assert len(spanning_tree(feeder.topology).loop_branches) == 1


def test_two_voltage_levels_need_a_transformer(feeder_folder: WriteFeeder) -> None:
    buses = GOOD_BUSES.replace("30,12.66", "30,0.4")
    branches = GOOD_BRANCHES.replace("in_service", "in_service,ratio").replace(",1\n", ",1,1\n")
    feeder = nf.Feeder.from_csv(feeder_folder(buses=buses, branches=branches))
    np.testing.assert_array_equal(feeder.vn_kv, [12.66, 12.66, 0.4])
    assert feeder.transformers is not None
    np.testing.assert_allclose(feeder.transformers.rated_ratio, [1.0, 12.66 / 0.4])


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_mistake_in_the_files_is_named(feeder_folder: WriteFeeder, mistake: str) -> None:
    buses, branches, says = BROKEN[mistake]
    with pytest.raises(nf.InputError) as caught:
        nf.Feeder.from_csv(feeder_folder(buses=buses, branches=branches))
    for part in says:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("slak_bus = 10", ["slak_bus", "slack_bus", "Did you mean"]),
        ("slack_bus = 99", ["slack_bus 99", "10, 20"]),
        ('slack_bus = "10"', ["slack_bus", "must be a number"]),
        ("slack_bus = true", ["slack_bus", "must be a number"]),
        ("slack_vm_pu = 12.66", ["slack_vm_pu", "0.5 to 1.5"]),
        ("slack_vm_pu = nan", ["slack_vm_pu", "0.5 to 1.5"]),
        ("slack_bus 10", ["feeder.toml", "not a TOML file"]),
    ],
)
def test_a_mistake_in_the_settings_is_named(feeder_folder: WriteFeeder, settings: str, says: list[str]) -> None:
    with pytest.raises(nf.InputError) as caught:
        nf.Feeder.from_csv(feeder_folder(settings=settings))
    for part in says:
        assert part in str(caught.value)


@pytest.mark.parametrize("rating", ["0", "-0.2"])
def test_a_rating_that_is_not_positive_is_refused(feeder_folder: WriteFeeder, rating: str) -> None:
    rated = "from_bus,to_bus,r_ohm,x_ohm,in_service,max_i_ka\n10,20,.5,.4,1,0.2\n20,30,.6,.3,1,0.1\n20,40,.7,.2,1,"
    with pytest.raises(nf.InputError, match="max_i_ka"):
        nf.Feeder.from_csv(feeder_folder(branches=f"{rated}{rating}\n"))


def test_more_cells_than_the_header_has_are_refused_and_not_shifted(feeder_folder: WriteFeeder) -> None:
    shifted = BUSES + "0,10,12.66,0,0\n1,20,12.66,1,0.5\n2,30,12.66,1,0.5\n"
    with pytest.raises(nf.InputError, match="line 2"):
        nf.Feeder.from_csv(feeder_folder(buses=shifted, branches=GOOD_BRANCHES))


def test_a_column_given_twice_is_refused(feeder_folder: WriteFeeder) -> None:
    twice = GOOD_BUSES.replace("q_mvar", "q_mvar,p_mw").replace(",0\n", ",0,9\n").replace(",0.5\n", ",0.5,9\n")
    with pytest.raises(nf.InputError, match="p_mw"):
        nf.Feeder.from_csv(feeder_folder(buses=twice, branches=GOOD_BRANCHES))


def test_lines_are_counted_as_an_editor_counts_them(feeder_folder: WriteFeeder) -> None:
    with pytest.raises(nf.InputError, match="line 4"):
        nf.Feeder.from_csv(feeder_folder(branches=GOOD_BRANCHES.replace("\n20,30,0.6", "\n\n20,30,much")))


def test_a_missing_file_or_folder_is_named(feeder_folder: WriteFeeder, tmp_path: Path) -> None:
    folder = feeder_folder()
    (folder / "branches.csv").unlink()
    with pytest.raises(nf.InputError, match=r"branches\.csv: no such file"):
        nf.Feeder.from_csv(folder)
    with pytest.raises(nf.InputError, match="no such feeder folder"):
        nf.Feeder.from_csv(tmp_path / "nowhere")


def test_an_unknown_feeder_lists_the_known_ones() -> None:
    with pytest.raises(nf.InputError, match=r"case33wb.*known: .*case33bw.*Did you mean 'case33bw'"):
        nf.load_feeder("case33wb")


def test_a_label_that_is_no_bus_lists_the_buses(case33bw: nf.Feeder) -> None:
    with pytest.raises(nf.InputError, match=r"no bus 33; its buses: 0, 1, 2"):
        case33bw.bus_position(33)


def test_a_long_list_of_labels_is_cut() -> None:
    assert summarise_labels([1, 2]) == "1, 2"
    assert summarise_labels(range(20), most=3) == "0, 1, 2, ... (20 in all)"


# ---- territories ----


def small_feeder() -> nf.Feeder:
    """Three buses with labels that are no positions, the slack in the middle of the list."""
    return build_feeder(
        name="small",
        bus_labels=[7, 3, 5],
        vn_kv=[10.0] * 3,
        load_p_mw=[0.1] * 3,
        load_q_mvar=[0.0] * 3,
        branches=[(3, 7), (3, 5)],
        r_ohm=[0.1, 0.2],
        x_ohm=[0.1, 0.2],
        in_service=[True, True],
        slack_bus=3,
    )


def test_territories_turn_labels_into_positions() -> None:
    layout = layout_territories(
        small_feeder(), [("a", (5, 3)), ("b", (7,))], {"batteries": (7, 5), "pv_inverters": (5,)}
    )
    np.testing.assert_array_equal(layout.buses[0], [2, 1])
    np.testing.assert_array_equal(layout.buses[1], [0])
    np.testing.assert_array_equal(layout.device_bus["batteries"], [0, 2])
    np.testing.assert_array_equal(layout.devices["batteries"][0], [1])
    np.testing.assert_array_equal(layout.devices["batteries"][1], [0])
    np.testing.assert_array_equal(layout.devices["pv_inverters"][0], [0])
    assert layout.devices["pv_inverters"][1].size == 0


def test_the_slack_counts_in_the_share_of_losses_but_not_in_the_voltages() -> None:
    layout = layout_territories(small_feeder(), [("a", (5, 3)), ("b", (7,))], {})
    np.testing.assert_allclose(layout.bus_share, [2 / 3, 1 / 3])
    np.testing.assert_array_equal(layout.membership, [[0, 0, 1], [1, 0, 0]])


def test_a_bus_in_nobodys_territory_is_named() -> None:
    with pytest.raises(nf.InputError, match=r"bus 3 of feeder 'small' is in nobody's territory"):
        layout_territories(small_feeder(), [("a", (5,)), ("b", (7,))], {})


def test_a_territory_with_a_bus_that_is_not_there_is_named() -> None:
    with pytest.raises(nf.InputError, match=r"territory of b names bus 9.*its buses: 7, 3, 5"):
        layout_territories(small_feeder(), [("a", (5, 3)), ("b", (7, 9))], {})


def test_padding_fills_short_rows_and_masks_them() -> None:
    padded, mask = pad([np.array([4]), np.array([1, 2, 3]), np.array([], int)], fill=9)
    np.testing.assert_array_equal(padded, [[4, 9, 9], [1, 2, 3], [9, 9, 9]])
    np.testing.assert_array_equal(mask, [[1, 0, 0], [1, 1, 1], [0, 0, 0]])
