"""The contract of a power-flow method: everything that the rest of the package asks of one.

A method is a frozen dataclass and a JAX pytree. Numbers that it was fitted with are leaves, its options static fields;
the grid is no part of it, so that one method serves other impedances too. A new one is a module beside this with a
subclass, and a line in `register.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from jax import Array
from jaxtyping import Float

from neomflex_jax.powerflow.methods.needs import Need
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.piece_sizes import PieceSizes, product_sizes
from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.stopping import AcConfig
from neomflex_jax.powerflow.sweeps.door import Sweep


class Method(ABC):
    """A power-flow method.

    Attributes
    ----------
    name
        What users type, `ac` say. A static field: JAX takes dataclasses with equally many leaves and equal static
        fields for equal, whatever their types are, and would now and then answer by the program of another method.
    exact
        True if it solves the AC equations; False for a surrogate.
    can
        What it can do beyond constant power on one slack; a feeder or a call that needs more is refused.
    fitted
        True if it has coefficients, which `calibrate` fits to injections first.
    angles_only
        True if it works out angles alone, on a network without resistances: all magnitudes are the slack's.
    sweep
        The sweep in machine code that can solve it on a radial feeder, None without one.
    """

    name: str
    exact: ClassVar[bool] = False
    can: ClassVar[frozenset[Need]] = frozenset()
    fitted: ClassVar[bool] = False
    angles_only: ClassVar[bool] = False
    sweep: ClassVar[Sweep | None] = None

    @abstractmethod
    def solve(
        self, grid: PerUnitFeeder, p_injection_mw: Float[Array, " n_node"], q_injection_mvar: Float[Array, " n_node"]
    ) -> PowerFlowResult:
        """Solve one case.

        Parameters
        ----------
        grid
            The feeder in per unit.
        p_injection_mw, q_injection_mvar
            Net injections in MW and Mvar, positive into the grid, shapes (n_node,). What is injected at the slack must
            change nothing: `PowerFlow` takes it off the slack's import.

        Returns
        -------
        PowerFlowResult
            Fields without leading axes. A case without a solution has ``converged`` false and raises nothing.
        """

    def piece_sizes(self, grid: PerUnitFeeder, fields: tuple[str, ...] | None) -> PieceSizes:
        """Return the sizes in which a CPU solves a batch.

        Parameters
        ----------
        grid
            The feeder in per unit.
        fields
            Names of the result's fields that are wanted; None for all.

        Returns
        -------
        PieceSizes
            In cases.
        """
        return product_sizes(grid, iterates=False)

    @classmethod
    def configured(cls, ac_config: AcConfig) -> Method:
        """Make the method.

        Parameters
        ----------
        ac_config
            Tolerance and iteration limit, for methods that have any use for them.

        Returns
        -------
        Method
            Not fitted.
        """
        return cls()
