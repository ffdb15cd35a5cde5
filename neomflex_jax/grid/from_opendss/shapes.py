"""Load shapes that somebody follows."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_opendss.engine import Engine
from neomflex_jax.grid.unbalanced.load_shape import LoadShape


def read_shapes(engine: Engine, wanted: Collection[str]) -> dict[str, LoadShape]:
    """Read the load shapes of these names, in lower case."""
    return {name: _read(engine, name) for name in sorted(wanted)}


def _read(engine: Engine, name: str) -> LoadShape:
    shapes = engine.LoadShape
    shapes.Name(name)
    _check_stated(engine, name)
    p, q = np.array(shapes.PMult(), float), np.array(shapes.QMult(), float)
    actual, step_h = bool(shapes.UseActual()), float(shapes.HrInterval())
    unit = 1e-3 if actual else 1.0  # kW
    hours = np.array(shapes.TimeArray(), float) if step_h == 0 else None
    return LoadShape(name, step_h, p * unit, q * unit if len(q) == len(p) and q.any() else None, hours, actual)


def _check_stated(engine: Engine, name: str) -> None:
    """Refuse a shape without values: OpenDSS passes `mult` over where no `npts` stands before it."""
    npts = int(engine.LoadShape.Npts())
    engine.Text.Command(f"? loadshape.{name}.mult")
    if npts < 1 or not str(engine.Text.Result()).strip("[] "):
        raise InputError(
            f"load shape {name!r}: npts={npts}, and OpenDSS takes 0 values of mult; state npts, then mult with as many"
        )
