"""Checks that a kind keeps its protocol, by shapes and types alone, whenever its step is traced."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.devices.device import Delivery, Kind, Params, Store
from neomflex_jax.errors import InputError


def check_delivery(kind: Kind, delivery: Delivery, store: Store, n_device: int) -> None:
    """Compare what a step returned with what it must return.

    Raises
    ------
    InputError
        On a missing or unnamed record, another shape, numbers that are no floats, a store of another structure.
    """
    where = f"device {kind.__name__} ({kind.__module__})"
    if not isinstance(delivery, Delivery):
        raise InputError(f"{where}: step returns {type(delivery).__name__}; it must return a Delivery")
    names = {each.name for each in kind.recorded if not each.before}
    odd = names ^ set(delivery.recorded)
    if odd:
        raise InputError(f"{where}: step and `recorded` disagree on {min(odd)!r}; name every record in both")
    values = {"p_mw": delivery.p_mw, "q_mvar": delivery.q_mvar, "clipped": delivery.clipped, **delivery.recorded}
    values |= {"tap_ratio": delivery.tap_ratio, "shunt_mvar": delivery.shunt_mvar}
    for name, value in values.items():
        if value is not None:
            check_array(f"{where}: step returns {name}", value, n_device)
    before, after = _form(store), _form(delivery.store)
    if before != after:
        raise InputError(f"{where}: a store is {before} and after a step {after}; structure and shapes must stay")
    kept = {each.name for each in kind.recorded if each.before} ^ set(kind.kept(delivery.store))
    if kept:
        raise InputError(f"{where}: `kept` and `recorded` disagree on {min(kept)!r}; name what a store holds in both")


def check_stores(kind: Kind, params: Params, store: Store) -> None:
    """Compare a random store with the kind's other ones.

    Raises
    ------
    InputError
        If they are of another structure or shape.
    """
    for name in ("first", "middle"):
        other = _form(getattr(kind, name)(params))
        if other != _form(store):
            raise InputError(
                f"device {kind.__name__} ({kind.__module__}): random returns a store {_form(store)} and {name} {other}"
                "; structure and shapes must agree"
            )


def check_array(what: str, value: object, n_device: int) -> None:
    """Raise `InputError` unless a value is (n_device,) floats."""
    if not isinstance(value, Array | np.ndarray | np.generic | float | int):
        raise InputError(f"{what} of type {type(value).__name__}; expected (n_device,) = ({n_device},) floats")
    shape, dtype = jnp.shape(value), jnp.result_type(value)
    if shape != (n_device,) or not jnp.issubdtype(dtype, jnp.floating):
        raise InputError(f"{what} of shape {shape} and type {dtype}; expected (n_device,) = ({n_device},) floats")


def _form(store: Store) -> str:
    def form(leaf: Array) -> str:
        kind = "floats" if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else "others"
        return f"{kind} {jnp.shape(leaf)}"

    return str(jax.tree.map(form, store))
