"""What a figure over days shows of devices: a line for each, whatever their kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neomflex_jax.devices import registered_kinds
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.tables import columns_of
from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_MIDDLE, ChosenDays
from neomflex_jax.plots.drawing import Axes, Figure
from neomflex_jax.plots.many import draw_lines
from neomflex_jax.plots.named import picked


@dataclass(frozen=True, eq=False)
class DeviceLines:
    """Lines of all devices that a figure shows."""

    title: str  # of the figure
    many: str  # what they are of, in the plural
    values: dict[str, np.ndarray]  # (n_rows,) of `ChosenDays.table`, by the device's name in the legend


def device_lines(
    chosen: ChosenDays,
    figure: str,
    title: str,
    devices: Sequence[str] | None = None,
    controls: Mapping[str, str] | None = None,
) -> DeviceLines:
    """Return the lines of the devices whose kinds name a figure in `Device.drawn`, generation before storage.

    Parameters
    ----------
    figure
        Its name, one of `plots.FIGURES`.
    title
        The figure's, where it shows more than one kind.
    devices
        By their kind's prefix and bus, joined by _; None: all.
    controls
        Columns of the feeder's own controls, by their names, beside devices.

    Raises
    ------
    InputError
        If the table has no such devices, naming the columns that they would have, or not one that is asked for, naming
        those that it has.
    """
    kinds = [(kind, kind.drawn[figure]) for kind in reversed(registered_kinds()) if figure in kind.drawn]
    shown, found = [], dict[str, tuple[str, str]]()  # by name: what the legend calls it, and its column
    for kind, lines in kinds:
        columns = columns_of(chosen.table, lines.begins, lines.ends)
        for column in columns:
            bus = column.removeprefix(lines.begins).removesuffix(lines.ends)
            found[f"{kind.prefix}_{bus}"] = f"{lines.one} at bus {bus}", column
        shown += [lines] * bool(columns)
    own, many = controls or {}, [each.many for each in shown]
    if own:
        found |= {name: (f"{name}, the feeder's own", column) for name, column in own.items()}
        many.append("the feeder's own controls")
    if not many:
        missing = " or ".join(f"{lines.begins}<bus>{lines.ends}" for _, lines in kinds)
        nouns = " or ".join(kind.noun for kind, _ in kinds)
        raise InputError(f"the table has no column {missing}: there is no {nouns} to show")
    values = {
        called: chosen.table[column].to_numpy(float)
        for called, column in (found[name] for name in picked(devices, found, "device", "devices"))
    }
    return DeviceLines(shown[0].title if len(shown) == 1 and not own else title, " and ".join(many), values)


def draw_device_lines(
    chosen: ChosenDays,
    figure: str,
    title: str,
    label: str,
    devices: Sequence[str] | None,
    controls: Mapping[str, str] | None = None,
) -> tuple[Figure, Axes]:
    """Draw a line a device over the hours of the days, held over each step, around zero; for `device_lines`."""
    lines = device_lines(chosen, figure, title, devices, controls)
    drawn, axes = style.new_figure(chosen.title(lines.title), label, len(chosen.days))
    axes.axhline(0.0, color=style.GREY, linewidth=0.8, zorder=1)
    hours = chosen.table[COLUMN_MIDDLE].to_numpy(float)
    draw_lines(axes, hours, lines.values, lines.many, len(chosen.days), held=True)
    style.day_axis(axes, chosen)
    style.legend(drawn, axes)
    return drawn, axes
