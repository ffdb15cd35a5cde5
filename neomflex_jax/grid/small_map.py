"""A feeder's map for a notebook: lines and dots in pixels, placed as `places.py` has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neomflex_jax.grid.places import bus_places
from neomflex_jax.grid.topology import Topology

MOST_BUSES = 300  # more are no small picture
STEP_X, STEP_Y, MARGIN = 22.0, 16.0, 12.0  # pixels
MOST_WIDE, MOST_HIGH = 760.0, 420.0
PLAIN, SLACK = "#0072B2", "#000000"


@dataclass(frozen=True)
class Line:
    """A branch, in pixels."""

    x1: float
    y1: float
    x2: float
    y2: float
    closed: bool


@dataclass(frozen=True)
class Dot:
    """A bus, in pixels."""

    x: float
    y: float
    radius: float
    colour: str
    title: str


@dataclass(frozen=True)
class Map:
    """A feeder as lines and dots."""

    width: float
    height: float
    title: str
    lines: tuple[Line, ...]
    dots: tuple[Dot, ...]


def small_map(topology: Topology, titles: Sequence[str], colours: Sequence[str] = ()) -> Map | None:
    """Return a feeder's map for a notebook, None if it has too many buses for one.

    Parameters
    ----------
    topology
        The feeder's.
    titles
        What is said of each bus where the mouse rests on it, (n_bus,).
    colours
        Of each bus; empty: one for all.
    """
    if topology.n_bus > MOST_BUSES:
        return None
    place = bus_places(topology)
    most = np.maximum(place.max(axis=0), 1.0)
    step = np.minimum((STEP_X, STEP_Y), (MOST_WIDE / most[0], MOST_HIGH / most[1]))
    x, y = (np.round(MARGIN + place * step, 1)).T.tolist()
    fills = colours or [PLAIN] * topology.n_bus
    ends = zip(topology.from_bus, topology.to_bus, topology.in_service, strict=True)
    return Map(
        width=round(2 * MARGIN + float(most[0] * step[0]), 1),
        height=round(2 * MARGIN + float(most[1] * step[1]), 1),
        title=f"{topology.n_bus} buses; the slack is black, dashed branches are open",
        lines=tuple(Line(x[one], y[one], x[other], y[other], bool(closed)) for one, other, closed in ends),
        dots=tuple(
            Dot(x[bus], y[bus], 3.5, SLACK if bus == topology.slack else fills[bus], titles[bus])
            for bus in range(topology.n_bus)
        ),
    )
