"""Loads by their models.

Facts of OpenDSS that are not in its manual: the neutral's resistance of a load does not act in a power flow; between
`vlowpu` and `vminpu` the current of models 1, 3, 4, 5 and 8 runs in a straight line, that of models 6 and 7 is an
impedance's; model 6 and 7 leave q as it is whatever the load's multiplier.
"""

from __future__ import annotations

from dataclasses import replace

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_opendss.conductors import name_of, nodes_of
from neomflex_jax.grid.from_opendss.engine import Engine, text_of
from neomflex_jax.grid.unbalanced.load import Load
from neomflex_jax.grid.unbalanced.load_model import OPENDSS, LoadModel

CVR, FIXED_Q, ZIP = 4, (6, 7), 8
FIXED, EXEMPT = 1, 2  # load status: not scaled by the circuit's loadmult
NO_VOLTAGE = 1e-9  # limits of 0 would divide by it


def read_load(engine: Engine) -> Load:
    """Read the active load, in the state of a snapshot."""
    name, loads = name_of(engine), engine.Loads
    if engine.CktElement.IsOpen(1, 0):
        raise InputError(f"{name} has an open conductor, which is not modelled for loads; disable it instead")
    loads.Name(name.partition(".")[2])
    number, n_phases = int(loads.Model()), int(loads.Phases())
    factor = 1.0 if int(loads.Status()) in (FIXED, EXEMPT) else float(engine.Solution.LoadMult())
    return Load(
        name=name,
        nodes=nodes_of(engine),
        n_phases=n_phases,
        connection="delta" if loads.IsDelta() else "wye",
        v_nominal_kv=branch_kv(float(loads.kV()), n_phases, delta=bool(loads.IsDelta())),
        p_mw=float(loads.kW()) * factor / 1000,
        q_mvar=float(loads.kvar()) * (1.0 if number in FIXED_Q else factor) / 1000,
        model=_model(engine, name, number),
        shapes=shapes_of(engine),
    )


def branch_kv(kv: float, n_phases: int, *, delta: bool) -> float:
    """Nominal voltage across a branch: `kv` is line to line for two and three phases, else the branch's own."""
    return kv / 3**0.5 if n_phases in (2, 3) and not delta else kv


def shapes_of(engine: Engine) -> dict[str, str]:
    """Names of the shapes that the active element follows, in lower case."""
    names = {use: text_of(engine, use).lower() for use in ("daily", "yearly", "duty")}
    return {use: name for use, name in names.items() if name and name != "none"}


def _model(engine: Engine, name: str, number: int) -> LoadModel:
    loads = engine.Loads
    limits = LoadModel(
        v_min_pu=max(float(loads.Vminpu()), NO_VOLTAGE),
        v_max_pu=float(loads.Vmaxpu()) or 1.0,
        v_low_pu=float(text_of(engine, "VLowpu")),
    )
    if number in OPENDSS:
        p_inside, q_inside, p_outside, q_outside = OPENDSS[number]
    elif number == ZIP:
        zip_v = [float(value) for value in loads.ZipV()]
        if len(zip_v) != 7:
            raise InputError(f"{name} has model 8 and no zipv; give its seven figures")
        p_inside = p_outside = (zip_v[0], zip_v[1], zip_v[2])
        q_inside = q_outside = (zip_v[3], zip_v[4], zip_v[5])
        limits = replace(limits, cut_off_pu=max(zip_v[6], 0.0))
    else:
        raise InputError(f"{name} has load model {number}; 1 to 8 are modelled")
    if number == CVR:
        limits = replace(limits, p_exponent=float(loads.CVRwatts()), q_exponent=float(loads.CVRvars()))
    if number not in FIXED_Q:
        limits = replace(limits, v_line_pu=limits.v_low_pu)
    return replace(limits, p_inside=p_inside, q_inside=q_inside, p_outside=p_outside, q_outside=q_outside)
