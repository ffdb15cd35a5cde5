"""What joins nodes by constant admittances: a line, a transformer of any connection, a capacitor, a reactor.

An element is known by its primitive admittance: the currents into its conductors are ``i = Y v`` with the voltages of
the nodes that they lie at, terminal after terminal. Source: W. H. Kersting, "Distribution System Modeling and
Analysis", 4th ed., chapters 6 to 8; R. C. Dugan, "A perspective on transformer modeling for distribution system
analysis", IEEE PES General Meeting 2003.

A winding at tap t (its voltage in per unit of its rated one) has t times the turns, so all that is between terminals i
and j is in proportion to ``1 / (t_i t_j)``, whatever the connection::

    Y(t) = F + D(t) M D(t),   D(t) = diag(1 / t of each conductor's terminal)

with F what taps do not change: what is fixed between a conductor and ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.one_line import one_line

GROUND = -1  # the node of a conductor that is grounded


@dataclass(frozen=True)
class Winding:
    """One winding of a transformer, at a terminal of its own, with the taps that it may take."""

    tap: float  # present voltage in per unit of the rated one
    min_tap: float
    max_tap: float
    n_taps: int  # steps between the two
    kv: float  # rated, line to line for two and three phases
    kva: float
    connection: str  # wye or delta

    @property
    def step(self) -> float:
        """Difference of two taps beside each other, 0 without taps."""
        return (self.max_tap - self.min_tap) / self.n_taps if self.n_taps else 0.0


@dataclass(frozen=True, eq=False)
class Bank:
    """Steps of a capacitor bank, which are switched in one after the other."""

    shares: tuple[float, ...]  # of the bank's admittance that is in with the first step, the first two, ..., all: 1
    steps_in: int
    y_siemens: np.ndarray  # (n_conductor, n_conductor) complex, with all steps in

    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class Element:
    """A linear element by its primitive admittance."""

    name: str  # with its class, as OpenDSS has it, in lower case: line.650632
    nodes: tuple[int, ...]  # (n_conductor,) positions, GROUND where a conductor is grounded
    n_terminals: int  # which share the conductors equally
    y_siemens: np.ndarray  # (n_conductor, n_conductor) complex
    max_i_ka: float = float("nan")  # rating of a conductor; NaN where the source states none
    windings: tuple[Winding, ...] = ()  # one a terminal, of a transformer
    fixed_siemens: np.ndarray | None = None  # the part of y_siemens that taps do not change; None: nothing
    bank: Bank | None = None  # of a capacitor; None: it has one step, which is in

    __repr__ = one_line

    @property
    def kind(self) -> str:
        """Class of the element: line, transformer, ..."""
        return self.name.partition(".")[0]

    @property
    def n_conductors(self) -> int:
        """Conductors at each terminal."""
        return len(self.nodes) // self.n_terminals

    @property
    def whole_siemens(self) -> np.ndarray:
        """Admittance with all steps in."""
        return self.y_siemens if self.bank is None else self.bank.y_siemens

    @property
    def step_shares(self) -> tuple[float, ...]:
        """Shares of the whole admittance with no step in, one, two, ..., all: from 0 to 1."""
        return (0.0, 1.0) if self.bank is None else (0.0, *self.bank.shares)

    @property
    def steps_in(self) -> int:
        """Steps that are in."""
        return 1 if self.bank is None else self.bank.steps_in

    @property
    def share_in(self) -> float:
        """Share of the whole admittance that is in."""
        return self.step_shares[self.steps_in]

    def with_steps(self, steps: int) -> Element:
        """Return the capacitor with other steps in.

        Raises
        ------
        InputError
            If it has not so many.
        """
        shares = self.step_shares
        if not (self.kind == "capacitor" and isinstance(steps, int) and 0 <= steps < len(shares)):
            raise InputError(
                f"{self.name}: steps = {steps!r} must be one of 0 .. {len(shares) - 1}, a capacitor's steps"
            )
        bank = Bank(shares[1:], steps, self.whole_siemens)
        return replace(self, y_siemens=shares[steps] * self.whole_siemens, bank=bank)

    def with_taps(self, taps: Sequence[float]) -> Element:
        """Return the transformer at other taps, one for each winding in per unit of its rated voltage.

        Raises
        ------
        InputError
            If this is no transformer, or a tap is outside of what its winding has.
        """
        if len(taps) != len(self.windings):
            raise InputError(f"{self.name} has {len(self.windings)} windings with taps, and {len(taps)} taps are given")
        for number, (winding, tap) in enumerate(zip(self.windings, taps, strict=True), 1):
            if tap != winding.tap and not winding.min_tap - 1e-9 <= tap <= winding.max_tap + 1e-9:
                raise InputError(
                    f"{self.name}, winding {number}: tap {tap} is outside of {winding.min_tap} to {winding.max_tap}"
                )
        ratio = [winding.tap / tap for winding, tap in zip(self.windings, taps, strict=True)]
        scale = np.repeat(ratio, self.n_conductors)
        fixed = 0.0 if self.fixed_siemens is None else self.fixed_siemens
        moved = fixed + (self.y_siemens - fixed) * np.outer(scale, scale)
        windings = tuple(replace(winding, tap=float(tap)) for winding, tap in zip(self.windings, taps, strict=True))
        return replace(self, y_siemens=moved, windings=windings)
