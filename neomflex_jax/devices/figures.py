"""What a kind of device says of itself to figures: how it is drawn, and what an operator counts of it."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

Bound: TypeAlias = float | Float[np.ndarray, " n_steps"]  # of a recorded number, for all steps or for each


class Symbol(NamedTuple):
    """How devices of a kind are drawn."""

    label: str  # in legends
    shape: str = "disc"  # in one-line diagrams, filled by a share: "tank", "sun" or "disc"
    marker: str = "D"  # on maps of territories, as Matplotlib names it
    colour: str = "#6B6B6B"  # of markers and outlines
    fill: str = "#CC79A7"


class Look(NamedTuple):
    """What a symbol shows of one device at one moment."""

    filled: float  # share of the symbol, 0 to 1
    numbers: tuple[tuple[float, str], ...] = ()  # beside it, each with its unit; at most two have room


class Lines(NamedTuple):
    """Columns of the step table of which a figure over days draws a line a device."""

    begins: str  # with what a column's name begins, before the bus's label
    ends: str
    one: str  # of them, in legends
    many: str
    title: str  # of the figure, where it shows this kind alone


class Operated(NamedTuple):
    """What an operator counts of a kind over a run; None for what the kind has none of."""

    generated_q_mvar: Float[np.ndarray, "n_steps n_device"] | None = None  # of generation, positive into the grid
    offered_mw: Float[np.ndarray, "n_steps n_device"] | None = None  # by the source, before any curtailment
    fed_in_mw: Float[np.ndarray, "n_steps n_device"] | None = None  # of it
    unserved_mw: Float[np.ndarray, "n_steps n_device"] | None = None  # load
    discharged_mw: Float[np.ndarray, "n_steps n_device"] | None = None  # by storage, at its terminals, at least 0
    usable_mwh: Float[np.ndarray, " n_device"] | None = None  # capacity of storage between its limits
    stored_mwh: Float[np.ndarray, "n_steps n_device"] | None = None  # after each step
    stored_before_mwh: Float[np.ndarray, "n_steps n_device"] | None = None  # before each step


def circle_bounds(s_mva: float, p_mw: Float[np.ndarray, " n_steps"]) -> tuple[Bound, Bound]:
    """Return the lowest and highest reactive power that an inverter of this rating has beside its active power."""
    room_mvar = np.sqrt(np.clip(s_mva**2 - np.square(p_mw), 0.0, None))
    return -room_mvar, room_mvar
