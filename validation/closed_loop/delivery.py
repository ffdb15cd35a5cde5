"""The project's device models for one step at a time, in NumPy arrays: actions and energies in, set-points out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.devices.device import Sessions, Store
from neomflex_jax.environment.binding import layout_of
from neomflex_jax.environment.step.actions import lay_out_actions, requests_of
from neomflex_jax.environment.step.dispatch import Moment, Stores, deliver
from neomflex_jax.environment.step.measured_voltages import with_measured
from neomflex_jax.grid import AnyFeeder
from neomflex_jax.scenario import Scenario
from validation.recompute.device_solar import solar_columns
from validation.recompute.devices.twin import SomeDevice, SomeTwin
from validation.recompute.element_loads import loads_with_own_series
from validation.recompute.session_rows import NAMES, session_names
from validation.recompute.twins import series_names, twins_of

LOADS = ("load_p_mw", "load_q_mvar")  # (n_load,) consumption after what devices make of it

Named = dict[str, np.ndarray]  # arrays (n_device,) or (n_node,) by recorded name
Deliver = Callable[[np.ndarray, Named, np.ndarray], tuple[Named, Named]]


def carried_names(scenario: Scenario) -> tuple[str, ...]:
    """Name what devices carry from step to step, as recorded."""
    return tuple(name for twin, _ in twins_of(scenario) for name in twin.carried)


def known_names(scenario: Scenario) -> tuple[str, ...]:
    """Return the recorded arrays (n,) of a step that are the same whatever is done in it."""
    return ("load_q_factor", "step", *series_names(scenario))


def kinds_with_own_sun(scenario: Scenario) -> list[tuple[SomeTwin, tuple[SomeDevice, ...]]]:
    """Return the kinds, with their devices, of which some device follows a sun of its own."""
    return [(twin, devices) for twin, devices in twins_of(scenario) if solar_columns(scenario, twin, devices)]


def kinds_with_sessions(scenario: Scenario) -> list[tuple[SomeTwin, tuple[SomeDevice, ...]]]:
    """Return the kinds, with their devices, whose sessions a file has: one at most."""
    return [(twin, devices) for twin, devices in twins_of(scenario) if session_names(scenario, twin)]


def measures_voltages(scenario: Scenario) -> bool:
    """Return True if some device moves by a voltage that the step before left."""
    return any(twin.measured_bus(device) is not None for twin, devices in twins_of(scenario) for device in devices)


def compiled_dispatch(scenario: Scenario, feeder: AnyFeeder) -> Deliver:
    """Compile a scenario's devices.

    Returns
    -------
    Deliver
        Takes padded actions (n_agents, action_size), what is carried, and `known_names` (then Solar (n_device,) of
        each of `kinds_with_own_sun`, a file's sessions as (3 x n_device,), where elements have series of their own the
        step's loads p and q (n_load,) before devices, and where devices measure voltages those of the step before,
        (n_node,)); gives what is delivered and the loads of the step, and what is carried on. In the environment's
        float32.
    """
    actions, kinds, layout = lay_out_actions(scenario), twins_of(scenario), layout_of(scenario, feeder)
    size = {name: len(devices) for twin, devices in kinds for name in twin.recorded}
    size |= dict.fromkeys(LOADS, len(feeder.load_buses))
    delivered = (*(name for twin, _ in kinds for name in twin.delivered), *LOADS)
    carried = carried_names(scenario)
    known_of = _reader_of_known(scenario, feeder)
    cuts_in = np.cumsum([actions.mask.size, *(size[name] for name in carried)])
    cuts_out = np.cumsum([size[name] for name in (*delivered, *carried)])[:-1]

    @jax.jit
    def run(packed: Array) -> Array:
        action, *held, known = jnp.split(packed, cuts_in)
        moment, loads, vm_before_pu = known_of(known)
        found = deliver(
            scenario,
            layout,
            requests_of(action.reshape(actions.mask.shape), actions),
            with_measured(scenario, feeder.nodes, _stores_of(scenario, held), vm_before_pu),
            moment,
            **loads,
            in_service={},
        )
        values = {**found.recorded, "load_p_mw": found.load_p_mw, "load_q_mvar": found.load_q_mvar}
        after = [leaf for twin, _ in kinds for leaf in _carried_leaves(found.stores[twin.table], twin)]
        return jnp.concatenate([*(values[name] for name in delivered), *after])

    def step(action: np.ndarray, before: Named, known: np.ndarray) -> tuple[Named, Named]:
        # one vector in and one out: on a host, a step costs what its transfers cost
        packed = np.concatenate([action.ravel(), *(before[name] for name in carried), known]).astype(np.float32)
        parts = np.split(np.asarray(run(packed)), cuts_out)
        n_delivered = len(delivered)
        return (
            dict(zip(delivered, parts[:n_delivered], strict=True)),
            dict(zip(carried, parts[n_delivered:], strict=True)),
        )

    return step


def _reader_of_known(
    scenario: Scenario, feeder: AnyFeeder
) -> Callable[[Array], tuple[Moment, dict[str, Array], Array]]:
    """Return a function that takes what is known of a step apart: moment, loads p and q, voltages before."""
    own_series = loads_with_own_series(scenario, feeder)
    suns = {twin.table: len(devices) for twin, devices in kinds_with_own_sun(scenario)}
    n_sessions = sum(len(NAMES) * len(devices) for _, devices in kinds_with_sessions(scenario))
    n_own_loads = 2 * len(feeder.load_buses) if own_series.any() else 0
    cuts = np.cumsum([len(known_names(scenario)), *suns.values(), n_sessions, n_own_loads])

    def read(known: Array) -> tuple[Moment, dict[str, Array], Array]:
        common, *solar_of_kinds, of_file, own_loads, vm_before_pu = jnp.split(known, cuts)
        load_q_factor, step, demand, solar, price, *outdoor_temperature_c = common
        load_p_mw = jnp.asarray(feeder.load_p_mw, known.dtype) * demand
        load_q_mvar = jnp.asarray(feeder.load_q_mvar, known.dtype) * load_q_factor
        if own_series.any():
            own_p_mw, own_q_mvar = jnp.split(own_loads, 2)
            load_p_mw = jnp.where(own_series, own_p_mw, load_p_mw)
            load_q_mvar = jnp.where(own_series, own_q_mvar, load_q_mvar)
        moment = Moment(
            step.astype(jnp.int32),
            demand,
            solar,
            price if scenario.tariff_column else None,
            dict(zip(suns, solar_of_kinds, strict=True)),
            outdoor_temperature_c[0] if outdoor_temperature_c else None,
            Sessions(*jnp.split(of_file, len(NAMES))) if n_sessions else None,
        )
        return moment, {"load_p_mw": load_p_mw, "load_q_mvar": load_q_mvar}, vm_before_pu

    return read


def _stores_of(scenario: Scenario, held: Sequence[Array]) -> Stores:
    """Put what is carried into the devices' stores, whose first leaves come in the order of `carried_names`."""
    left, n_carried = list(held), {twin.table: len(twin.carried) for twin, _ in twins_of(scenario)}
    stores: Stores = {}
    for kind in scenario.kinds:
        leaves, form = jax.tree.flatten(kind.first(kind.stack(scenario.of(kind))))
        n = n_carried.get(kind.table, 0)
        stores[kind.table] = jax.tree.unflatten(form, left[:n] + leaves[n:])  # the others are measured
        left = left[n:]
    return stores


def _carried_leaves(store: Store, twin: SomeTwin) -> list[Array]:
    return jax.tree.leaves(store)[: len(twin.carried)]
