"""One run on a map of the feeder, step by step: voltages as colours, power flows as arrows, devices filled by charge.

What never changes is drawn once. Where symbols of devices have no room, small markers stand in their place, as pale as
they are empty. Arrows point where active power flows; their size is its square root, as a share of the largest flow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from neomflex_jax.devices import Device, Kind, Turn
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.evaluation.branch_flows import flows_are_known, flows_into_buses
from neomflex_jax.grid import Feeder
from neomflex_jax.grid.places import bus_places
from neomflex_jax.grid.topology import spanning_tree
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Axes, LineCollection, offset_copy, to_rgb
from neomflex_jax.plots.feeder import draw_branches, draw_labels
from neomflex_jax.plots.symbols import Drawn, filled_shares, symbol_of
from neomflex_jax.plots.voltage_dots import VoltageDots

if TYPE_CHECKING:
    from matplotlib.artist import Artist

MOST_ARROWS = 60  # of a large feeder, on the branches that carry most
ARROW_INCH, LEAST_SHARE = 0.15, 0.08  # of the largest flow; arrows below this share of its root are left out
AWAY, BACK = style.INK, style.PURPLE
MOST_WIDTH = 3.5  # points, of the branch with the largest flow
SYMBOL_INCH = 0.42  # of a row of the tree, for symbols to have room
LEAST_DOT, MOST_DOT, DOT_PER_ROW = 2.4, 8.0, 0.75  # diameters in points, and as a share of what a row has
ROOM_BELOW, ROOM_ABOVE = 0.45, 0.4  # inches, for symbols below the lowest row and names above the highest
MARKER_ASIDE = 2.0  # points from a bus to its small markers, where symbols have no room
ABOVE_LABEL = 16.0  # points from a bus to the name of an extreme voltage


@dataclass(frozen=True, eq=False)
class MapRun:
    """What a panel shows of one recorded run."""

    run: Trajectory
    feeder: Feeder
    vm_pu: Float[np.ndarray, "n_steps n_node"]  # NaN where the power flow failed
    flow_mw: Float[np.ndarray, "n_steps n_node"] | None  # into each bus from the slack's side; None: not known
    filled: Float[np.ndarray, "n_steps n_device"]
    devices: tuple[tuple[Kind, int, Device], ...]

    @staticmethod
    def of(run: Trajectory, feeder: Feeder) -> MapRun:
        """Work out flows and charges of a recorded run."""
        vm_pu = np.where(run.converged[:, None], np.asarray(run.vm_pu, float), np.nan)
        known = not flows_are_known(feeder)
        flow_mw = flows_into_buses(feeder, vm_pu, run.p_injection_mw, run.q_injection_mvar) if known else None
        devices = tuple(
            (kind, index, device) for kind in run.scenario.kinds for index, device in enumerate(run.scenario.of(kind))
        )
        return MapRun(run, feeder, vm_pu, flow_mw, filled_shares(run.devices, devices), devices)


class MapPanel:
    """The map of one run; `show` changes what changes."""

    def __init__(self, axes: Axes, shown: MapRun, called: str, row_inch: float, largest_mw: float) -> None:
        """Draw what stands; `changing` are the artists that `show` changes."""
        self._axes, self._shown, self._called = axes, shown, called
        self._largest_mw = largest_mw
        feeder = shown.feeder
        self._place = bus_places(feeder.topology)
        self._node_place = self._place[feeder.nodes.bus_position]
        draw_branches(axes, feeder.topology, self._place, slack_size=70.0)
        axes.set_xlim(-0.6, self._place[:, 0].max() + 0.8)
        below, above = (inch / row_inch for inch in (ROOM_BELOW, ROOM_ABOVE))
        axes.set_ylim(-below, self._place[:, 1].max() + above)
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
        self._dot = float(np.clip(DOT_PER_ROW * 72.0 * row_inch, LEAST_DOT, MOST_DOT))
        at = [feeder.bus_position(device.bus) for _, _, device in shown.devices]
        draw_labels(axes, feeder, self._place, above=0.5 * self._dot + 1.5, first=at)
        standing = set(axes.get_children())
        self._draw_flows()
        self.dots = VoltageDots(axes, self._node_place, shown.run.scenario.limits, self._dot**2)
        self._draw_devices(at, row_inch >= SYMBOL_INCH)
        self._extremes = [axes.annotate("", (0, 0), (0, 0), textcoords="offset points") for _ in range(2)]
        for text in self._extremes:
            text.set(fontsize=8, fontweight="bold", color=style.INK, ha="center", va="bottom", zorder=6)
            text.set_bbox({"facecolor": "white", "edgecolor": style.GREY, "linewidth": 0.5, "pad": 1.2, "alpha": 0.9})
        self._title = axes.set_title(" \n ", loc="left", fontsize=9, parse_math=False)
        self.changing: list[Artist] = [each for each in axes.get_children() if each not in standing] + [self._title]

    def show(self, row: int) -> None:
        """Show one of the run's steps."""
        run, vm_pu = self._shown.run, self._shown.vm_pu[row]
        solved = bool(run.converged[row])
        outside = self.dots.show(vm_pu, solved)
        self._show_flows(row)
        self._fill(self._shown.filled[row])
        said = self._said(row) if solved else "power flow failed: there are no voltages"
        colour = style.VERMILLION if outside.any() or not solved else style.INK
        self._title.set_text(f"{self._called}: {said}")
        self._title.set_color(colour)
        for text, node, word in zip(self._extremes, _ends(vm_pu), ("lowest", "highest"), strict=True):
            text.set_visible(solved)
            text.set_text(f"{word} {vm_pu[node]:.3f}")
            text.xy = tuple(self._node_place[node])
            text.set_position((0.0, ABOVE_LABEL))

    def _said(self, row: int) -> str:
        vm_pu, run, limits = self._shown.vm_pu[row], self._shown.run, self._shown.run.scenario.limits
        low, high = (run.nodes.labels[node] for node in _ends(vm_pu))
        inside = (run.vm_pu[row] >= limits.band_min_pu) & (run.vm_pu[row] <= limits.band_max_pu)
        return (
            f"{vm_pu.min():.3f} pu at bus {low} to {vm_pu.max():.3f} at {high}\n{np.count_nonzero(~inside)} of "
            f"{len(vm_pu)} buses outside the band; losses {1000 * float(run.loss_mw[row]):.3g} kW"
        )

    def _draw_flows(self) -> None:
        """Draw the tree's branches again, to be widened, and arrows on those that carry most."""
        tree, flow_mw = spanning_tree(self._shown.feeder.topology), self._shown.flow_mw
        self._behind = np.flatnonzero(tree.parent >= 0)
        if flow_mw is None:
            return
        ends = self._place[np.stack([tree.parent[self._behind], self._behind], axis=1)]
        self._branches = LineCollection(list(ends), colors=style.GREY, linewidths=1.0, zorder=1, alpha=0.55)
        self._axes.add_collection(self._branches, autolim=False)
        most = np.nan_to_num(np.abs(flow_mw)).max(axis=0)[self._behind]
        self._with_arrow = np.argsort(-most, kind="stable")[:MOST_ARROWS]
        middle, along = ends.mean(axis=1)[self._with_arrow], (ends[:, 1] - ends[:, 0])[self._with_arrow]
        self._along = along / np.hypot(*along.T)[:, None]
        self._arrows = self._axes.quiver(
            *middle.T,
            *self._along.T,
            angles="xy",
            units="inches",
            scale_units="inches",
            scale=1.0,
            width=0.025,
            headwidth=4.5,
            headlength=ARROW_INCH / 0.025,
            headaxislength=ARROW_INCH / 0.025,
            minshaft=1.0,
            minlength=0.0,
            pivot="middle",
            zorder=5,
        )

    def _show_flows(self, row: int) -> None:
        if self._shown.flow_mw is None:
            return
        flow_mw = np.nan_to_num(self._shown.flow_mw[row])[self._behind]
        share = np.sqrt(np.abs(flow_mw) / self._largest_mw)
        self._branches.set_linewidth(np.maximum(MOST_WIDTH * share, 0.6).tolist())
        share, flow_mw = share[self._with_arrow], flow_mw[self._with_arrow]
        length = np.where(share < LEAST_SHARE, 1e-9, ARROW_INCH * np.maximum(share, 0.35)) * np.sign(flow_mw)
        self._arrows.set_UVC(*(self._along * length[:, None]).T)
        self._arrows.set_color([AWAY if each >= 0 else BACK for each in flow_mw])
        self._arrows.set_alpha(np.where(share < LEAST_SHARE, 0.0, 1.0).tolist())

    def _draw_devices(self, at: Sequence[int], with_room: bool) -> None:
        """Draw every device below its bus, those of one bus side by side; where there is no room, as small markers."""
        self._symbols: list[Drawn] = []
        self._markers = []
        at_bus, before = Counter(at), Counter[int]()
        if with_room:
            for (kind, _, _), bus in zip(self._shown.devices, at, strict=True):
                aside = 2 * before[bus] - (at_bus[bus] - 1)
                before[bus] += 1
                self._symbols.append(Drawn(self._axes, self._place[bus], aside, False, symbol_of(kind)))
            return
        for kind in self._shown.run.scenario.kinds:
            which = [index for index, (other, _, _) in enumerate(self._shown.devices) if other is kind]
            if not which:
                continue
            symbol, side = symbol_of(kind), -1 if kind.turn == Turn.GENERATION else 1
            x, y = MARKER_ASIDE * side, -0.5 * self._dot - 1.8  # below: above stand labels
            below = offset_copy(self._axes.transData, self._axes.get_figure(root=True), x=x, y=y, units="points")
            places = self._place[[at[index] for index in which]]
            marks = self._axes.scatter(
                places[:, 0],
                places[:, 1],
                marker=symbol.marker,
                s=11,
                edgecolors=symbol.colour,
                linewidths=0.4,
                transform=below,
                zorder=5,
            )
            self._markers.append((marks, which, np.array(to_rgb(symbol.fill))))

    def _fill(self, shares: np.ndarray) -> None:
        for drawn, share in zip(self._symbols, shares, strict=False):
            drawn.fill(float(share))
        for marks, which, colour in self._markers:
            marks.set_facecolor([tuple(each) for each in 1.0 - shares[which][:, None] * (1.0 - colour)])


def _ends(vm_pu: np.ndarray) -> tuple[int, int]:
    """Return the nodes with the lowest and the highest voltage."""
    return int(np.nan_to_num(vm_pu, nan=np.inf).argmin()), int(np.nan_to_num(vm_pu, nan=-np.inf).argmax())
