"""Figures that OpenDSS divides by, looked at before it does.

A rated voltage or power of 0 turns an admittance into no number, and one such admittance leaves every voltage of the
circuit without a value: what OpenDSS then says names the source's bus, or nothing. So what is at fault is looked for
here, element by element, and named with its bus.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import NamedTuple

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_opendss.conductors import name_of
from neomflex_jax.grid.from_opendss.engine import Engine, text_of

RATED = {  # what has to be above 0, by class
    "load": ("kv",),
    "generator": ("kv",),
    "pvsystem": ("kv",),
    "storage": ("kv", "kva"),
    "capacitor": ("kv",),
    "vsource": ("basekv",),
}
POWERS = {"load": ("kw", "kvar"), "generator": ("kw", "kvar"), "pvsystem": ("pmpp",), "storage": ("kw",)}  # finite ones
IMPEDANCES = {"reactor": ("r", "x", "kv", "kvar"), "fault": ("r",)}  # by which class states its admittance
WITH_WINDINGS = ("transformer", "autotrans")


class _Figure(NamedTuple):
    """A figure that is not what it has to be."""

    text: str  # as OpenDSS has it
    allowed: str


def check_figures(engine: Engine) -> None:
    """Look at the figures of a circuit whose admittances OpenDSS has worked out, or tried to.

    Raises
    ------
    InputError
        For the first element with a figure that leaves its admittance or current without a value, naming both.
    """
    frequency = float(engine.Solution.Frequency())
    if not (isfinite(frequency) and frequency > 0):
        raise InputError(f"the file sets frequency={frequency:g}; set the grid's, above 0 Hz")
    for full_name in engine.Circuit.AllElementNames():
        engine.Circuit.SetActiveElement(full_name)
        if not engine.CktElement.Enabled():
            continue
        for found in _wrong(engine, full_name.partition(".")[0].lower()):
            raise InputError(f"{name_of(engine)} at {_place(engine)} has {found.text}; {found.allowed}")


def _wrong(engine: Engine, kind: str) -> Iterator[_Figure]:
    """Figures of the active element that are not usable."""
    for name in RATED.get(kind, ()):
        yield from _not_above_zero(engine, name)
    for name in POWERS.get(kind, ()):
        text = text_of(engine, name)
        if not isfinite(_number(text)):
            yield _Figure(f"{name}={text}", "give a finite number (pf=0 makes none)")
    if kind in WITH_WINDINGS:
        yield from _wrong_windings(engine)
    if kind == "line":
        yield from _wrong_line(engine)
    if kind in IMPEDANCES and not _finite_admittance(engine):
        stated = " ".join(f"{name}={text_of(engine, name)}" for name in IMPEDANCES[kind])
        yield _Figure(stated, "these make no finite admittance, so give an impedance other than 0")


def _not_above_zero(engine: Engine, name: str, where: str = "") -> Iterator[_Figure]:
    text = text_of(engine, name)
    if not (isfinite(_number(text)) and _number(text) > 0):
        what = "voltage in kV" if name.endswith("kv") else "power in kVA"
        yield _Figure(f"{name}={text}{where}", f"give its rated {what}, a finite number above 0")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # OpenDSS writes none of what is no number
        return float("nan")


def _wrong_windings(engine: Engine) -> Iterator[_Figure]:
    """Rated voltages of all windings, and the rated power of the first, in which the impedances are."""
    name = name_of(engine)
    for number in range(1, int(engine.CktElement.NumTerminals()) + 1):
        engine.Text.Command(f'edit "{name}" wdg={number}')
        for figure in ("kv", "kva") if number == 1 else ("kv",):
            yield from _not_above_zero(engine, figure, f" (winding {number})")


def _wrong_line(engine: Engine) -> Iterator[_Figure]:
    """A line without length, or a phase of it without impedance; OpenDSS inverts the matrix of both."""
    lines = engine.Lines
    lines.Name(name_of(engine).partition(".")[2])
    if float(lines.Length()) == 0:
        yield _Figure("length=0", "give a length above 0, a switch too")
    own = slice(None, None, int(lines.Phases()) + 1)  # of a square matrix, row after row: its diagonal
    if not np.any([lines.RMatrix()[own], lines.XMatrix()[own]], axis=0).all():
        yield _Figure("no impedance (r and x are 0)", "give r1, x1, r0 and x0 or matrices, or for a switch switch=yes")


def _finite_admittance(engine: Engine) -> bool:
    return bool(np.isfinite(engine.CktElement.YPrim()).all())


def _place(engine: Engine) -> str:
    """Buses of the active element, as the file names them."""
    buses = [str(bus).partition(".")[0].lower() for bus in engine.CktElement.BusNames()]
    named = list(dict.fromkeys(bus for bus in buses if bus))
    return f"{'buses' if len(named) > 1 else 'bus'} {' and '.join(named)}"
