"""Figures of what is no run: a feeder, a scenario, trainings, a comparison of power-flow methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from neomflex_jax.grid import Feeder, load_feeder
from neomflex_jax.grid.library import balanced
from neomflex_jax.powerflow import nominal_power_flow
from neomflex_jax.scenario import Scenario

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neomflex_jax.evaluation.fidelity_report import Fidelity


def draw_feeder(feeder: Feeder, vm_pu: ArrayLike | None = None) -> Figure:
    """Draw a feeder as a tree from its slack, buses coloured by voltage.

    Parameters
    ----------
    feeder
        As from `load_balanced_feeder`.
    vm_pu
        Voltages in per unit, (n_node,), as `power_flow(...).vm_pu` has them; None: at nominal load, by `ac`.

    Returns
    -------
    matplotlib.figure.Figure
        For a notebook, or `save`.

    Raises
    ------
    InputError
        If the feeder has phases.
    """
    from neomflex_jax.plots import feeder as figure

    feeder = balanced(feeder, "a drawing of the tree")
    voltages = nominal_power_flow(feeder).vm_pu if vm_pu is None else vm_pu
    return figure.draw_feeder(feeder, np.asarray(voltages))


def draw_territories(scenario: Scenario) -> Figure:
    """Draw a scenario's feeder, territories in colours and devices marked.

    Parameters
    ----------
    scenario
        As from `load_scenario`, or `env.scenario`.

    Returns
    -------
    matplotlib.figure.Figure
        For a notebook, or `save`.
    """
    from neomflex_jax.plots import territories

    return territories.draw_territories(scenario, load_feeder(scenario.feeder))


def draw_curves(folders: Sequence[str | Path], against: str = "steps") -> Figure:
    """Draw the cost of a day while trainings learned, one line a folder, a band where it holds several seeds.

    Parameters
    ----------
    folders
        Output folders of trainings or sweeps.
    against
        What the curves are drawn over: `steps` or `seconds`.

    Returns
    -------
    matplotlib.figure.Figure
        For a notebook, or `save`.

    Raises
    ------
    InputError
        If a folder holds no training, or `against` is neither.
    """
    from neomflex_jax.plots.curves import draw, power_flow_of, read_curves

    paths = [Path(folder) for folder in folders]
    found = [(path, read_curves(path, against)) for path in paths]
    names = [name for _, runs in found for name in runs]
    curves = {
        name if names.count(name) == 1 else f"{path}/{name}": each
        for path, runs in found
        for name, each in runs.items()
    }
    return draw(curves, against, power_flow_of(paths))


def draw_fidelity(report: Fidelity) -> Figure:
    """Draw each power-flow method's largest and mean voltage error over its flows a second.

    Parameters
    ----------
    report
        As `neomflex_jax.fidelity` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        For a notebook, or `save`.
    """
    from neomflex_jax.plots.fidelity import draw

    return draw(report)
