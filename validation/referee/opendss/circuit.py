"""A feeder's circuit, opened in OpenDSS to be given loads, injections and taps step by step.

OpenDSS reads the file that the feeder was made of, not our tables. Signs and units flip here: kW and kvar of
consumption. What devices feed in at a node is a load of OpenDSS's own between that node and ground, of model 1, with
limits that leave it a constant power at any voltage. PV systems and storages of the file, which follow the sun or
a state of charge, give way to generators at the same place: they too feed in what the record says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from weakref import finalize

import numpy as np

from neomflex_jax.errors import InputError, short_path
from neomflex_jax.files.paths import is_file
from neomflex_jax.grid.from_opendss.engine import Engine, circuit_at, opened, text_of
from neomflex_jax.grid.unbalanced.circuit import Circuit
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from validation.referee.opendss.agreement import check_agreement

SetPower = Callable[[float, float], None]  # of one element: what it consumes in kW and kvar
PREFIX = "neomflex_referee_"  # of names of elements that are added to the circuit
TOLERANCE = 1e-10  # of OpenDSS: largest relative change of a voltage in its last iteration
MAX_ITERATIONS = 200
ANY_VOLTAGE = "vminpu=1e-9 vlowpu=1e-9 vmaxpu=1e9"  # within these limits power is constant


@dataclass(frozen=True, eq=False)
class OpenCircuit:
    """OpenDSS with a feeder's circuit; positions are the feeder's."""

    engine: Engine
    feeder: UnbalancedFeeder
    device_nodes: tuple[int, ...]
    loads: tuple[SetPower, ...]  # (n_load,)
    devices: tuple[SetPower, ...]  # (n_device_node,)

    def set_loads(self, p_mw: np.ndarray, q_mvar: np.ndarray) -> None:
        """Set what every load consumes at its nominal voltage, (n_load,)."""
        for set_power, p, q in zip(self.loads, (1000 * p_mw).tolist(), (1000 * q_mvar).tolist(), strict=True):
            set_power(p, q)

    def set_devices(self, p_mw: np.ndarray, q_mvar: np.ndarray) -> None:
        """Set what devices feed in, (n_device_node,)."""
        for set_power, p, q in zip(self.devices, (-1000 * p_mw).tolist(), (-1000 * q_mvar).tolist(), strict=True):
            set_power(p, q)

    def set_taps(self, tapped: Sequence[tuple[str, int]], taps: np.ndarray) -> None:
        """Set windings, by their transformers' names and their own numbers from 1, to taps in per unit."""
        transformers = self.engine.Transformers
        for (name, winding), tap in zip(tapped, taps.tolist(), strict=True):
            transformers.Name(name.partition(".")[2])
            transformers.Wdg(winding)
            if transformers.Tap() != tap:
                transformers.Tap(tap)

    def set_steps(self, names: Sequence[str], steps: np.ndarray) -> None:
        """Set how many steps of capacitors are in, by their names."""
        capacitors, element = self.engine.Capacitors, self.engine.CktElement
        for name, wanted in zip(names, steps.tolist(), strict=True):
            capacitors.Name(name.partition(".")[2])
            self.engine.Circuit.SetActiveElement(name)
            states = [int(number < wanted) for number in range(capacitors.NumSteps())]
            if list(capacitors.States()) != states:
                capacitors.States(states)
            if bool(element.IsOpen(1, 0)):
                element.Close(1, 0)


def check_circuit(feeder: UnbalancedFeeder) -> Circuit:
    """Return the circuit that a feeder was made of, once it is known that OpenDSS can read it.

    Raises
    ------
    InputError
        If the feeder names none, its file is gone or says something else since, or opendssdirect.py is not installed.
    """
    circuit = feeder.circuit
    if circuit is None:
        raise InputError(
            f"feeder {feeder.name!r} has phases, and names no file that OpenDSS or pandapower could read to judge it; "
            "name the .dss file itself as the feeder, or a folder of one read from it or from a net.json"
        )
    try:
        import opendssdirect  # noqa: F401
    except ImportError:
        raise InputError(
            f"feeder {feeder.name!r} is judged by OpenDSS, which is not installed: pip install 'neomflex-jax[opendss]'"
        ) from None
    if not is_file(circuit.path):
        raise InputError(
            f"{short_path(circuit.path)}: the circuit that feeder {feeder.name!r} was made of is gone; put it back"
        )
    if circuit_at(circuit.path) != circuit:
        raise InputError(
            f"{short_path(circuit.path)} says something else than when feeder {feeder.name!r} was made of it; make the "
            "feeder again, and play the run on it again"
        )
    return circuit


def open_circuit(feeder: UnbalancedFeeder, device_nodes: Sequence[int] = ()) -> OpenCircuit:
    """Have OpenDSS read a feeder's circuit.

    Parameters
    ----------
    feeder
        Of a `circuit`.
    device_nodes
        Positions of the nodes at which devices feed in.

    Returns
    -------
    OpenCircuit
        In a context of its own, beside whatever circuits this process has open.

    Raises
    ------
    InputError
        As `check_circuit`, and if what OpenDSS reads is another feeder, naming a node or load.
    """
    circuit = check_circuit(feeder)
    here, kept = os.getcwd(), ExitStack()
    try:
        engine = kept.enter_context(opened(circuit.path))
        os.chdir(here)  # reading goes to the files' folders
        check_agreement(engine, feeder)
        devices = _add_devices(engine, feeder, device_nodes)
        generators = _replace_stores(engine, feeder)
        for command in ("loadmult=1", "genmult=1", f"tolerance={TOLERANCE}", f"maxiterations={MAX_ITERATIONS}"):
            engine.Text.Command(f"set {command}")
        numbers = {name.lower(): number for number, name in enumerate(engine.Loads.AllNames(), 1)}
        loads = tuple(
            _load(engine, numbers[own]) if kind == "load" else _generator(engine, generators.get(load, own))
            for load, (kind, _, own) in ((load.name, load.name.partition(".")) for load in feeder.loads)
        )
        set_devices = tuple(_load(engine, numbers[name]) for name in devices)
        found = OpenCircuit(engine, feeder, tuple(device_nodes), loads, set_devices)
        finalize(found, kept.close)  # which also runs when the process ends
        return found
    except BaseException:
        kept.close()
        raise


def _add_devices(engine: Engine, feeder: UnbalancedFeeder, nodes: Sequence[int]) -> list[str]:
    """Add a constant power between each node and ground; return their names."""
    names = []
    for node in nodes:
        names.append(f"{PREFIX}{node}")
        place = f"bus1={_plain(feeder.node_labels[node])} phases=1 conn=wye kv={float(feeder.v_base_kv[node])!r}"
        engine.Text.Command(f"new load.{names[-1]} {place} kw=0 kvar=0 model=1 status=fixed {ANY_VOLTAGE}")
    return names


def _replace_stores(engine: Engine, feeder: UnbalancedFeeder) -> dict[str, str]:
    """Put a generator in the place of each PV system and storage; return their names by those of the loads."""
    found = {}
    for number, load in enumerate(feeder.loads):
        if load.name.partition(".")[0] not in ("pvsystem", "storage"):
            continue
        engine.Circuit.SetActiveElement(load.name)
        stated = {"phases": str(engine.CktElement.NumPhases()), "bus1": engine.CktElement.BusNames()[0]}
        stated |= {name: text_of(engine, name) for name in ("kv", "conn", "model", "vminpu", "vmaxpu")}
        engine.Text.Command(f"disable {load.name}")
        found[load.name] = f"{PREFIX}{number}"
        values = " ".join(f"{name}={_plain(value)}" for name, value in stated.items())
        engine.Text.Command(f"new generator.{found[load.name]} {values} kw=1 kvar=0")
    return found


def _plain(value: object) -> str:
    """Text of a value from a user's file, which may tell OpenDSS nothing beside itself."""
    text = str(value)
    if re.search(r"[\s,=\"'()\[\]{}@~!/]", text):
        raise InputError(f"{text!r} cannot be told to OpenDSS as one word; give that bus a plain name")
    return text


def _load(engine: Engine, number: int) -> SetPower:
    """How a load of OpenDSS's is set, by its number from 1."""
    loads = engine.Loads
    idx, kw, kvar = loads.Idx, loads.kW, loads.kvar

    def set_power(p_kw: float, q_kvar: float) -> None:
        idx(number)
        kw(p_kw)
        kvar(q_kvar)  # after kW, which changes it by the power factor

    return set_power


def _generator(engine: Engine, name: str) -> SetPower:
    """How a generator is set: what it feeds in is a negative consumption."""
    generators = engine.Generators

    def set_power(p_kw: float, q_kvar: float) -> None:
        generators.Name(name)
        generators.kW(-p_kw)
        generators.kvar(-q_kvar)

    return set_power
