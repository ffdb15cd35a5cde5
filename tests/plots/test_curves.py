"""Learning curves: the line and the band are the statistics of the files' numbers."""

import numpy as np
import pytest
from command_line import neomflex

from neomflex_jax import InputError, load_scenario
from neomflex_jax.interquartile import bootstrap_interval, interquartile_mean
from neomflex_jax.plots.curves import draw, power_flow_of, read_curves
from neomflex_jax.plots.learning import draw as draw_learning
from neomflex_jax.training.options import TrainOptions, config_of
from neomflex_jax.training.run_folder import RunFolder

STEPS = np.array([100.0, 200.0, 300.0])


def write(folder, costs, seconds=STEPS / 10):
    folder.mkdir(parents=True)
    several = costs.ndim > 1
    lines = ["steps,seconds,day_cost" + (",seed" if several else "")]
    for index, (step, second) in enumerate(zip(STEPS, seconds, strict=True)):
        for seed, cost in enumerate(np.atleast_2d(costs)[:, index]):
            lines.append(f"{step},{second},{cost}" + (f",{seed}" if several else ""))
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


def test_line_and_band_are_the_seeds_statistics(tmp_path):
    costs = np.random.default_rng(0).uniform(20, 40, (5, 3))
    write(tmp_path / "run", costs)
    axes = draw(read_curves(tmp_path / "run")).axes[0]
    (line,) = axes.lines
    np.testing.assert_allclose(line.get_xydata(), np.stack([STEPS, interquartile_mean(costs)], axis=1))
    band = axes.collections[0].get_paths()[0].vertices
    low, high = bootstrap_interval(costs)
    for place, a, b in zip(STEPS, low, high, strict=True):
        at = band[band[:, 0] == place, 1]
        assert (at.min(), at.max()) == pytest.approx((a, b))
    assert axes.get_xlabel() == "environment steps of a seed"


def test_runs_of_a_sweep_become_a_line_a_setting(tmp_path):
    for setting in ("gamma=0.9", "gamma=0.95"):
        for seed in range(3):
            write(tmp_path / setting / f"seed_{seed}", np.array([30.0, 25.0, 20.0]) + seed)
    runs = read_curves(tmp_path)
    assert {name: len(curves) for name, curves in runs.items()} == {"gamma=0.9": 3, "gamma=0.95": 3}
    assert [text.get_text() for text in draw(runs).legends[0].get_texts()] == ["gamma=0.9 (3)", "gamma=0.95 (3)"]


def test_seeds_looked_at_at_other_times_are_interpolated(tmp_path):
    write(tmp_path / "seed_0", np.array([30.0, 20.0, 10.0]), seconds=np.array([0.0, 10.0, 20.0]))
    write(tmp_path / "seed_1", np.array([28.0, 18.0, 8.0]), seconds=np.array([2.0, 12.0, 22.0]))
    line = draw(read_curves(tmp_path, "seconds"), "seconds").axes[0].lines[0]
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == (2.0, 20.0)
    np.testing.assert_allclose(line.get_ydata(), 30.0 - line.get_xdata(), atol=1e-9)


def test_a_wide_range_is_drawn_on_a_logarithmic_axis(tmp_path):
    write(tmp_path / "run", np.array([1600.0, 100.0, 20.0]))
    assert draw(read_curves(tmp_path / "run")).axes[0].get_yscale() == "log"


def test_the_axis_names_the_power_flow_and_calls_no_exact_run_a_surrogate(tmp_path):
    costs = np.array([30.0, 25.0, 20.0])
    for name, options in {
        "exact": TrainOptions(load_scenario("neom33", power_flow="ac")),
        "quick": TrainOptions(load_scenario("neom33", power_flow="calibrated"), finish_on="ac"),
    }.items():
        write(tmp_path / name, costs)
        RunFolder(tmp_path / name).write_config(config_of(options))
    exact, quick = tmp_path / "exact", tmp_path / "quick"
    assert power_flow_of([exact]) == "ac"
    assert power_flow_of([tmp_path]) == power_flow_of([exact, quick]) == "ac and calibrated then ac"
    write(tmp_path / "unknown", costs)
    assert power_flow_of([tmp_path]) == ""
    for power_flow, label in (("ac", "day cost in ac"), ("", "day cost")):
        assert draw({"run": [(STEPS, costs)]}, "steps", power_flow).axes[0].get_ylabel() == label
        learned = draw_learning(STEPS, costs, costs / 100, power_flow).axes[0].get_ylabel()
        assert learned == label.replace("day cost", "cost of a day")


def test_the_command_draws_several_runs(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, np.array([[30.0, 25.0, 20.0], [31.0, 27.0, 21.0]]))
    output = tmp_path / "curves.png"
    assert neomflex("plot", "curves", tmp_path / "a", tmp_path / "b", "--against", "seconds", "--output", output) == 0
    assert output.read_bytes().startswith(b"\x89PNG")


def test_unusable_input_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no metrics\.csv here or below"):
        read_curves(tmp_path)
    write(tmp_path / "run", np.array([3.0, 2.0, 1.0]))
    with pytest.raises(InputError, match="steps, seconds"):
        read_curves(tmp_path / "run", "days")
    with pytest.raises(InputError, match="no stretch in common"):
        draw({"x": [(np.array([0.0, 1.0]), np.ones(2)), (np.array([2.0, 3.0]), np.ones(2))]})
    assert neomflex("plot", "voltage", tmp_path / "run", tmp_path / "run", "--output", tmp_path / "x.png") == 2
