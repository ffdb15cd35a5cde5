"""The figures of a validation draw what the replay says, and cope with what has no answer."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

import neomflex_jax as nf
from neomflex_jax.errors import InputError
from neomflex_jax.plots.learning import draw as draw_learning
from neomflex_jax.plots.validation import CAPTIONS, draw, draw_all
from neomflex_jax.plots.validation.envelopes import envelope
from neomflex_jax.plots.validation.error_by_bus import along_feeder
from validation.errors.summary import Confusion

STEPS = 48


@pytest.fixture
def run() -> SimpleNamespace:
    """Two days of random voltages on either side; pandapower has no answer to one step."""
    random = np.random.default_rng(0)
    exact = random.uniform(0.93, 1.06, (2 * STEPS, 33))
    recorded = exact + random.normal(0.002, 0.001, exact.shape)
    exact[7] = np.nan
    scenario = nf.load_scenario("neom33")
    trajectory = SimpleNamespace(
        run="my run/1", vm_pu=recorded, scenario=scenario, power_flow="calibrated", n_steps=2 * STEPS
    )
    metrics = SimpleNamespace(hard=Confusion(0, 33, 0, 3135), band=Confusion(100, 20, 3, 3045))
    report = SimpleNamespace(metrics=metrics, referee="pandapower")
    return SimpleNamespace(trajectory=trajectory, replayed=SimpleNamespace(vm_pu=exact), report=report)


def words(figure: Figure) -> str:
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    found += [axes.get_xlabel() + axes.get_ylabel() + axes.get_title(loc="left") for axes in figure.axes]
    return " ".join(found)


def test_every_figure_is_written_under_a_safe_name(run: SimpleNamespace, tmp_path: Path) -> None:
    captions = draw_all(run, tmp_path)
    assert set(captions) == {f"my_run_1_{name}.png" for name in CAPTIONS}
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in captions)


def test_error_by_bus_draws_each_buses_mean_in_feeder_order(run: SimpleNamespace, case33bw: nf.Feeder) -> None:
    axes = draw("error_by_bus", run).axes[0]
    [line] = [line for line in axes.get_lines() if line.get_label() == "mean (bias)"]
    x, y = line.get_data()
    error = run.trajectory.vm_pu - run.replayed.vm_pu
    order, at = along_feeder(case33bw)
    drawn = dict(zip(x, y, strict=True))
    for bus, position in zip(order, at, strict=True):
        assert drawn[position] == pytest.approx(np.nanmean(error[:, bus]))
    assert np.isnan(y).sum() == 3, "a gap before each of the three laterals"


def test_buses_follow_the_longest_way_first(case33bw: nf.Feeder) -> None:
    order, at = along_feeder(case33bw)
    labels = [case33bw.bus_labels[bus] for bus in order]
    assert labels == [*range(18), *range(25, 33), *range(22, 25), *range(18, 22)]
    assert sorted(order) == list(range(33))
    np.testing.assert_array_equal(np.flatnonzero(np.diff(at) == 2), [17, 25, 28])


def test_error_over_day_takes_all_buses_of_a_step_together(run: SimpleNamespace) -> None:
    axes = draw("error_over_day", run).axes[0]
    [line] = [line for line in axes.get_lines() if line.get_label() == "mean (bias)"]
    hours, mean = line.get_data()
    error = run.trajectory.vm_pu - run.replayed.vm_pu
    assert hours[10] == pytest.approx(5.25)
    assert mean[10] == pytest.approx(np.concatenate([error[10], error[58]]).mean())
    assert mean[7] == pytest.approx(error[55].mean()), "the step without an answer is left out, its day's twin is not"


def test_envelopes_are_the_extremes(run: SimpleNamespace) -> None:
    low, high = envelope(run.replayed.vm_pu, STEPS)
    assert low[10] == min(run.replayed.vm_pu[10].min(), run.replayed.vm_pu[58].min())
    assert high[7] == run.replayed.vm_pu[55].max()
    lost, _ = envelope(np.full((STEPS, 33), np.nan), STEPS)
    assert np.isnan(lost).all()


def test_confusion_states_counts_and_shares(run: SimpleNamespace) -> None:
    said = words(draw("confusion", run))
    assert "missed\n33\n1.04%" in said and "found\n100" in said and "inside in both\n3,045" in said
    assert "hard limits 0.9..1.1 pu" in " ".join(axes.get_title() for axes in draw("confusion", run).axes)


def test_a_run_without_any_answer_still_has_figures(run: SimpleNamespace) -> None:
    lost = SimpleNamespace(
        trajectory=run.trajectory, replayed=SimpleNamespace(vm_pu=np.full((2 * STEPS, 33), np.nan)), report=run.report
    )
    assert "no voltage is known on both sides" in words(draw("scatter", lost))
    for name in CAPTIONS:
        assert draw(name, lost).axes


def test_unknown_figure(run: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="unknown figure of a validation 'errors'"):
        draw("errors", run)


def test_learning_curve_draws_cost_and_share() -> None:
    cost = np.array([1000.0, 200.0, 40.0, 41.0])
    figure = draw_learning(np.arange(4) * 1000.0, cost, np.array([0.4, 0.1, 0.02, 0.01]))
    left, right = figure.axes
    assert left.get_yscale() == "log"
    np.testing.assert_array_equal(left.get_lines()[0].get_ydata(), cost)
    np.testing.assert_allclose(right.get_lines()[0].get_ydata(), [40.0, 10.0, 2.0, 1.0])


def test_a_training_of_one_chunk_is_a_point_and_not_an_empty_figure() -> None:
    panels = draw_learning(np.array([2112.0]), np.array([1160.0]), np.array([0.2])).axes
    assert all(any(line.get_marker() == "o" for line in panel.lines) for panel in panels)
