"""Band control: the rule by which a tap changer or capacitor bank keeps a bus's voltage in a dead band, without agents.

    one step that raises the voltage if  vm < vm_set - dead_band / 2,
    one step that lowers the voltage if  vm > vm_set + dead_band / 2,

once the voltage has been outside for `delay` steps in a row, and every `delay` steps from then on while it stays
outside; where it comes back, the count starts again. This is a controller of the definite-time kind, as of IEEE Std
C57.15 or J. Harlow, "Transformer Tap Changing Under Load", without line-drop compensation: name a bus farther away
instead.

`vm` is the voltage that the step before left at the controlled bus; on a feeder with phases the mean over the device's
phases there, for what is ganged has one voltage to go by. That of the step itself depends on the position
that it is to decide: there would be an inner loop of power flows, of unknown length, whose end a batch could only wait
for case by case; and a real controller too measures first and moves later. Nothing has been measured before a run's
first step, nor by a power flow that failed: that is NaN, which no comparison is true of, so that nothing moves.

With a delay of 1 every step is one iteration of pandapower's `DiscreteTapControl` or `DiscreteShuntController`, which
move one step by the last power flow: on loads that stand still positions come to rest where theirs do. The rule has no
derivative: to learners by gradients positions under band control are given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from neomflex_jax.devices.checks import check_above_zero, refuse
from neomflex_jax.fields import check_choice

CONTROLS = ("agent", "band")


class Band(NamedTuple):
    """Dead bands, (n_device,); NaN where an agent moves the device."""

    lower_vm_pu: np.ndarray
    upper_vm_pu: np.ndarray
    raising: np.ndarray  # 1 where a step up raises the voltage, -1 where it lowers it

    @property
    def ruled(self) -> np.ndarray:
        """True where the rule moves the device."""
        return np.isfinite(self.lower_vm_pu)


class HasBand(Protocol):
    """What is asked of a device here."""

    vm_set_pu: float | None
    dead_band_pu: float | None

    @property
    def raising(self) -> int:
        """Direction in which positions raise the voltage of the controlled bus, 1 or -1."""


def band_of(devices: Sequence[HasBand]) -> Band:
    """Return the devices' dead bands."""
    centre, width = (
        np.array([math.nan if value is None else value for value in values], float)
        for values in ([each.vm_set_pu for each in devices], [each.dead_band_pu for each in devices])
    )
    raising = np.array([each.raising for each in devices], float)
    return Band(centre - width / 2, centre + width / 2, raising)


def direction_of(band: Band, vm_pu: Float[Array, " n_device"]) -> Float[Array, " n_device"]:
    """Return by how many steps the rule wants to move, -1, 0 or 1; 0 where it has nothing to say."""
    below, above = vm_pu < jnp.asarray(band.lower_vm_pu), vm_pu > jnp.asarray(band.upper_vm_pu)
    return jnp.where(below, band.raising, jnp.where(above, -band.raising, 0.0))


def check_band(where: str, control: str, **stated: float | None) -> None:
    """Raise `InputError` unless set-point and dead band are stated under band control, and nothing of it without."""
    check_choice(f"{where}: control", control, CONTROLS)
    for name, value in stated.items():
        if control == "agent" and value is not None:
            raise refuse(where, 'be left out, or control be "band"', **{name: value})
        if control == "band" and value is None and name != "controlled_bus":
            raise refuse(where, 'be stated where control is "band"', **{name: value})
        if value is not None and name != "controlled_bus":
            check_above_zero(where, **{name: value})
