"""Figures draw what the table says, name their axes and units, and refuse what is not there."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import neomflex_jax as nf
from neomflex_jax.devices import Lines
from neomflex_jax.evaluation.tables import daily_summary
from neomflex_jax.plots import FIGURES, device_lines, draw_figure, save, style
from neomflex_jax.scenario import Limits

N_DAYS, N_STEPS = 6, 4  # steps of six hours


@pytest.fixture(scope="module")
def steps() -> pd.DataFrame:
    """Two runs of random numbers; the controlled one's last step has no power flow."""
    random = np.random.default_rng(0)
    rows = N_DAYS * N_STEPS
    tables = []
    for run, cost in (("controlled", 1.0), ("baseline", 100.0)):
        vm_pu = random.uniform(0.95, 1.05, (rows, 3))
        columns = {
            "run": run,
            "day": np.arange(rows) // N_STEPS,
            "step": np.arange(rows) % N_STEPS,
            "dataset_index": np.arange(rows),
            "load_factor": random.uniform(0.3, 1.0, rows),
            "price_per_mwh": random.uniform(20.0, 60.0, rows),
            "solar_factor": random.uniform(0.0, 1.1, rows),
            "losses_mw": random.uniform(0.0, 0.2, rows),
            "voltage_min_pu": vm_pu.min(axis=1),
            "voltage_max_pu": vm_pu.max(axis=1),
            "voltage_mean_pu": vm_pu.mean(axis=1),
            "voltage_violations": 0,
            "reward_east": -cost * random.uniform(1.0, 2.0, rows),
            "battery_soc_bus_7": random.uniform(0.4, 1.8, rows),
            "battery_soc_bus_14": random.uniform(0.4, 1.8, rows),
            "battery_power_bus_7_mw": random.uniform(-0.5, 0.5, rows),
            "battery_power_bus_14_mw": random.uniform(-0.5, 0.5, rows),
            "pv_bus_20_p_mw": random.uniform(0.0, 1.0, rows),
            "pv_bus_20_q_mvar": random.uniform(-1.0, 1.0, rows),
            **{f"voltage_bus_{bus}_pu": vm_pu[:, bus] for bus in range(3)},
            **{f"vuf_{name}_percent": random.uniform(0.2, 1.5, rows) for name in ("max", "mean")},
            **{f"loading_branch_{name}_percent": random.uniform(10.0, 110.0, rows) for name in ("0-1", "1-2")},
            "tap_bus_1_position": np.arange(rows) % 7 - 3.0,
            "terminated_early": False,
            "buses_outside_band": 1,
            "converged": True,
            "step_hours": 6.0,
        }
        tables.append(pd.DataFrame(columns))
    tables[0].loc[rows - 1, "converged"] = False
    grid = [name for name in tables[0].columns if name.startswith(("voltage_m", "voltage_bus"))] + ["losses_mw"]
    tables[0].loc[rows - 1, grid] = np.nan
    return pd.concat(tables, ignore_index=True)


def of(steps: pd.DataFrame, run: str, *days: int) -> pd.DataFrame:
    """Give the rows of one run and some days."""
    return steps[(steps["run"] == run) & steps["day"].isin(days)]


def panel(figure: Figure) -> Axes:
    """Give the panel that holds the data."""
    return figure.axes[0]


def line(figure: Figure, label: str) -> Line2D:
    """Find a line of any panel by its label."""
    found = [each for axes in figure.axes for each in axes.get_lines() if each.get_label() == label]
    assert len(found) == 1, f"{label!r} among {[each.get_label() for axes in figure.axes for each in axes.get_lines()]}"
    return found[0]


def test_state_of_charge_is_drawn_after_its_step(steps: pd.DataFrame) -> None:
    windows = {7: (0.4, 1.8), 14: (0.4, 1.7)}
    figure = draw_figure("soc", steps, "controlled", [1, 2], windows_mwh=windows)
    drawn = line(figure, "battery at bus 14")
    np.testing.assert_array_equal(drawn.get_ydata(), of(steps, "controlled", 1, 2)["battery_soc_bus_14"])
    np.testing.assert_array_equal(drawn.get_xdata(), np.arange(1, 9) * 6.0)
    levels = {each.get_ydata()[0] for each in panel(figure).get_lines()[2:]}
    assert levels == {0.4, 1.7, 1.8}
    assert panel(figure).get_ylabel() == "energy (MWh)"
    assert panel(figure).get_title(loc="left") == "Energy in the batteries: controlled, days 1, 2"


def test_voltage_envelope_band_and_limits(steps: pd.DataFrame) -> None:
    limits = Limits(0.96, 1.04, 0.92, 1.08)
    figure = draw_figure("voltage", steps, "controlled", [0, 1], limits=limits, overlay=["baseline"])
    rows = of(steps, "controlled", 0, 1)
    np.testing.assert_array_equal(line(figure, "controlled: mean").get_ydata(), rows["voltage_mean_pu"])
    np.testing.assert_array_equal(line(figure, "controlled: mean").get_xdata(), 3.0 + 6.0 * np.arange(8))
    envelope = panel(figure).collections[0].get_paths()[0].vertices[:, 1]
    assert envelope.min() == rows["voltage_min_pu"].min()
    assert envelope.max() == rows["voltage_max_pu"].max()
    highest = of(steps, "baseline", 0, 1)["voltage_max_pu"]
    np.testing.assert_array_equal(line(figure, "baseline: lowest, highest").get_ydata(), highest)
    band = panel(figure).patches[0].get_bbox()
    assert (band.y0, band.y1) == (0.96, 1.04)
    assert line(figure, "hard limits 0.92, 1.08").get_ydata()[0] == 1.08
    assert panel(figure).get_ylabel() == "voltage (pu)"


def test_default_limits_are_the_scenarios(steps: pd.DataFrame) -> None:
    figure = draw_figure("voltage", steps, "baseline", [0])
    _, labels = panel(figure).get_legend_handles_labels()
    assert labels[0] == "reward band 0.97..1.03"
    assert "hard limits 0.9, 1.1" in labels
    assert "power flow failed" not in labels


def test_failed_power_flows_are_marked_where_they_are(steps: pd.DataFrame) -> None:
    figure = draw_figure("voltage", steps, "controlled", [5])
    np.testing.assert_array_equal(line(figure, "power flow failed").get_xdata(), [21.0])
    assert np.isnan(line(figure, "controlled: mean").get_ydata()[-1])


def test_reactive_power(steps: pd.DataFrame) -> None:
    figure = draw_figure("reactive-power", steps, "baseline", [3])
    np.testing.assert_array_equal(
        line(figure, "PV at bus 20").get_ydata(), of(steps, "baseline", 3)["pv_bus_20_q_mvar"]
    )
    assert "Mvar" in panel(figure).get_ylabel()


def test_dispatch_stands_before_demand_and_solar(steps: pd.DataFrame) -> None:
    figure = draw_figure("dispatch", steps, "controlled", [0])
    rows = of(steps, "controlled", 0)
    np.testing.assert_array_equal(line(figure, "battery at bus 7").get_ydata(), rows["battery_power_bus_7_mw"])
    np.testing.assert_array_equal(line(figure, "demand").get_ydata(), rows["load_factor"])
    front, back = figure.axes
    assert front.get_zorder() > back.get_zorder()
    assert "MW" in front.get_ylabel()
    assert "per unit" in back.get_ylabel()
    assert back.get_ylim()[1] >= rows["solar_factor"].max()


def test_comparison_draws_daily_costs_of_every_run(steps: pd.DataFrame) -> None:
    figure = draw_figure("comparison", steps, "controlled")
    daily = daily_summary(steps)
    for run in ("controlled", "baseline"):
        costs = daily[daily["run"] == run]["day_cost"]
        drawn = line(figure, f"{run}, mean {costs.mean():.4g}")
        np.testing.assert_array_equal(drawn.get_ydata(), costs)
        np.testing.assert_array_equal(drawn.get_xdata(), np.arange(N_DAYS))
    assert panel(figure).get_yscale() == "log"  # a hundredfold apart
    assert panel(draw_figure("comparison", of(steps, "baseline", 0, 1), "baseline")).get_yscale() == "linear"


def test_days_that_do_not_follow_each_other_are_not_joined(steps: pd.DataFrame) -> None:
    drawn = line(draw_figure("soc", steps, "controlled", [4, 1]), "battery at bus 7")
    first, second = of(steps, "controlled", 4), of(steps, "controlled", 1)
    expected = [*first["battery_soc_bus_7"], np.nan, *second["battery_soc_bus_7"]]
    np.testing.assert_array_equal(drawn.get_ydata(), expected)
    np.testing.assert_array_equal(drawn.get_xdata(), [6, 12, 18, 24, np.nan, 30, 36, 42, 48])


def test_the_axis_shows_hours_of_few_days_and_names_many(steps: pd.DataFrame) -> None:
    few = panel(draw_figure("soc", steps, "controlled", [0, 3]))
    labels = [text.get_text() for text in few.get_xticklabels()]
    assert labels == ["0", "6", "12\nday 0", "18", "0", "6", "12\nday 3", "18"]
    assert few.get_xlabel() == "hour of the day"
    many = panel(draw_figure("soc", steps, "controlled"))
    assert [text.get_text() for text in many.get_xticklabels()] == ["0", "1", "2", "3", "4", "5"]
    assert many.get_xlabel() == "day"
    assert many.get_title(loc="left").endswith("days 0..5")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_labelled_and_its_legend_covers_no_data(name: str, steps: pd.DataFrame, tmp_path: Path) -> None:
    figure = draw_figure(name, steps, "controlled", [0, 1])
    path = tmp_path / "new" / f"{name}.png"
    save(figure, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert any(axes.get_xlabel() for axes in figure.axes), "panels that share their hours say so once"
    assert all(axes.get_ylabel() for axes in figure.axes)
    assert "controlled" in panel(figure).get_title(loc="left")
    assert not figure.legends[0].get_window_extent().overlaps(panel(figure).bbox)


def test_neighbouring_lines_differ_in_colour_and_dashes() -> None:
    styles = [style.series_style(index) for index in range(12)]
    assert len({(each["color"], each["linestyle"]) for each in styles}) == 12
    assert all(a["color"] != b["color"] and a["linestyle"] != b["linestyle"] for a, b in pairwise(styles))


@pytest.mark.parametrize(
    ("name", "run", "days", "message"),
    [
        ("volts", "controlled", [0], "unknown figure 'volts'; known: bus, comparison, .*"),
        ("soc", "control", [0], "unknown run 'control'; known: baseline, controlled. Did you mean 'controlled'"),
        ("soc", "controlled", [0, 6, 9], r"run 'controlled' has no day 6, 9; its days: 0\.\.5"),
        ("dispatch", "controlled", [], "name at least one day"),
        ("voltage", "controlled", [1, 1], "and each once"),
        ("comparison", "controlled", [7], "has no day 7"),
    ],
)
def test_what_is_not_there_is_refused(name: str, run: str, days: list[int], message: str, steps: pd.DataFrame) -> None:
    with pytest.raises(nf.InputError, match=message):
        draw_figure(name, steps, run, days)


def test_inverters_of_every_kind_are_among_the_reactive_powers(steps: pd.DataFrame) -> None:
    figure = draw_figure("reactive-power", steps.assign(battery_bus_7_q_mvar=0.25), "controlled", [0])
    assert set(line(figure, "battery at bus 7").get_ydata()) == {0.25}
    np.testing.assert_array_equal(
        line(figure, "PV at bus 20").get_ydata(), of(steps, "controlled", 0)["pv_bus_20_q_mvar"]
    )
    assert panel(figure).get_title(loc="left") == "Reactive power: controlled, day 0"


def test_a_further_kind_is_drawn_by_what_it_says_of_itself(
    steps: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    tank = SimpleNamespace(
        noun="tank", prefix="tank", drawn={"soc": Lines("tank_", "_mwh", "tank", "tanks", "Heat in the tanks")}
    )
    monkeypatch.setattr(device_lines, "registered_kinds", lambda: (tank,))
    figure = draw_figure("soc", steps.assign(tank_3_mwh=1.5), "controlled", [0])
    assert set(line(figure, "tank at bus 3").get_ydata()) == {1.5}
    assert panel(figure).get_title(loc="left") == "Heat in the tanks: controlled, day 0"
    with pytest.raises(nf.InputError, match="the table has no column tank_<bus>_mwh: there is no tank to show"):
        draw_figure("soc", steps, "controlled", [0])


@pytest.mark.parametrize(
    ("name", "column"), [("soc", "battery_soc"), ("dispatch", "battery_power"), ("reactive-power", "pv_bus")]
)
def test_a_table_without_such_devices_is_refused(name: str, column: str, steps: pd.DataFrame) -> None:
    without = steps[[each for each in steps.columns if not each.startswith(column)]]
    with pytest.raises(nf.InputError, match=f"the table has no column {column}"):
        draw_figure(name, without, "controlled", [0])


def test_unknown_formats_are_refused(steps: pd.DataFrame, tmp_path: Path) -> None:
    figure = draw_figure("soc", steps, "controlled", [0])
    with pytest.raises(nf.InputError, match=r"cannot write '\.xlsx'; use .*\.png"):
        save(figure, tmp_path / "soc.xlsx")
    with pytest.raises(nf.InputError, match="a file without ending"):
        save(figure, tmp_path / "soc")


def test_drawing_from_a_file(steps: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "step_metrics.csv"
    steps.to_csv(path, index=False)
    drawn = line(draw_figure("soc", path, days=[2]), "battery at bus 7")
    np.testing.assert_allclose(drawn.get_ydata(), of(steps, "controlled", 2)["battery_soc_bus_7"], rtol=1e-12)
    with pytest.raises(nf.InputError, match="no such file"):
        draw_figure("soc", tmp_path / "other.csv")


def test_matplotlib_is_loaded_only_to_draw_and_never_pyplot() -> None:
    script = (
        "import sys, neomflex_jax, neomflex_jax.plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import neomflex_jax.plots.voltage, neomflex_jax.plots.comparison\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(nf.__file__).parents[1])
