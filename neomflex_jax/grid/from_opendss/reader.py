"""The whole circuit, element by element."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neomflex_jax.errors import InputError, short_path
from neomflex_jax.grid.from_opendss.controls import ACT, read_controls, with_banks
from neomflex_jax.grid.from_opendss.elements import read_element, with_fixed_parts
from neomflex_jax.grid.from_opendss.engine import Engine, circuit_at, opened
from neomflex_jax.grid.from_opendss.figures import check_figures
from neomflex_jax.grid.from_opendss.generation import read_generation
from neomflex_jax.grid.from_opendss.loads import read_load
from neomflex_jax.grid.from_opendss.shapes import read_shapes
from neomflex_jax.grid.from_opendss.sources import read_source
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.grid.unbalanced.element import Element
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.grid.unbalanced.grounding import check_grounded
from neomflex_jax.grid.unbalanced.load import Load
from neomflex_jax.grid.unbalanced.source import Source
from neomflex_jax.grid.unbalanced.supply import refuse_unfed_loads, unfed_text

JOIN_NODES = ("line", "transformer", "autotrans", "capacitor", "reactor", "fault")
SOURCES = ("vsource", "isource")
FEED_IN = ("generator", "pvsystem", "storage")
FOLLOWED = ("regcontrol", "capcontrol")
OPENDSS_BASES = [0.208, 0.48, 12.47, 24.9, 34.5, 115.0, 230.0]  # kV, of a file that sets none
NO_PART = ("energymeter", "monitor", "sensor", "fmonitor")


def read_feeder(path: str | Path, *, name: str | None = None, strict: bool = True) -> UnbalancedFeeder:
    """Read the circuit that a file of OpenDSS makes; `Feeder.from_opendss` says what is raised and `strict` is."""
    path = Path(path)
    with opened(path, check_figures) as engine:
        try:
            feeder = _read(engine)
        except InputError as error:
            raise InputError(f"{short_path(path)}: {error}") from None
    try:
        _check_finite({load.name: [load.p_mw, load.q_mvar, load.v_nominal_kv] for load in feeder.loads})
        _check_finite({source.element.name: source.i_ampere for source in feeder.sources})
        if strict:
            refuse_unfed_loads(feeder)
    except InputError as error:
        raise InputError(f"{short_path(path)}: {error}") from None
    if unfed := unfed_text(feeder):
        warnings.warn(f"{short_path(path)}: {unfed}", stacklevel=3)
    return replace(feeder, name=name or feeder.name, circuit=circuit_at(path))


def _read(engine: Engine) -> UnbalancedFeeder:
    nodes = _nodes(engine)
    elements: list[Element] = []
    sources: list[Source] = []
    loads: list[Load] = []
    controls: list[str] = []
    for full_name in engine.Circuit.AllElementNames():
        engine.Circuit.SetActiveElement(full_name)
        if not engine.CktElement.Enabled():
            continue
        kind = full_name.partition(".")[0].lower()
        if kind in JOIN_NODES:
            elements.append(read_element(engine))
        elif kind in SOURCES:
            sources.append(read_source(engine))
        elif kind == "load":
            loads.append(read_load(engine))
        elif kind in FEED_IN:
            loads.append(read_generation(engine))
        elif kind in (*FOLLOWED, *ACT):
            controls.append(full_name.lower())
        elif kind not in NO_PART:
            raise InputError(
                f"{full_name.lower()} is no element that is modelled ({', '.join((*JOIN_NODES, 'load', *FEED_IN))}); "
                "disable it, or put a load or generator of constant power in its place"
            )
    _check_finite({element.name: element.y_siemens for element in elements})
    circuit = UnbalancedFeeder(
        name=str(engine.Circuit.Name()).lower(),
        nodes=nodes,
        v_base_kv=np.ones(len(nodes)),
        elements=tuple(elements),
        sources=tuple(sources),
        loads=tuple(loads),
    )
    check_grounded(circuit)  # what nothing grounds leaves OpenDSS without the voltages from which bases follow
    v_base_kv = _bases(engine, nodes)
    read = with_fixed_parts(engine, with_banks(engine, elements))
    return replace(
        circuit,
        v_base_kv=v_base_kv,
        elements=read,
        load_shapes=read_shapes(engine, {shape for load in loads for shape in load.shapes.values()}),
        coordinates=_coordinates(engine, nodes),
        frequency_hz=float(engine.Solution.Frequency()),
        controls=read_controls(engine, controls, nodes, read),
    )


def _check_finite(figures: Mapping[str, Any]) -> None:
    """Refuse what is no number: OpenDSS takes `kw=nan`, and sums take it further."""
    for name, values in figures.items():
        if not np.isfinite(values).all():
            raise InputError(f"{name} has a figure that is no finite number; mend it in the file")


def _nodes(engine: Engine) -> Nodes:
    labels = tuple(label.lower() for label in engine.Circuit.YNodeOrder())
    return Nodes(labels, tuple(label.rpartition(".")[0] for label in labels))


def _bases(engine: Engine, nodes: Nodes) -> np.ndarray:
    """Base of each node, line to ground in kV, by OpenDSS's `calcvoltagebases` if the file does without."""
    found = _stated_bases(engine, nodes)
    if not all(found.values()):
        if sorted(engine.Settings.VoltageBases()) == OPENDSS_BASES:  # the file sets none
            engine.Text.Command(f"set voltagebases=[{' '.join(map(str, _rated_kv(engine)))}]")
        engine.Text.Command("calcvoltagebases")
        found = _stated_bases(engine, nodes)
    without = [bus for bus, base in found.items() if not base]
    if without:
        raise InputError(f"bus {without[0]} has no base voltage; set voltagebases=[...] and calcvoltagebases in it")
    return np.array([found[bus] for bus in nodes.bus])


def _rated_kv(engine: Engine) -> list[float]:
    """Line to line voltages in kV that sources and transformers are rated for."""
    found = set()
    for name in engine.Vsources.AllNames():
        engine.Vsources.Name(name)
        found.add(float(engine.Vsources.BasekV()) * (3**0.5 if engine.Vsources.Phases() == 1 else 1.0))
    for name in engine.Transformers.AllNames():
        engine.Transformers.Name(name)
        factor = 3**0.5 if engine.CktElement.NumPhases() == 1 else 1.0
        for winding in range(1, engine.Transformers.NumWindings() + 1):
            engine.Transformers.Wdg(winding)
            found.add(float(engine.Transformers.kV()) * factor)
    return sorted(kv for kv in found if np.isfinite(kv) and kv > 0)


def _stated_bases(engine: Engine, nodes: Nodes) -> dict[str, float]:
    found = {}
    for bus in nodes.bus_labels:
        engine.Circuit.SetActiveBus(bus)
        found[bus] = float(engine.Bus.kVBase())
    return found


def _coordinates(engine: Engine, nodes: Nodes) -> dict[str, tuple[float, float]]:
    found = {}
    for bus in nodes.bus_labels:
        engine.Circuit.SetActiveBus(bus)
        if engine.Bus.Coorddefined():
            found[bus] = (float(engine.Bus.X()), float(engine.Bus.Y()))
    return found
