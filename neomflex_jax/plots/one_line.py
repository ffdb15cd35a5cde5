"""One-line diagram of an environment at one moment: voltages, devices, and whose territory is whose.

Buses are coloured by voltage on a scale that is the scenario's hard limits, so colours mean the same in every frame.
What symbols are filled by, and which two numbers stand beside them where there is room, kinds of devices say.
A bus outside the hard limits is ringed; a power flow that failed has no voltages, and its frame says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neomflex_jax.devices import Device, Kind
from neomflex_jax.environment import Environment
from neomflex_jax.grid.places import bus_places
from neomflex_jax.grid.topology import spanning_tree
from neomflex_jax.loose_types import Keywords
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import (
    ConstrainedLayoutEngine,
    Figure,
    FigureCanvasAgg,
    Line2D,
    LineCollection,
    to_rgb,
)
from neomflex_jax.plots.feeder import draw_branches, draw_labels
from neomflex_jax.plots.symbols import Drawn, legend_handle, symbol_of
from neomflex_jax.plots.voltage_dots import VoltageDots

if TYPE_CHECKING:
    from jax import Array
    from matplotlib.axes import Axes

WIDTH_INCH, DPI = 11.0, 100
INCH_PER_ROW, ROOM_INCH, MOST_INCH = 0.95, 1.6, 18.0  # height: of a row of the tree, of what stands around, at most
BUS_SIZE, SLACK_SIZE = 58.0, 150.0  # square points
LABEL_ABOVE = 8.0  # points
TERRITORY_STRENGTH = 0.2
LEAST_INCH_WITH_TEXT = 0.75  # of a row; else a device's text would cover the bus below it
BAR_INCH = 5.0
FAILED = "power flow failed: there are no voltages"


class OneLine:
    """The diagram of one environment: what never changes is drawn once, every frame only changes the rest."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self._place = bus_places(env.feeder.topology)
        self._node_place = self._place[env.feeder.nodes.bus_position]
        n_rows = np.ptp(self._place[:, 1]) + 1
        height = min(ROOM_INCH + INCH_PER_ROW * n_rows, MOST_INCH)
        self.figure = Figure(
            figsize=(WIDTH_INCH, round(height, 1)), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
        )
        self._canvas: Any = FigureCanvasAgg(self.figure)
        self._axes = self.figure.add_subplot()
        self._draw_grid(self._axes)
        self._buses = self._draw_buses(self._axes)
        self._devices = self._draw_devices(height - ROOM_INCH >= LEAST_INCH_WITH_TEXT * n_rows)
        self._title = self._axes.set_title(" ", loc="left", fontsize=11, color=style.INK)
        self._summary = self._axes.set_title(" ", loc="right", fontsize=10, color=style.INK)
        self._draw_legend()

    def draw(self, info: Mapping[str, np.ndarray | Array]) -> Figure:
        """Show one answer of the environment.

        Parameters
        ----------
        info
            A `TimeStep.info` of one copy.

        Returns
        -------
        figure
            The same object in every call.
        """
        vm_pu = np.asarray(info["vm_pu"], float)
        solved = bool(info["converged"])
        outside = self._buses.show(vm_pu, solved)
        for kind, index, device, drawn in self._devices:
            drawn.show(device.look({one.name: float(info[one.name][index]) for one in kind.recorded}))
        self._title.set_text(f"{self.env.scenario.name}: {self._moment(int(info['dataset_index']))}")
        self._summary.set_text(self._summarise(vm_pu, float(info["loss_mw"])) if solved else FAILED)
        self._summary.set_color(style.INK if solved and not outside.any() else style.VERMILLION)
        return self.figure

    def frame(self, info: Mapping[str, np.ndarray | Array]) -> np.ndarray:
        """Show one answer as an image, (height, width, 3) uint8."""
        self.draw(info)
        self._canvas.draw()
        self.figure.set_layout_engine("none")  # frames stay where the first one put them
        return np.array(self._canvas.buffer_rgba())[..., :3]

    # ---- what never changes ----

    def _draw_grid(self, axes: Axes) -> None:
        feeder, layout = self.env.feeder, self.env.layout
        parent = spanning_tree(feeder.topology).parent
        for index, (agent, buses) in enumerate(zip(self.env.agents, layout.buses, strict=True)):
            inner = np.isin(parent[buses], buses)  # a line to another territory is nobody's
            ends = self._place[np.stack([buses, np.where(inner, parent[buses], buses)], axis=1)]
            colour = to_rgb(style.COLOURS[index % len(style.COLOURS)])
            pale = 1.0 - TERRITORY_STRENGTH * (1.0 - np.array(colour))
            axes.add_collection(
                LineCollection(list(ends), colors=[pale], linewidths=15, capstyle="round", zorder=0, label=agent)
            )
        draw_branches(axes, feeder.topology, self._place, SLACK_SIZE)
        draw_labels(axes, feeder, self._place, LABEL_ABOVE)
        axes.set_ylim(self._place[:, 1].min() - 0.75, self._place[:, 1].max() + 0.35)
        axes.set_xlim(-0.6, self._place[:, 0].max() + 0.6)
        axes.set_xticks([])
        axes.spines[:].set_visible(False)

    def _draw_buses(self, axes: Axes) -> VoltageDots:
        buses = VoltageDots(axes, self._node_place, self.env.scenario.limits, BUS_SIZE)
        shrink = min(1.0, BAR_INCH / self.figure.get_figheight())
        size: Keywords = {"fraction": 0.025, "aspect": 30, "shrink": shrink, "anchor": (0.0, 1.0)}
        buses.mark(self.figure.colorbar(buses.dots, ax=axes, label="voltage (pu)", extend="both", pad=0.01, **size))
        return buses

    def _draw_devices(self, with_text: bool) -> list[tuple[Kind, int, Device, Drawn]]:
        """Draw every device below its bus, those of one bus side by side; return each with its place in records."""
        env = self.env
        every = [
            (kind, index, device, int(bus))
            for kind in env.kinds
            for index, (device, bus) in enumerate(
                zip(env.scenario.of(kind), env.layout.device_bus[kind.table], strict=True)
            )
        ]
        at_bus = Counter(bus for _, _, _, bus in every)
        before: Counter[int] = Counter()
        drawn = []
        for kind, index, device, bus in every:
            aside = 2 * before[bus] - (at_bus[bus] - 1)
            before[bus] += 1
            symbol = Drawn(self._axes, self._place[bus], aside, with_text, symbol_of(kind))
            drawn.append((kind, index, device, symbol))
        return drawn

    def _draw_legend(self) -> None:
        handles, labels = self._axes.get_legend_handles_labels()
        for kind in dict.fromkeys(kind for kind, _, _, _ in self._devices):
            handles.append(legend_handle(symbol_of(kind)))
            labels.append(symbol_of(kind).label)
        handles.append(
            Line2D([], [], marker="o", linestyle="", markerfacecolor="none", color=style.VERMILLION, markersize=10)
        )
        labels.append("outside the hard limits")
        self.figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=min(len(labels), 9),
            frameon=False,
            fontsize=8,
            handlelength=1.6,
        )

    # ---- what does ----

    def _moment(self, row: int) -> str:
        scenario = self.env.scenario
        day, step = divmod(row, scenario.steps_per_day)
        minutes = round(60 * step * scenario.step_hours)
        return f"day {day}, {minutes // 60:02d}:{minutes % 60:02d}"

    def _summarise(self, vm_pu: np.ndarray, loss_mw: float) -> str:
        low, high = (self.env.feeder.node_labels[node] for node in (np.argmin(vm_pu), np.argmax(vm_pu)))
        return (
            f"lowest {vm_pu.min():.3f} pu at bus {low}, highest {vm_pu.max():.3f} at {high}, losses {loss_mw:z.3f} MW"
        )
