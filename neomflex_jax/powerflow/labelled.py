"""What users state of single cases, ratios and shunts by the labels that they know, as a setting of the power flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import summarise_labels
from neomflex_jax.powerflow.bound import PowerFlow
from neomflex_jax.powerflow.network.setting import Setting
from neomflex_jax.powerflow.network.taps import tap_branches

Ends = tuple[int, int]  # labels of a branch's from and to bus


def in_order_of(solver: PowerFlow, feeder: Feeder, taps: Mapping[Ends, ArrayLike]) -> dict[Ends, ArrayLike]:
    """Put ratios into the order of the branches that a method was bound with.

    Raises
    ------
    InputError
        If it was bound with others.
    """
    if not taps:
        return {}  # looking through the branches takes as long as a small power flow
    ends = dict(zip(tap_branches(feeder, tuple(taps)), taps, strict=True))
    if set(ends) != set(solver.grid.tap_branches):
        raise InputError("tap_ratio names other branches than the method was bound with; see taps of bind")
    return {ends[branch]: taps[ends[branch]] for branch in solver.grid.tap_branches}


def labelled_setting(
    feeder: Feeder,
    taps: Mapping[Ends, ArrayLike],
    shunts: Mapping[int, ArrayLike],
    shape: tuple[int, ...],
    dtype: DTypeLike,
) -> Setting | None:
    """Every case's own ratios (..., n_tap) and shunts (..., n_node); None if there are none.

    Raises
    ------
    InputError
        If values do not broadcast to the cases' `shape` or are not finite, a ratio is not above 0, or there is no such
        bus.
    """
    if not (taps or shunts):
        return None

    def each(name: str, key: object, values: ArrayLike) -> Array:
        given = jnp.asarray(values, jnp.result_type(dtype, float))
        if jnp.broadcast_shapes(given.shape, shape) != shape:
            raise InputError(f"{name}[{key}] has shape {given.shape}; the injections have the leading axes {shape}")
        if not isinstance(given, jax.core.Tracer) and not np.isfinite(np.asarray(given)).all():
            raise InputError(f"{name}[{key}] holds NaN or infinite values")
        if name == "tap_ratio" and not isinstance(given, jax.core.Tracer) and not (np.asarray(given) > 0).all():
            raise InputError(f"{name}[{key}] must be above 0: it multiplies the branch's ratio, 1 leaves it")
        return jnp.broadcast_to(given, shape)

    ratios = [each("tap_ratio", ends, values) for ends, values in taps.items()]
    shunt = None
    if shunts:
        shunt = jnp.zeros((*shape, feeder.n_bus))
        for label, values in shunts.items():
            if label not in feeder.bus_labels:
                known = summarise_labels(feeder.bus_labels)
                raise InputError(f"shunt_mvar: feeder {feeder.name!r} has no bus {label}; its buses: {known}")
            shunt = shunt.at[..., feeder.bus_position(label)].add(each("shunt_mvar", label, values))
    return Setting(jnp.stack(ratios, axis=-1) if ratios else None, shunt)


def with_steady(
    setting: Setting | None, p_mw: ArrayLike | None, q_mvar: ArrayLike | None, shape: tuple[int, ...]
) -> Setting | None:
    """Add the part of the injections, of this shape, that follows no voltage; what is None is 0, both: nothing to add.

    Raises
    ------
    InputError
        If a part does not broadcast to the injections.
    """
    if p_mw is None and q_mvar is None:
        return setting
    parts = []
    for name, values in (("steady_p_mw", p_mw), ("steady_q_mvar", q_mvar)):
        given = jnp.zeros(()) if values is None else jnp.asarray(values)
        try:
            parts.append(jnp.broadcast_to(given, shape))
        except ValueError:
            raise InputError(f"{name} has shape {given.shape}, a part of the injections, which have {shape}") from None
    return replace(setting or Setting(), steady_p_mw=parts[0], steady_q_mvar=parts[1])
