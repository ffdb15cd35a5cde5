"""Elements by their primitive admittances, as OpenDSS computes them from line codes, geometries and name plates.

A transformer's fixed part, which its taps do not change, follows from its admittance at two taps: with all windings at
t and at 1.1 t what is within a winding's terminal is ``F + M`` and ``F + M / 1.21``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_opendss.conductors import admittance_of, name_of, nodes_of
from neomflex_jax.grid.from_opendss.engine import Engine, text_of
from neomflex_jax.grid.unbalanced.element import Element, Winding

OTHER_TAP = 1.1  # at which transformers are read a second time, against their present taps
BEYOND = 1e-9  # of decimal numbers at the end of a range of taps
ROUNDING = 1e-10  # of the largest admittance of a winding: below is no fixed part


def read_element(engine: Engine) -> Element:
    """Read the active element."""
    name = name_of(engine)
    rating = float(engine.CktElement.NormalAmps())
    element = Element(
        name=name,
        nodes=nodes_of(engine),
        n_terminals=int(engine.CktElement.NumTerminals()),
        y_siemens=admittance_of(engine),
        max_i_ka=rating / 1000 if rating > 0 else float("nan"),
    )
    if element.kind == "autotrans":
        _check_taps_of_autotransformer(engine, element)
    return replace(element, windings=_windings(engine, element)) if element.kind == "transformer" else element


def with_fixed_parts(engine: Engine, elements: Sequence[Element]) -> tuple[Element, ...]:
    """Find what taps do not change in the transformers' admittances; taps stand as before afterwards."""
    if not any(element.windings for element in elements):
        return tuple(elements)
    _scale_taps(engine, elements, OTHER_TAP)
    found = []
    for element in elements:
        if element.windings:
            engine.Circuit.SetActiveElement(element.name)
            element = replace(element, fixed_siemens=_fixed_part(element, admittance_of(engine)))
        found.append(element)
    _scale_taps(engine, elements, 1.0)
    return tuple(found)


def _windings(engine: Engine, element: Element) -> tuple[Winding, ...]:
    """Read the windings of the active transformer."""
    transformers = engine.Transformers
    transformers.Name(element.name.partition(".")[2])
    windings = []
    for number in range(element.n_terminals):
        transformers.Wdg(number + 1)
        windings.append(
            Winding(
                tap=float(transformers.Tap()),
                min_tap=float(transformers.MinTap()),
                max_tap=float(transformers.MaxTap()),
                n_taps=int(transformers.NumTaps()),
                kv=float(transformers.kV()),
                kva=float(transformers.kVA()),
                connection="delta" if transformers.IsDelta() else "wye",
            )
        )
        _check_tap(element.name, number + 1, windings[-1].tap, (windings[-1].min_tap, windings[-1].max_tap))
    return tuple(windings)


def _check_taps_of_autotransformer(engine: Engine, element: Element) -> None:
    """Look at the windings' taps, which OpenDSS tells of one winding at a time, by its properties."""
    for number in range(1, element.n_terminals + 1):
        engine.Text.Command(f'edit "{element.name}" wdg={number}')
        tap, lowest, highest = (float(text_of(engine, name)) for name in ("tap", "mintap", "maxtap"))
        _check_tap(element.name, number, tap, (lowest, highest))


def _check_tap(name: str, number: int, tap: float, within: tuple[float, float]) -> None:
    """Refuse a tap that the changer does not have: OpenDSS takes it where a file states it."""
    lowest, highest = within
    if not lowest - BEYOND <= tap <= highest + BEYOND:
        raise InputError(
            f"{name}: winding {number} is at tap={tap:g}, outside mintap={lowest:g} to "
            f"maxtap={highest:g}; mend the tap, or state the winding's range"
        )


def _scale_taps(engine: Engine, elements: Sequence[Element], factor: float) -> None:
    """Set all taps to a multiple of what was read, and have OpenDSS work out the admittances anew."""
    for element in elements:
        if element.windings:
            engine.Transformers.Name(element.name.partition(".")[2])
        for number, winding in enumerate(element.windings, 1):
            engine.Transformers.Wdg(number)
            # beyond the winding's limits OpenDSS would not go
            engine.Transformers.MaxTap(max(winding.max_tap, winding.tap * factor) if factor != 1 else winding.max_tap)
            engine.Transformers.Tap(winding.tap * factor)
    engine.Solution.BuildYMatrix(0, 0)


def _fixed_part(element: Element, moved: np.ndarray) -> np.ndarray | None:
    """Part of the admittance that stayed when all taps went to a multiple; None if there is none."""
    fixed, size = np.zeros_like(element.y_siemens), element.n_conductors
    for number in range(element.n_terminals):
        own = np.s_[number * size : (number + 1) * size, number * size : (number + 1) * size]
        present = element.y_siemens[own]
        stayed = present - (present - moved[own]) / (1 - OTHER_TAP**-2)
        fixed[own] = np.where(np.abs(stayed) > ROUNDING * np.abs(present).max(), stayed, 0)
    return fixed if fixed.any() else None
