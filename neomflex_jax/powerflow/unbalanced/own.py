"""What a case's setting is on a network with phases: checked, and as its own part of the equations (`ports.py`)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from neomflex_jax.errors import InputError
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.powerflow.network.setting import Setting
from neomflex_jax.powerflow.unbalanced.port_rows import Chosen
from neomflex_jax.powerflow.unbalanced.ports import Own, Ports

ROUNDING = 1e-6  # by which a tap may be beyond its range: single precision


def tap_ranges(feeder: UnbalancedFeeder, chosen: Chosen) -> tuple[tuple[float, float], ...]:
    """Lowest and highest tap of the chosen windings."""
    windings = {
        (element.name, number): winding
        for element in feeder.elements
        for number, winding in enumerate(element.windings, 1)
    }
    return tuple((windings[key].min_tap, windings[key].max_tap) for key in chosen.taps)


def own_of(ports: Ports | None, chosen: Chosen, setting: Setting | None, dtype: DTypeLike) -> Own | None:
    """Work out one case's own part of the equations; None where it sets nothing."""
    if setting is None or (setting.tap_ratio is None and setting.capacitor_share is None):
        _refuse_others(setting)
        return None
    _refuse_others(setting)
    taps, shares = _shaped(chosen, setting, ())
    assert ports is not None  # something was chosen, or _shaped had refused it
    return ports.of_case(*(None if values is None else values.astype(dtype) for values in (taps, shares)))


def checked_setting(
    chosen: Chosen, ranges: tuple[tuple[float, float], ...], setting: Setting | None, batch: tuple[int, ...]
) -> Setting | None:
    """Check the setting of a batch of cases, and return it in the batch's shape.

    Raises
    ------
    InputError
        If it is of what was not bound, has another shape, or outside jit a value out of its range.
    """
    if setting is None:
        return None
    _refuse_others(setting)
    taps, shares = _shaped(chosen, setting, batch)
    if taps is not None:
        lower, upper = (np.array([limits[end] for limits in ranges]) for end in (0, 1))
        names = [f"{name}, winding {number}" for name, number in chosen.taps]
        _check_range("tap_ratio", taps, lower, upper, names)
    if shares is not None:
        ones = np.ones(len(chosen.capacitors))
        _check_range("capacitor_share", shares, 0 * ones, ones, chosen.capacitors)
    return Setting(tap_ratio=taps, capacitor_share=shares)


def _refuse_others(setting: Setting | None) -> None:
    """Refuse what only balanced feeders have."""
    if setting is None:
        return
    for name in ("shunt_mvar", "steady_p_mw", "steady_q_mvar"):
        if getattr(setting, name) is not None:
            raise InputError(
                f"setting has {name}, which feeders with phases do not take; bind with capacitors=[...] and set "
                "capacitor_share, or with device_nodes=[...] and give injections"
            )


def _shaped(chosen: Chosen, setting: Setting, batch: tuple[int, ...]) -> tuple[Array | None, Array | None]:
    """Taps and shares in the batch's shape."""
    found: list[Array | None] = []
    stated = (
        ("tap_ratio", setting.tap_ratio, chosen.taps, "taps"),
        ("capacitor_share", setting.capacitor_share, chosen.capacitors, "capacitors"),
    )
    for name, values, bound, argument in stated:
        if values is None:
            found.append(None)
            continue
        if not bound:
            raise InputError(f"setting has {name}, and none was bound; bind with {argument}=[...]")
        shape = jnp.shape(values)
        if shape[-1:] != (len(bound),) or (len(shape) > 1 and shape[:-1] != batch):
            raise InputError(f"{name} has shape {shape}; expected {(*batch, len(bound))}, in the order that was bound")
        found.append(jnp.broadcast_to(jnp.asarray(values, float), (*batch, len(bound))))
    return found[0], found[1]


def _check_range(
    name: str, values: Array, lower: np.ndarray, upper: np.ndarray, names: tuple[str, ...] | list[str]
) -> None:
    """Refuse a value out of its range; what is traced has none."""
    if isinstance(values, jax.core.Tracer):
        return
    flat = np.asarray(values).reshape(-1, len(names))
    beyond = ~((flat >= lower - ROUNDING) & (flat <= upper + ROUNDING))  # NaN too
    if beyond.any():
        case, place = np.argwhere(beyond)[0]
        raise InputError(
            f"{name}: {names[place]}: {flat[case, place]:.6g} is outside of {lower[place]:g} to {upper[place]:g}"
        )
