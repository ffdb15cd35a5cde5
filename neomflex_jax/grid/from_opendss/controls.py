"""Controls, from their properties, and capacitors with the steps that controls switch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_opendss.conductors import admittance_of, name_of
from neomflex_jax.grid.from_opendss.engine import Engine, is_on, text_of
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.grid.unbalanced.control import KINDS, CapacitorControl, Control, OtherControl, RegulatorControl
from neomflex_jax.grid.unbalanced.element import GROUND, Bank, Element

# beside RegControl and CapControl, what acts in a power flow of OpenDSS with its controls on
ACT = (
    *("swtcontrol", "invcontrol", "expcontrol", "storagecontroller", "gendispatcher", "fuse", "relay", "recloser"),
    *("upfccontrol", "espvlcontrol"),
)


def read_controls(
    engine: Engine, names: Sequence[str], nodes: Nodes, elements: Sequence[Element]
) -> tuple[Control, ...]:
    """Read the controls of these names, in lower case with their classes."""
    found: list[Control] = []
    for name in names:
        engine.Circuit.SetActiveElement(name)
        try:
            if name.startswith("regcontrol."):
                found.append(_regulator(engine, nodes, elements))
            elif name.startswith("capcontrol."):
                found.append(_capacitor(engine, nodes, elements))
            else:
                found.append(OtherControl(name, "its class is not modelled"))
        except _NotFollowedError as reason:
            found.append(OtherControl(name, str(reason)))
    tapped = [(each.transformer, each.tap_winding) for each in found if isinstance(each, RegulatorControl)]
    switched = [each.capacitor for each in found if isinstance(each, CapacitorControl)]
    for number, each in enumerate(found):
        if isinstance(each, RegulatorControl) and tapped.count((each.transformer, each.tap_winding)) > 1:
            found[number] = OtherControl(each.name, f"another control moves {each.transformer} too")
        if isinstance(each, CapacitorControl) and switched.count(each.capacitor) > 1:
            found[number] = OtherControl(each.name, f"another control switches {each.capacitor} too")
    return tuple(found)


def with_banks(engine: Engine, elements: Sequence[Element]) -> tuple[Element, ...]:
    """Find the steps of capacitors that have several, or not all in; they stand as before afterwards."""
    found, states = list(elements), {}
    for place, element in enumerate(elements):
        if element.kind != "capacitor":
            continue
        engine.Circuit.SetActiveElement(element.name)
        steps = [int(float(value)) for value in _numbers(engine, "states")]
        is_open = bool(engine.CktElement.IsOpen(1, 0))
        if len(steps) > 1 or is_open or not all(steps):
            states[place] = steps, is_open
    if not states:
        return tuple(found)
    _switch(engine, elements, {place: ([1] * len(steps), False) for place, (steps, _) in states.items()})
    for place, (steps, is_open) in states.items():
        element = elements[place]
        engine.Circuit.SetActiveElement(element.name)
        kvar = np.array(_numbers(engine, "kvar"))
        in_order = is_open or steps == sorted(steps, reverse=True)
        if not in_order or kvar.sum() == 0 or (len(steps) > 1 and any(_numbers(engine, "r") + _numbers(engine, "xl"))):
            continue  # stands as it does
        shares = tuple((np.cumsum(kvar) / kvar.sum()).tolist())
        found[place] = replace(element, bank=Bank(shares, 0 if is_open else sum(steps), admittance_of(engine)))
    _switch(engine, elements, states)
    return tuple(found)


def _switch(engine: Engine, elements: Sequence[Element], states: dict[int, tuple[list[int], bool]]) -> None:
    """Put capacitors into these states, steps in and whether opened, and have OpenDSS work out the admittances."""
    for place, (steps, is_open) in states.items():
        name = elements[place].name
        engine.Text.Command(f'edit "{name}" states=({" ".join(map(str, steps))})')
        engine.Text.Command(f'{"open" if is_open else "close"} "{name}" term=1')
    engine.Solution.BuildYMatrix(0, 0)


class _NotFollowedError(Exception):
    """Why a control is not followed."""


def _regulator(engine: Engine, nodes: Nodes, elements: Sequence[Element]) -> RegulatorControl:
    """Read the active RegControl."""
    name, number = name_of(engine), _Figures(engine)
    transformer = "transformer." + text_of(engine, "transformer").lower().rpartition(".")[2]
    element = next((each for each in elements if each.name == transformer and each.windings), None)
    if element is None:
        raise _NotFollowedError("what it moves is no transformer")
    if is_on(engine, "cogen"):
        raise _NotFollowedError("cogen=yes")
    winding, tap_winding, phase = int(number("winding")), int(number("tapwinding")), text_of(engine, "ptphase").lower()
    remote = text_of(engine, "bus").lower()
    if remote and phase != "1":
        raise _NotFollowedError("a remote bus and ptphase other than 1")
    return RegulatorControl(
        *(name, transformer, winding, tap_winding),
        v_set=number("vreg"),
        band=number("band"),
        pt_ratio=number("ptratio"),
        ct_primary_a=number("ctprim"),
        r=number("r"),
        x=number("x"),
        ldc_z=number("ldc_z"),
        phase=phase,
        remote=_remote(remote, nodes, element.windings[winding - 1].connection) if remote else (),
        remote_pt_ratio=number("remoteptratio"),
        delay_s=number("delay"),
        inverse_time=is_on(engine, "inversetime"),
        max_tap_change=int(number("maxtapchange")),
        v_limit=number("vlimit"),
        reversible=is_on(engine, "reversible"),
        rev_v_set=number("revvreg"),
        rev_band=number("revband"),
        rev_r=number("revr"),
        rev_x=number("revx"),
        rev_z=number("rev_z"),
        rev_threshold_kw=number("revthreshold"),
        rev_delay_s=number("revdelay"),
        rev_neutral=is_on(engine, "revneutral"),
        tap_delay_s=number("tapdelay"),
    )


def _remote(text: str, nodes: Nodes, connection: str) -> tuple[int, int]:
    """Nodes between which a remote bus is measured: its first to ground, or to its second in delta."""
    bus, *numbers = text.split(".")
    first, second = (*(numbers or ["1"]), "0")[:2]
    place = {label: position for position, label in enumerate(nodes.labels)} | {f"{bus}.0": GROUND}
    ends = (f"{bus}.{first}", f"{bus}.{second if connection == 'delta' else 0}")
    if any(end not in place for end in ends):
        raise _NotFollowedError(f"its bus {text} has no such node")
    return place[ends[0]], place[ends[1]]


def _capacitor(engine: Engine, nodes: Nodes, elements: Sequence[Element]) -> CapacitorControl:
    """Read the active CapControl."""
    name, number = name_of(engine), _Figures(engine)
    known = {each.name: each for each in elements}
    capacitor = "capacitor." + text_of(engine, "capacitor").lower().rpartition(".")[2]
    measured, kind = text_of(engine, "element").lower(), text_of(engine, "type").lower()
    if kind not in KINDS:
        raise _NotFollowedError(f"type={kind}")
    if capacitor not in known:
        raise _NotFollowedError(f"{capacitor} is not there")
    if measured not in known:
        raise _NotFollowedError(f"it measures at {measured}, which joins no nodes")
    bus = text_of(engine, "vbus").lower().partition(".")[0]
    return CapacitorControl(
        *(name, capacitor, measured, int(number("terminal")), kind),
        on=number("onsetting"),
        off=number("offsetting"),
        pt_ratio=number("ptratio"),
        ct_ratio=number("ctratio"),
        pt_phase=text_of(engine, "ptphase").lower(),
        ct_phase=text_of(engine, "ctphase").lower(),
        delay_s=number("delay"),
        delay_off_s=number("delayoff"),
        dead_time_s=number("deadtime"),
        v_override=is_on(engine, "voltoverride"),
        v_min=number("vmin"),
        v_max=number("vmax"),
        v_nodes=tuple(place for place, owner in enumerate(nodes.bus) if owner == bus) if bus else (),
    )


class _Figures:
    """Numbers among the active element's properties."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __call__(self, name: str) -> float:
        value = float(text_of(self.engine, name))
        if not np.isfinite(value):
            raise InputError(f"{name_of(self.engine)} has {name}={value}; give a finite number")
        return value


def _numbers(engine: Engine, name: str) -> list[float]:
    """Numbers of a property that has several."""
    return [float(value) for value in text_of(engine, name).strip("[]()").replace(",", " ").replace("|", " ").split()]
