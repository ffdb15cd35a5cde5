"""A power-flow method bound to a feeder: the one thing that the environment calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Num

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.library import balanced
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from neomflex_jax.powerflow.methods.ac import Ac
from neomflex_jax.powerflow.methods.calibrated import Calibrated
from neomflex_jax.powerflow.methods.calibrated_fit import checked_samples, fit_to_ac, samples_around_loads
from neomflex_jax.powerflow.methods.method import Method
from neomflex_jax.powerflow.methods.needs import SETTINGS, check_steady_generators, needs_of
from neomflex_jax.powerflow.methods.register import check_can, check_fallback, check_unbalanced, method_named
from neomflex_jax.powerflow.network.form import check_form
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder, per_unit, per_unit_linear
from neomflex_jax.powerflow.network.setting import Setting, with_setting
from neomflex_jax.powerflow.network.taps import tap_branches
from neomflex_jax.powerflow.network.tree import TreeNetwork
from neomflex_jax.powerflow.piece_sizes import PieceSizes
from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.stopping import AcConfig
from neomflex_jax.powerflow.sweeps.door import can_sweep
from neomflex_jax.powerflow.unbalanced import UnbalancedPowerFlow, bind_unbalanced


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class PowerFlow:
    """A method with a feeder's impedances: a function of one case, and a pytree. Made by `bind` or `calibrate`."""

    grid: PerUnitFeeder  # the feeder in per unit
    model: Method  # the method, with the numbers that it was fitted with, if any

    def __repr__(self) -> str:
        return f"PowerFlow({self.method!r}, {self.grid.topology.n_bus} buses, {type(self.grid.form).__name__})"

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.model.name

    @property
    def dtype(self) -> DTypeLike:
        """Precision of the impedances."""
        return jnp.result_type(self.grid.r)

    @property
    def n_node(self) -> int:
        """Number of nodes."""
        return self.grid.topology.n_bus

    @nan_is_a_value()
    def __call__(
        self,
        p_injection_mw: Num[ArrayLike, " n_node"],
        q_injection_mvar: Num[ArrayLike, " n_node"],
        setting: Setting | None = None,
    ) -> PowerFlowResult:
        """Solve one case; `jax.vmap` solves many.

        Parameters
        ----------
        p_injection_mw, q_injection_mvar
            Net injections in MW and Mvar, positive into the grid, shapes (n_node,).
        setting
            The case's own ratios, (n_tap,) in the order of the branches that were bound, and shunts, (n_node,).

        Returns
        -------
        PowerFlowResult
            Fields as they stand there, without leading axes. Failure is a value: see `converged` and `residual_mva`.

        Raises
        ------
        InputError
            If there is a setting, and the method has no place for one.
        """
        grid = self.grid
        if setting is not None:
            if setting.tap_ratio is not None or setting.shunt_mvar is not None:
                check_can(type(self.model), [SETTINGS], "this case")
            grid = with_setting(grid, setting)
        # never below the precision of the impedances, which is single or double
        dtype = jnp.result_type(p_injection_mw, q_injection_mvar, self.grid.r)
        p_injection_mw, q_injection_mvar = (jnp.asarray(values, dtype) for values in (p_injection_mw, q_injection_mvar))
        with jax.default_matmul_precision("highest"):  # accelerators would round float32 products to 10 bits
            flow = self.model.solve(grid, p_injection_mw, q_injection_mvar)
        slack = self.grid.topology.slack  # what is at the slack's bus moves its import and nothing else
        return replace(
            flow,
            slack_p_mw=flow.slack_p_mw - p_injection_mw[slack],
            slack_q_mvar=flow.slack_q_mvar - q_injection_mvar[slack],
        )

    @property
    def keeps_q_limits(self) -> bool:
        """True if generators keep limits of their reactive power."""
        return self.grid.held is not None and self.grid.held.limits is not None

    @nan_is_a_value()
    def on(self, feeder: Feeder) -> PowerFlow:
        """Return the same method on other impedances; a fit is kept.

        Parameters
        ----------
        feeder
            Of the same topology; its numbers may be traced.

        Returns
        -------
        PowerFlow
            In the same form (tree or dense), swept where this one is.
        """
        if self.grid.generators is not None:
            return replace(self, grid=per_unit_linear(feeder))
        form = "tree" if isinstance(self.grid.form, TreeNetwork) else "dense"
        grid = per_unit(
            feeder,
            form,
            lossless=self.model.angles_only,
            tap_branches=self.grid.tap_branches,
            keep_q_limits=self.keeps_q_limits,
        )
        return replace(self, grid=replace(grid, swept=self.grid.swept and grid.dependence is None))

    def by_products(self) -> PowerFlow:
        """Return the same method without sweeps in machine code."""
        return replace(self, grid=replace(self.grid, swept=False)) if self.grid.swept else self

    def as_solved_here(self, dtype: DTypeLike) -> PowerFlow:
        """Return the method as this process solves it.

        Parameters
        ----------
        dtype
            Of the injections.

        Returns
        -------
        PowerFlow
            This one, or `by_products` without a sweep in machine code for it.
        """
        return self if can_sweep(self.grid, self.model.sweep, dtype) else self.by_products()

    def piece_sizes(self, fields: tuple[str, ...] | None = None) -> PieceSizes:
        """Return the sizes in which a CPU solves a batch.

        Parameters
        ----------
        fields
            Names of the result's fields that are wanted; None for all.

        Returns
        -------
        PieceSizes
            In cases.
        """
        return self.model.piece_sizes(self.grid, fields)


@overload
def bind(
    feeder: UnbalancedFeeder,
    method: str = "ac",
    ac_config: AcConfig = AcConfig(),
    *,
    taps: Sequence[tuple[str, int]] = (),
    capacitors: Sequence[str] = (),
) -> UnbalancedPowerFlow: ...


@overload
def bind(
    feeder: Feeder,
    method: str = "ac",
    ac_config: AcConfig = AcConfig(),
    *,
    fallback: str = "",
    network: str = "auto",
    sweeps: bool = True,
    taps: Sequence[tuple[int, int]] = (),
    enforce_q_lims: bool = False,
) -> PowerFlow: ...


@platform_is_there()
@nan_is_a_value()
def bind(
    feeder: Feeder | UnbalancedFeeder,
    method: str = "ac",
    ac_config: AcConfig = AcConfig(),
    *,
    fallback: str = "",
    network: str = "auto",
    sweeps: bool = True,
    taps: Sequence[tuple[int, int]] | Sequence[tuple[str, int]] = (),
    capacitors: Sequence[str] = (),
    enforce_q_lims: bool = False,
) -> PowerFlow | UnbalancedPowerFlow:
    """Prepare a power-flow method for a feeder once, to call it many times.

    Parameters
    ----------
    feeder
        The grid; an unbalanced one takes `UNBALANCED_METHODS`, `ac_config`, `taps`, `capacitors` alone. `calibrated` is
        fitted around nominal loads, each scaled by itself, -1 to 2 times; `calibrate` fits it to given injections.
    method
        `ac`, `newton`, `calibrated`, `lindistflow` or `dc`; the page of each in `powerflow/methods/` has its equations,
        its source and what it neglects.
    ac_config
        Tolerance and iteration limit of `ac` and `newton`.
    fallback
        `newton` hands the cases that `ac` gives up to Newton's method; `by_fallback` of the result says which it found.
        What `ac` solves itself costs no more. Other methods ignore it.
    network
        Form of the impedances: `dense` for any feeder, `tree` or `sweep` for a radial one, `auto` for the fastest.
    sweeps
        False takes matrix products where machine code would solve radial feeders on a CPU: the same results, slower,
        in a program that `jax.export` accepts. ``NEOMFLEX_SWEEPS=off`` does so for a whole process.
    taps
        Branches, each by the labels of its from and to bus, whose ratios each case may have its own factor on; of an
        unbalanced feeder windings, by the transformer's name and their number from 1.
    capacitors
        Names of an unbalanced feeder's capacitors of which each case may have its own share in.
    enforce_q_lims
        True keeps generators' reactive power within the limits that the feeder states, as `runpp` does: those beyond
        one are set to it, all at once, and give up their voltage, until none is beyond one.

    Returns
    -------
    PowerFlow
        A function of one case and a pytree; `power_flow` and `make` take it in the place of a method's name.

    Raises
    ------
    InputError
        If there is no such method, fallback or form, the method cannot do what the feeder or `taps` need, a tree is
        asked for and the feeder has a loop, sweeps are asked for and forbidden, a loop has no reactance for `dc`, a
        ratio cannot be set at one of `taps`, or loads follow the voltage at a generator whose limits are kept.
    """
    if isinstance(feeder, UnbalancedFeeder):
        check_unbalanced(method, feeder.name)
        windings = cast("Sequence[tuple[str, int]]", taps)
        return bind_unbalanced(feeder, ac_config, method=method, taps=windings, capacitors=capacitors)
    if capacitors:
        raise InputError("capacitors are bound on a feeder with phases; on a balanced one each case has shunt_mvar")
    kind = method_named(method)
    check_can(kind, needs_of(feeder, enforce_q_lims=enforce_q_lims, settings=bool(taps)), f"feeder {feeder.name!r}")
    if enforce_q_lims:
        check_steady_generators(feeder)
    if kind.fitted:
        return calibrate(feeder, *samples_around_loads(feeder), network=network, sweeps=sweeps)
    chosen = kind.configured(ac_config)
    if check_fallback(fallback) and isinstance(chosen, Ac):
        chosen = chosen.with_fallback()
    return PowerFlow(
        _grid(
            feeder, kind, network, sweeps, tap_branches(feeder, cast("Sequence[tuple[int, int]]", taps)), enforce_q_lims
        ),
        chosen,
    )


@platform_is_there()
@nan_is_a_value()
def calibrate(
    feeder: Feeder,
    p_samples_mw: Num[ArrayLike, "n_samples n_node"],
    q_samples_mvar: Num[ArrayLike, "n_samples n_node"],
    *,
    network: str = "auto",
    sweeps: bool = True,
) -> PowerFlow:
    """Fit the `calibrated` method to AC on sampled injections; it is good on injections like those, and nowhere else.

    Three coefficients a branch are fitted by least squares, so that the branch's squared current follows from its
    lossless flow (`powerflow/methods/calibrated.py`).

    Parameters
    ----------
    feeder
        The grid.
    p_samples_mw, q_samples_mvar
        Net injections in MW and Mvar, positive into the grid, shapes (n_samples, n_node), some hundreds of samples at
        least. Samples without an AC solution are left out.
    network, sweeps
        As in `bind`.

    Returns
    -------
    PowerFlow
        The fitted method, on this feeder.

    Raises
    ------
    InputError
        If the samples have another shape, hold NaN or infinite values, or none of them has an AC solution; inside jit,
        grad and vmap.
    """
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((feeder, p_samples_mw, q_samples_mvar))):
        raise InputError(
            "`calibrated` is fitted outside jit, grad and vmap: calibrate first, then pass the fitted method"
        )
    check_can(Calibrated, needs_of(balanced(feeder, "a calibrated power flow")), f"feeder {feeder.name!r}")
    p, q = checked_samples(feeder, p_samples_mw, q_samples_mvar)
    grid = _grid(feeder, Calibrated, network, sweeps)
    exact = grid if grid.generators is None else _grid(feeder, Ac, "auto", sweeps)
    with jax.default_matmul_precision("highest"):
        fitted, n_used = fit_to_ac(grid, exact, p, q)
    concrete = not isinstance(n_used, jax.core.Tracer)  # no tracer among the samples, and yet inside a jit
    if concrete and n_used == 0:
        raise InputError(f"none of the {len(p)} samples has an AC solution; give injections that the feeder can carry")
    if concrete and not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(fitted)):
        raise InputError(f"the fit to {len(p)} samples is not finite; give more, or more different, samples")
    return PowerFlow(grid, fitted)


def _grid(
    feeder: Feeder,
    kind: type[Method],
    network: str,
    sweeps: bool,
    tap_branches: tuple[int, ...] = (),
    keep_q_limits: bool = False,
) -> PerUnitFeeder:
    """Feeder in per unit, in a form that suits the method.

    Of copies of its arrays: what JAX made of a NumPy array in one precision it takes for the other one too, as long as
    some program holds it, and a feeder may be solved in both.
    """
    if network == "sweep" and not sweeps:
        raise InputError("network = 'sweep' asks for what sweeps = False forbids; ask for 'tree' or 'dense'")
    check_form(feeder, network, lossless=kind.angles_only)
    own = jax.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, feeder)
    if feeder.held is not None and not kind.exact:
        return per_unit_linear(own)
    grid = per_unit(own, network, lossless=kind.angles_only, tap_branches=tap_branches, keep_q_limits=keep_q_limits)
    return replace(grid, swept=grid.swept and sweeps and kind.sweep is not None)
