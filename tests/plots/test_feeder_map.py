"""The map shows the record's voltages, charges and flows at the step that its title names, with and without control."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from radial_trees import binary, radial_feeder

import neomflex_jax as nf
from neomflex_jax.commands.plot import PlotCommand
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.evaluation.tables import read_step_metrics, write_tables
from neomflex_jax.evaluation.trajectory_layout import columns_of_kind
from neomflex_jax.grid import Feeder
from neomflex_jax.plots import draw_map, save, save_day
from neomflex_jax.plots.feeder_map import FeederMap, worst_step
from neomflex_jax.plots.map_panel import MapRun

N_STEPS = 4
SCENARIO = dataclasses.replace(nf.load_scenario("neom33"), steps_per_day=N_STEPS, step_hours=6.0)


def recorded(feeder: Feeder, run: str, seed: int) -> Trajectory:
    """Make up two days of a run, whose fifth step failed; injections are those of loads alone."""
    random, rows, n = np.random.default_rng(seed), 2 * N_STEPS, feeder.n_node
    vm_pu = random.uniform(0.95, 1.05, (rows, n)).astype(np.float32)
    vm_pu[2, 17], vm_pu[4] = 0.85, np.nan
    devices = {}
    for kind in SCENARIO.kinds:
        for name in columns_of_kind(kind):
            devices[name] = random.uniform(0.2, 0.9, (rows, len(SCENARIO.of(kind)))).astype(np.float32)
    single = {name: np.zeros(rows, np.float32) for name in ("slack_p_mw", "slack_q_mvar", "residual_mva")}
    by_agent = {name: np.zeros((rows, len(SCENARIO.agents)), np.float32) for name in ("local_reward", "reward")}
    by_node = {name: np.zeros((rows, n), np.float32) for name in ("load_p_mw", "load_q_mvar", "q_injection_mvar")}
    return Trajectory(
        run=run,
        scenario=SCENARIO,
        power_flow="ac",
        nodes=feeder.nodes,
        profiles_sha256="0" * 64,
        dataset_index=np.arange(rows),
        demand=random.uniform(0.5, 1.0, rows).astype(np.float32),
        solar=np.array([0.0, 0.5, 0.5, 0.0] * 2, np.float32),
        load_q_factor=np.ones(rows, np.float32),
        observation=np.zeros((rows, len(SCENARIO.agents), 1), np.float32),
        action=np.zeros((rows, len(SCENARIO.agents), 3), np.float32),
        p_injection_mw=-random.uniform(0.01, 0.1, (rows, n)).astype(np.float32),
        price=np.zeros(rows, np.float32),
        loss_mw=np.where(np.arange(rows) == 4, np.nan, 0.1).astype(np.float32),
        converged=np.arange(rows) != 4,
        violated=np.arange(rows) == 4,
        vm_pu=vm_pu,
        devices=devices,
        **single,
        **by_agent,
        **by_node,
    )


@pytest.fixture(scope="module")
def feeder() -> Feeder:
    """Give the feeder of the runs."""
    return nf.load_feeder("case33bw")


@pytest.fixture(scope="module")
def runs(feeder: Feeder) -> tuple[Trajectory, Trajectory]:
    """Make up a run without and one with control."""
    return recorded(feeder, "baseline", 0), recorded(feeder, "controlled", 1)


def titles(figure: Figure) -> list[str]:
    """Give the titles of the maps."""
    return [axes.get_title(loc="left") for axes in figure.axes[:2]]


def test_dots_have_the_voltages_of_the_step_in_both_runs(runs: tuple[Trajectory, ...], feeder: Feeder) -> None:
    feeder_map = FeederMap(runs, feeder)
    figure = feeder_map.show(1, 2)
    for panel, run in zip(feeder_map._panels, runs, strict=True):
        np.testing.assert_array_equal(panel.dots.dots.get_array(), run.vm_pu[6])
    assert [title.split(":")[0] for title in titles(figure)] == ["without control", "with control"]
    low, high = int(runs[1].vm_pu[6].argmin()), int(runs[1].vm_pu[6].argmax())
    said = f"{runs[1].vm_pu[6].min():.3f} pu at bus {low} to {runs[1].vm_pu[6].max():.3f} at {high}"
    assert said in titles(figure)[1]
    assert figure.get_suptitle().startswith(f"neom33: day 1, 12:00  (demand {runs[0].demand[6]:.2f}, sun 0.50")


def test_the_worst_step_is_drawn_unless_one_is_named(runs: tuple[Trajectory, ...], feeder: Feeder) -> None:
    assert worst_step(runs, 0) == 2
    assert "day 0, 12:00" in draw_map(runs, feeder).get_suptitle()
    assert "day 0, 18:00" in draw_map(runs, feeder, 0, 3).get_suptitle()


def test_a_failed_power_flow_says_so(runs: tuple[Trajectory, ...], feeder: Feeder) -> None:
    assert all("power flow failed: there are no voltages" in title for title in titles(draw_map(runs, feeder, 1, 0)))


def test_flows_and_charges_are_those_of_the_record(runs: tuple[Trajectory, ...], feeder: Feeder) -> None:
    shown = MapRun.of(runs[1], feeder)
    assert shown.flow_mw is not None
    total_mw = -np.asarray(runs[1].p_injection_mw, float)[0].sum()
    assert total_mw < shown.flow_mw[0, 0] < 1.1 * total_mw, "the slack gives the loads and the losses"
    labels = [device.label for _, _, device in shown.devices]
    for index, battery in enumerate(SCENARIO.batteries):
        np.testing.assert_allclose(
            shown.filled[:, labels.index(battery.label)], runs[1].devices["battery_soc"][:, index], rtol=1e-6
        )


def test_arrows_turn_with_the_flow(runs: tuple[Trajectory, ...], feeder: Feeder) -> None:
    back = dataclasses.replace(runs[1], p_injection_mw=-runs[1].p_injection_mw)
    away, towards = (FeederMap((run,), feeder) for run in (runs[1], back))
    away.show(0, 0)
    towards.show(0, 0)
    directions = [np.sign(each._panels[0]._arrows.U[:5]) for each in (away, towards)]
    np.testing.assert_array_equal(directions, [[1.0] * 5, [-1.0] * 5])  # the slack stands on the left


@pytest.mark.parametrize(
    ("day", "step", "message"),
    [(2, None, r"run 'baseline' has no day 2; its days: 0, 1"), (0, 4, r"a day has no step 4; its steps: 0\.\.3")],
)
def test_moments_that_are_not_there_are_refused(
    day: int, step: int | None, message: str, runs: tuple[Trajectory, ...], feeder: Feeder
) -> None:
    with pytest.raises(nf.InputError, match=message):
        draw_map(runs, feeder, day, step)


def test_runs_and_feeders_that_do_not_belong_together_are_refused(runs: tuple[Trajectory, ...], feeder: Feeder) -> None:
    with pytest.raises(nf.InputError, match="recorded on other buses than those of feeder 'case69'"):
        draw_map(runs, nf.load_feeder("case69"))
    later = dataclasses.replace(runs[1], dataset_index=runs[1].dataset_index + N_STEPS)
    with pytest.raises(nf.InputError, match="are of other days or devices"):
        draw_map((runs[0], later), feeder)
    with pytest.raises(nf.InputError, match="one run, or two side by side; 3 are given"):
        draw_map((*runs, runs[0]), feeder)


def test_maps_for_print_lie_above_each_other_inside_the_page(runs: tuple[Trajectory, ...], feeder: Feeder) -> None:
    figure = draw_map(runs, feeder, stacked=True)
    figure.set_dpi(50)
    figure.canvas.draw()
    upper, lower = (axes.bbox for axes in figure.axes[:2])
    assert figure.get_figwidth() == 7.2
    assert lower.y1 <= upper.y0
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_a_large_feeder_names_some_buses_and_no_two_labels_meet(feeder: Feeder) -> None:
    from neomflex_jax.plots.feeder import draw_feeder

    large = radial_feeder(binary(600, np.random.default_rng(0)), 0)
    figure = draw_feeder(large, np.ones(large.n_node))
    labels = [text for text in figure.axes[0].texts if text.get_text()]
    assert 10 < len(labels) < 300


@pytest.fixture(scope="module")
def evaluation(runs: tuple[Trajectory, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the folder of an evaluation."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_tables(runs, folder)
    for run in runs:
        run.save(folder / f"trajectory_{run.run}.npz")
    return folder


def test_the_command_draws_a_day_and_a_step_without_a_display(
    evaluation: Path, runs: tuple[Trajectory, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    PlotCommand("map", (evaluation,), day=1, output=tmp_path / "day.gif").execute(0.0)
    with Image.open(tmp_path / "day.gif") as day:
        assert (day.format, day.n_frames) == ("GIF", N_STEPS)
    PlotCommand("map", (evaluation / "step_metrics.csv",), days=(1,), step=2, output=tmp_path / "a.svg").execute(0.0)
    ET.parse(tmp_path / "a.svg")
    for refused, message in (
        (PlotCommand("map", (evaluation,), run="other", output=tmp_path / "b.png"), "unknown run 'other'; known: base"),
        (
            PlotCommand("map", (evaluation,), days=(0, 1), output=tmp_path / "b.png"),
            "a map shows one day; --days names",
        ),
        (PlotCommand("map", (evaluation,), step=1, output=tmp_path / "b.gif"), "a whole day on screens; leave out"),
        (
            PlotCommand("map", (evaluation,), size="single", output=tmp_path / "b.png"),
            "a map needs two columns of a page",
        ),
        (PlotCommand("soc", (evaluation,), step=1, output=tmp_path / "b.png"), "takes no --step, which is for map"),
        (PlotCommand("soc", (evaluation,), output=tmp_path / "b.gif"), "the name must end in one of .png, .pdf, .svg$"),
    ):
        with pytest.raises(nf.InputError, match=message):
            refused.execute(0.0)


def test_figures_take_the_limits_of_the_scenario_that_was_played(evaluation: Path) -> None:
    figure = PlotCommand("device", (evaluation,), devices=("battery_23",), day=0).drawn()
    limits = [line.get_ydata()[0] for line in figure.axes[1].get_lines() if line.get_label() == "limits"]
    assert limits == [0.4]
    steps = read_step_metrics(evaluation / "step_metrics.csv")
    assert "price_per_mwh" not in steps, "a scenario without a tariff has no prices"


def test_a_map_without_its_record_says_what_is_missing(evaluation: Path, tmp_path: Path) -> None:
    table = tmp_path / "step_metrics.csv"
    table.write_bytes((evaluation / "step_metrics.csv").read_bytes())
    with pytest.raises(
        nf.InputError, match=r"trajectory_controlled\.npz: no such file; a map is drawn of the recorded"
    ):
        PlotCommand("map", (table,), output=tmp_path / "x.png").execute(0.0)
    with pytest.raises(nf.InputError, match=r"an animated \.gif; name it so"):
        save_day((), nf.load_feeder("case33bw"), 0, tmp_path / "x.png")


def test_hostile_names_of_runs_do_not_break_a_map(runs: tuple[Trajectory, ...], feeder: Feeder, tmp_path: Path) -> None:
    hostile = dataclasses.replace(runs[0], run='</text><script>"&" $\\frac{$ \x00')
    save(draw_map((hostile,), feeder), tmp_path / "x.svg")
    assert not [each for each in ET.parse(tmp_path / "x.svg").iter() if each.tag.endswith("script")]
