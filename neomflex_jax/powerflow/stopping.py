"""When the iterations of `ac` and `newton` stop."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from neomflex_jax.errors import InputError

# A loaded feeder needs four evaluations or more, and a test costs a pass over all voltages. Nor would one be safe
# earlier: the first two updates contract more than those to come, on case69 by a factor of four.
UNTESTED = 3


@dataclass(frozen=True)
class AcConfig:
    """Tolerance and iteration limit of the methods that solve the AC equations.

    Attributes
    ----------
    tolerance_pu
        Largest error of a voltage, as the iteration estimates it; None takes 1e-6 in float32 and 1e-11 in float64.
    max_iterations
        Evaluations of the map (in `newton` also Newton steps) after which a case counts as not converged; with phases
        it goes on for as many by another iteration.
    """

    tolerance_pu: float | None = None
    max_iterations: int = 100

    def __post_init__(self) -> None:
        if self.tolerance_pu is not None and not 0 < self.tolerance_pu < 1:
            raise InputError(f"tolerance_pu = {self.tolerance_pu} must lie between 0 and 1")
        if not 1 <= self.max_iterations < 2**31:
            raise InputError(f"max_iterations = {self.max_iterations} must lie between 1 and 2,147,483,647")

    def tolerance(self, dtype: jnp.dtype) -> float:
        """Return the tolerance for voltages of one precision.

        Parameters
        ----------
        dtype
            float32 or float64.

        Returns
        -------
        float
            In per unit.
        """
        if self.tolerance_pu is not None:
            return self.tolerance_pu
        return 1e-11 if dtype == jnp.float64 else 1e-6
