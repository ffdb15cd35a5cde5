"""Generators, PV systems and storages as what they feed in at present: loads of negative power.

OpenDSS says what they do once it has solved: with the voltage m of each branch, in per unit of the nominal one, the
nominal power is what all branches take together over ``sum k(m) m^2``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_opendss.conductors import currents_of, name_of, nodes_of, voltages_of
from neomflex_jax.grid.from_opendss.engine import Engine, is_on, text_of
from neomflex_jax.grid.from_opendss.loads import branch_kv, shapes_of
from neomflex_jax.grid.unbalanced.load import Load
from neomflex_jax.grid.unbalanced.load_model import OPENDSS, LoadModel

POWER, IMPEDANCE = 1, 2
WAY_OUT = "set model=1, a constant power"


def read_generation(engine: Engine) -> Load:
    """Read the active generator, PV system or storage."""
    name = name_of(engine)
    kind, number = name.partition(".")[0], int(float(text_of(engine, "model")))
    if number not in (POWER, IMPEDANCE):
        raise InputError(f"{name} has model {number}, which is not modelled; {WAY_OUT}")
    if is_on(engine, "balanced"):
        raise InputError(f"{name} has balanced=yes, which is not modelled; set balanced=no")
    if kind != "generator":
        if is_on(engine, "limitcurrent"):
            raise InputError(f"{name} has limitcurrent=yes, which is not modelled; set limitcurrent=no")
        if text_of(engine, "controlmode").upper() != "GFL":
            raise InputError(f"{name} forms the grid, which is not modelled; set controlmode=GFL")
    p, _, _, p_outside = OPENDSS[number]
    model = LoadModel(
        *(p, p, p_outside, p_outside),
        v_min_pu=float(text_of(engine, "vminpu")),
        v_max_pu=float(text_of(engine, "vmaxpu")),
    )
    n_phases, delta = int(engine.CktElement.NumPhases()), text_of(engine, "conn").lower().startswith(("d", "l"))
    load = Load(
        name=name,
        nodes=nodes_of(engine),
        n_phases=n_phases,
        connection="delta" if delta else "wye",
        v_nominal_kv=branch_kv(float(text_of(engine, "kv")), n_phases, delta=delta),
        p_mw=0.0,
        q_mvar=0.0,
        model=model,
        s_mva=float(text_of(engine, "kva")) / 1000,
        shapes=shapes_of(engine),
    )
    p_mw, q_mvar = _nominal_powers(engine, load, number)
    return replace(load, p_mw=p_mw, q_mvar=q_mvar)


def _nominal_powers(engine: Engine, load: Load, number: int) -> tuple[float, float]:
    """Nominal powers of the active element, from what it takes at the solved voltages."""
    volts = dict(zip(load.nodes, voltages_of(engine), strict=True)) | {-1: 0j}
    taken_mva = (voltages_of(engine) * currents_of(engine).conj()).sum() / 1e6
    m = np.array([abs(volts[start] - volts[end]) for start, end in load.branches]) / (1000 * load.v_nominal_kv)
    follows = m**2 if number == IMPEDANCE else (m / np.clip(m, load.model.v_min_pu, load.model.v_max_pu)) ** 2
    share = float(follows.mean())
    if share == 0:
        raise InputError(f"{load.name} has no voltage in OpenDSS's solution; join it to the source, or disable it")
    return float(taken_mva.real) / share, float(taken_mva.imag) / share
