"""Figures of chosen buses, branches and devices, and of prices: the table's numbers, limits, and what is refused."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

import neomflex_jax as nf
from neomflex_jax.commands.plot import PlotCommand
from neomflex_jax.plots import bus as bus_figure
from neomflex_jax.plots import draw_figure, fit_to_print, save

N_STEPS = 8  # of a day, three hours each


@pytest.fixture(scope="module")
def steps() -> pd.DataFrame:
    """Two runs of two days of random numbers, the sun up from 6 to 18 hours."""
    random = np.random.default_rng(1)
    rows, tables = 2 * N_STEPS, []
    for run in ("controlled", "baseline"):
        step = np.arange(rows) % N_STEPS
        columns = {
            "run": run,
            "day": np.arange(rows) // N_STEPS,
            "step": step,
            "load_factor": 0.5,
            "solar_factor": np.where((step >= 2) & (step < 6), 0.5, 0.0),
            "step_hours": 3.0,
            "price_per_mwh": random.uniform(20.0, 60.0, rows),
            "battery_soc_bus_7": random.uniform(0.4, 1.8, rows),
            "battery_power_bus_7_mw": random.uniform(-0.5, 0.5, rows),
            "battery_soc_fraction_bus_7": 0.5,
            "battery_soc_bus_14": random.uniform(0.4, 1.8, rows),
            "battery_power_bus_14_mw": random.uniform(-0.5, 0.5, rows),
            "pv_bus_16_p_mw": np.where((step >= 2) & (step < 6), 0.6, 0.0),
            "pv_bus_16_q_mvar": random.uniform(-0.5, 0.5, rows),
            **{f"voltage_bus_{bus}_pu": random.uniform(0.95, 1.05, rows) for bus in range(12)},
            **{f"loading_branch_{bus}-{bus + 1}_percent": random.uniform(5.0, 90.0, rows) for bus in range(12)},
        }
        tables.append(pd.DataFrame(columns))
    steps = pd.concat(tables, ignore_index=True)
    steps.loc[3, "voltage_bus_5_pu"], steps.loc[4, "voltage_bus_9_pu"] = 0.91, 1.09
    return steps


def day(steps: pd.DataFrame, column: str, run: str = "controlled", which: int = 1) -> np.ndarray:
    """Give a column of one day of a run."""
    return steps.loc[(steps["run"] == run) & (steps["day"] == which), column].to_numpy()


def lines(axes: Axes) -> dict[str, Line2D]:
    """Give a panel's lines by their labels."""
    return {str(line.get_label()): line for line in axes.get_lines()}


def test_voltages_of_chosen_buses_with_and_without_control(steps: pd.DataFrame) -> None:
    drawn = lines(draw_figure("bus", steps, "controlled", [1], buses=[3, "11"], overlay=["baseline"]).axes[0])
    for bus in (3, 11):
        for run in ("controlled", "baseline"):
            values = drawn[f"bus {bus}, {run}"].get_ydata()
            np.testing.assert_array_equal(values, day(steps, f"voltage_bus_{bus}_pu", run))
        assert drawn[f"bus {bus}, controlled"].get_color() == drawn[f"bus {bus}, baseline"].get_color()


def test_without_a_choice_the_buses_with_the_extreme_voltages_are_drawn(steps: pd.DataFrame) -> None:
    figure = draw_figure("bus", steps, "controlled", [0])
    assert {"bus 5, controlled", "bus 9, controlled"} <= set(lines(figure.axes[0]))
    assert len([name for name in lines(figure.axes[0]) if name.startswith("bus")]) == 2


def test_of_many_buses_their_range_is_drawn(steps: pd.DataFrame) -> None:
    figure = draw_figure("bus", steps, "controlled", [0], buses=range(12))
    band = next(each for each in figure.axes[0].collections if each.get_label() == "all 12 buses")
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0.91, 1.09)


def test_loadings_of_chosen_branches(steps: pd.DataFrame) -> None:
    drawn = lines(draw_figure("loading", steps, "controlled", [1], branches=["3-4"]).axes[0])
    np.testing.assert_array_equal(drawn["branch 3-4"].get_ydata(), day(steps, "loading_branch_3-4_percent"))
    assert [name for name in drawn if name.startswith("branch")] == ["branch 3-4"]


def test_a_device_has_a_panel_for_each_unit_with_its_limits(steps: pd.DataFrame) -> None:
    scenario = nf.load_scenario("neom33")
    power, energy = draw_figure("device", steps, "controlled", [1], devices=["battery_7"], scenario=scenario).axes
    drawn = lines(power)["battery power, controlled"].get_ydata()
    np.testing.assert_array_equal(drawn, day(steps, "battery_power_bus_7_mw"))
    np.testing.assert_array_equal(lines(energy)["battery soc, controlled"].get_ydata(), day(steps, "battery_soc_bus_7"))
    assert {line.get_ydata()[0] for line in power.get_lines() if line.get_linestyle() == "--"} == {-0.5, 0.5}
    assert {line.get_ydata()[0] for line in energy.get_lines() if line.get_linestyle() == "--"} == {0.4, 1.8}
    assert (power.get_ylabel(), energy.get_ylabel()) == ("power (MW)", "energy (MWh)")


def test_reactive_power_is_drawn_inside_the_circle(steps: pd.DataFrame) -> None:
    scenario = nf.load_scenario("neom33")
    figure = draw_figure("device", steps, "controlled", [1], devices=["pv_16"], scenario=scenario, overlay=["baseline"])
    reactive = lines(figure.axes[1])
    np.testing.assert_array_equal(reactive["pv q, baseline"].get_ydata(), day(steps, "pv_bus_16_q_mvar", "baseline"))
    np.testing.assert_allclose(reactive["limits"].get_ydata(), [-1.0, -1.0, -0.8, -0.8, -0.8, -0.8, -1.0, -1.0])


def test_energies_are_drawn_against_their_price(steps: pd.DataFrame) -> None:
    upper, lower, by_price = draw_figure("price", steps, "controlled", [1]).axes
    price = day(steps, "price_per_mwh")
    np.testing.assert_array_equal(lines(upper)["price"].get_ydata(), price)
    energy_mwh = 3.0 * (day(steps, "battery_power_bus_7_mw") + day(steps, "battery_power_bus_14_mw"))
    bars = {bar.get_x(): bar.get_height() for bar in lower.patches if bar.get_alpha() is None}  # the night is paler
    np.testing.assert_allclose([bars[3.0 * step] for step in range(N_STEPS)], energy_mwh)
    assert sum(bar.get_height() for bar in by_price.patches) == pytest.approx(np.abs(energy_mwh).sum())
    sold = np.where(energy_mwh > 0, energy_mwh, 0.0)
    said = next(name for name in lines(by_price) if name.startswith("sold"))
    assert said == f"sold {sold.sum():.3g} MWh,\nmean price {np.average(price, weights=sold):.4g}"


def test_nights_are_shaded_by_the_sun_of_the_profiles(steps: pd.DataFrame) -> None:
    shaded = [patch for patch in draw_figure("soc", steps, "controlled", [0, 1]).axes[0].patches if patch.get_alpha()]
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in shaded]
    assert spans == [(0.0, 6.0), (18.0, 30.0), (42.0, 48.0)]
    sunless = draw_figure("soc", steps.assign(solar_factor=0.0), "controlled", [0])
    assert not sunless.axes[0].patches, "no sun at all says nothing of the time of day"


@pytest.mark.parametrize(
    ("name", "choice", "message"),
    [
        ("bus", {"buses": [17]}, r"unknown bus '17'; known: 0, 1, 10, 11, 2"),
        ("bus", {"buses": []}, "name at least one, and each once"),
        ("loading", {"branches": ["4-3"]}, "unknown branch '4-3'; known: 0-1, .*Did you mean"),
        ("device", {"devices": ["battery_16"]}, "unknown device 'battery_16'; known: battery_14, battery_7, pv_16"),
        ("device", {"devices": ["battery_7", "pv_16"]}, "shows one device; draw a figure for each"),
        ("soc", {"devices": ["pv_16"]}, "unknown device 'pv_16'; known: battery_14, battery_7"),
    ],
)
def test_what_is_not_there_is_refused(name: str, choice: dict[str, list], message: str, steps: pd.DataFrame) -> None:
    with pytest.raises(nf.InputError, match=message):
        draw_figure(name, steps, "controlled", [0], **choice)


def test_a_table_without_prices_says_what_to_do(steps: pd.DataFrame) -> None:
    with pytest.raises(nf.InputError, match="no column price_per_mwh: the scenario has no tariff; name"):
        draw_figure("price", steps.drop(columns="price_per_mwh"), "controlled", [0])


def test_the_command_refuses_a_choice_that_the_figure_does_not_show(tmp_path: Path) -> None:
    with pytest.raises(nf.InputError, match="figure 'soc' takes no --buses, which is for bus"):
        PlotCommand("soc", (tmp_path,), buses=("3",), output=tmp_path / "x.png").execute(0.0)
    with pytest.raises(nf.InputError, match=r"holds no step_metrics\.csv; give one, or the output folder"):
        PlotCommand("soc", (tmp_path,), output=tmp_path / "x.png").execute(0.0)


def all_letters(figure: Figure) -> list[float]:
    """Give the sizes of all letters that are shown."""
    axes = figure.axes[0]
    return [text.get_fontsize() for text in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.yaxis.label)]


@pytest.mark.parametrize(("size", "inches"), [("single", 3.46), ("double", 7.2)])
def test_a_printed_figure_has_a_columns_width_and_letters_to_read(
    size: str, inches: float, steps: pd.DataFrame, tmp_path: Path
) -> None:
    figure = fit_to_print(draw_figure("bus", steps, "controlled", [0], buses=range(4)), size)
    FigureCanvasAgg(figure).draw()
    assert figure.get_figwidth() == inches
    assert 6.0 <= min(all_letters(figure)) <= max(all_letters(figure)) <= 8.5
    (legend,) = figure.legends
    assert not legend.get_window_extent().overlaps(figure.axes[0].bbox)
    assert figure.axes[0].bbox.width > 0.5 * figure.bbox.width
    save(figure, tmp_path / "printed.png")
    with Image.open(tmp_path / "printed.png") as printed:
        assert printed.width == pytest.approx(300 * inches, abs=1.0)
    with pytest.raises(nf.InputError, match="unknown size 'triple'; known: double, single"):
        fit_to_print(figure, "triple")


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_hostile_names_are_drawn_as_they_are_written(ending: str, steps: pd.DataFrame, tmp_path: Path) -> None:
    hostile = 'a </text><script>alert("&")</script> $\\frac{ $ \x00\x1b \ud800'
    renamed = steps.assign(run=steps["run"].replace("controlled", hostile))
    figure = draw_figure("bus", renamed, hostile, [0], overlay=["baseline"])
    save(figure, tmp_path / f"x.{ending}")
    if ending == "svg":
        tags = {element.tag.rpartition("}")[2] for element in ET.parse(tmp_path / "x.svg").iter()}
        assert "script" not in tags
        assert "path" in tags


def test_a_bus_with_phases_is_drawn_by_its_nodes():
    steps = pd.DataFrame({f"voltage_bus_{node}_pu": [1.0] for node in ("671.2", "671.1", "6.1", "9")})
    assert bus_figure._with_nodes(steps, [671, "9"]) == ["671.1", "671.2", "9"]
    assert bus_figure._with_nodes(steps, ["67"]) == ["67"] and bus_figure._with_nodes(steps, None) is None
