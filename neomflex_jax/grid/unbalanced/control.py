"""Controls that move taps and switch capacitors, as OpenDSS's RegControl and CapControl state them.

A regulator control measures ``|v / pt_ratio + (r + j x) i / ct_primary_a|`` at a winding, i into it (line-drop
compensation; or a remote bus), in volts, and asks for the tap that brings it to `v_set` where it is beyond the band. A
capacitor control switches a step in or out where what it measures passes `on` or `off`.
`powerflow/unbalanced/control_rules.py` has the rules. Source: R. C. Dugan, "OpenDSS Manual", chapters on RegControl and
CapControl; the field names are its properties'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

HIGHEST, LOWEST, MEAN = "max", "min", "avg"  # of the phases, in the place of one of them
KINDS = ("voltage", "current", "kvar", "time")  # of capacitor controls


@dataclass(frozen=True)
class RegulatorControl:
    """What moves one winding's tap; seconds, volts at the relay, and ohms in volts at the CT's rated current."""

    name: str  # with its class: regcontrol.reg1
    transformer: str  # with its class: transformer.reg1
    winding: int  # whose voltage and current it measures, from 1
    tap_winding: int  # whose tap it moves
    v_set: float
    band: float
    pt_ratio: float
    ct_primary_a: float = 300.0
    r: float = 0.0
    x: float = 0.0
    ldc_z: float = 0.0  # above 0: |v| - ldc_z |i| in the place of the compensation by r and x
    phase: str = "1"  # a number, `max` or `min`
    remote: tuple[int, ...] = ()  # positions of the two nodes of a remote bus that it measures between; (): its winding
    remote_pt_ratio: float = 60.0
    delay_s: float = 15.0
    inverse_time: bool = False  # the delay is shorter the further the voltage is off
    max_tap_change: int = 16  # steps at a time
    v_limit: float = 0.0  # at the winding; 0: none
    reversible: bool = False  # has other settings while power flows back
    rev_v_set: float = 120.0
    rev_band: float = 3.0
    rev_r: float = 0.0
    rev_x: float = 0.0
    rev_z: float = 0.0
    rev_threshold_kw: float = 100.0
    rev_delay_s: float = 60.0
    rev_neutral: bool = False  # goes to the neutral tap while power flows back
    tap_delay_s: float = 2.0


@dataclass(frozen=True)
class CapacitorControl:
    """What switches the steps of one capacitor."""

    name: str  # with its class: capcontrol.c1
    capacitor: str  # with its class
    element: str  # where it measures, with its class
    terminal: int  # of that, from 1
    kind: str  # one of KINDS
    on: float  # volts at the relay, amperes at the relay, kvar or hours
    off: float
    pt_ratio: float = 60.0
    ct_ratio: float = 60.0
    pt_phase: str = "1"  # a number, `max`, `min` or `avg`
    ct_phase: str = "1"
    delay_s: float = 15.0
    delay_off_s: float = 15.0
    dead_time_s: float = 300.0  # from switching out to switching in again
    v_override: bool = False  # switches in below v_min and out above v_max, whatever else it measures
    v_min: float = 115.0
    v_max: float = 126.0
    v_nodes: tuple[int, ...] = ()  # positions of the nodes of a bus of its own for that; (): the element's terminal


@dataclass(frozen=True)
class OtherControl:
    """A control that is not followed."""

    name: str  # with its class
    reason: str  # after "is not followed: "


Control: TypeAlias = RegulatorControl | CapacitorControl | OtherControl
