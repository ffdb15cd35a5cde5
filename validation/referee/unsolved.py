"""Cases without an answer: whose they are, and what to do. Where neither solver has one, nobody disagrees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomflex_jax.grid.feeder import Feeder

MOST_NAMED = 3
SAME_RATIO = 1e-6  # relative difference up to which transformers side by side drive no current through each other
UNITS = "look at units (p_mw is in MW, q_mvar in Mvar), lengths and impedances"
NEAR_ITS_LIMIT = "near the most that a feeder can carry Newton's method may miss an answer; look at these voltages"
ON_THE_BRANCH = (
    "on the branch of solutions that begins without load, by the sign of the Jacobian's determinant: the failure is "
    "pandapower's, whose steps do not lead there from its start; look at these voltages"
)
ON_NO_STABLE_BRANCH = (
    "on no stable branch, behind the collapse of voltages (the Jacobian's determinant has another sign than without "
    "load): no state that a grid is in, so the failure is ours and not pandapower's. The feeder cannot carry its loads "
    "there"
)


@dataclass(frozen=True)
class Unsolved:
    """How many of some cases were solved by neither, and by one alone."""

    n_cases: int
    neither: int
    ours: int  # without an answer here, with one in pandapower
    pandapower: int  # the other way round
    stable: int = 0  # of the latter, those on the branch of solutions that begins without load
    unstable: int = 0  # and those behind the collapse of voltages

    @staticmethod
    def count(own_solved: np.ndarray, pandapower_solved: np.ndarray, stable: int = 0, unstable: int = 0) -> Unsolved:
        """Count, from what each solved, (n,) bool."""
        own, theirs = np.asarray(own_solved, bool), np.asarray(pandapower_solved, bool)
        neither, ours, pandapower = (int(part.sum()) for part in (~own & ~theirs, ~own & theirs, own & ~theirs))
        return Unsolved(len(own), neither, ours, pandapower, stable, unstable)

    @property
    def disputed(self) -> int:
        """Cases that one solves and the other does not."""
        return self.ours + self.pandapower

    def sentences(self, what: str, method: str, option: str, program: str = "pandapower") -> list[str]:
        """List what was not solved, by whom, and what to do.

        Parameters
        ----------
        what
            Name of the cases.
        method, option
            What solved them here, and what chooses it on the command line.
        program
            Name of the referee.
        """
        said = []
        if self.neither:
            both = f"have no solution, neither here nor in {program}: the feeder cannot carry its loads there"
            said.append(f"{self.neither} of {self.n_cases} {what} {both}; {UNITS}")
        if self.ours:
            advice = f"; try {option} newton" if method != "newton" else f"; {NEAR_ITS_LIMIT}"
            said.append(f"{self.ours} of {self.n_cases} {what} have an answer in {program}, and none here{advice}")
        if self.pandapower:
            theirs = f"have an answer here, and {program} finds none"
            advice = "" if self.stable + self.unstable == self.pandapower else f"; {NEAR_ITS_LIMIT}"
            said.append(f"{self.pandapower} of {self.n_cases} {what} {theirs}{advice}")
        if self.stable:
            said.append(f"{self.stable} of these are {ON_THE_BRANCH}")
        if self.unstable:
            said.append(f"{self.unstable} of these are {ON_NO_STABLE_BRANCH}; {UNITS}")
        return said


def unlike_in_parallel(feeder: Feeder) -> str | None:
    """Return a sentence on transformers side by side with unlike ratios, and what that does; None if there are none."""
    parts, topology = feeder.transformers, feeder.topology
    if parts is None:
        return None
    ratio = np.asarray(parts.ratio) * np.exp(1j * np.deg2rad(parts.shift_degree))
    first: dict[tuple[int, int], complex] = {}
    unlike: list[str] = []
    for row in np.flatnonzero(topology.in_service):
        start, end = topology.from_bus[row], topology.to_bus[row]
        seen = complex(ratio[row] if start < end else 1 / ratio[row])
        before = first.setdefault((min(start, end), max(start, end)), seen)
        name = feeder.branch_names[row].split(" ")[0]
        if abs(seen / before - 1) > SAME_RATIO and name not in unlike:
            unlike.append(name)
    if not unlike:
        return None
    named = ", ".join(unlike[:MOST_NAMED]) + (", ..." if len(unlike) > MOST_NAMED else "")
    return (
        f"transformers side by side at {named} have unlike ratios, which drive current through them without any load "
        "(single-phase regulators of one bank, as converters leave them): give them one ratio"
    )
