"""Cases without an answer: whose they are, and what to do. Where neither solver has one, nobody disagrees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

UNITS = "look at units (p_mw is in MW, q_mvar in Mvar), lengths and impedances"
NEAR_ITS_LIMIT = "near the most that a feeder can carry Newton's method may miss an answer; look at these voltages"


@dataclass(frozen=True)
class Unsolved:
    """How many of some cases were solved by neither, and by one alone."""

    n_cases: int
    neither: int
    ours: int  # without an answer here, with one in pandapower
    pandapower: int  # the other way round

    @staticmethod
    def count(own_solved: np.ndarray, pandapower_solved: np.ndarray) -> Unsolved:
        """Count, from what each solved, (n,) bool."""
        own, theirs = np.asarray(own_solved, bool), np.asarray(pandapower_solved, bool)
        return Unsolved(len(own), int((~own & ~theirs).sum()), int((~own & theirs).sum()), int((own & ~theirs).sum()))

    @property
    def disputed(self) -> int:
        """Cases that one solves and the other does not."""
        return self.ours + self.pandapower

    def sentences(self, what: str, method: str, option: str) -> list[str]:
        """List what was not solved, by whom, and what to do; `option` chooses the method on the command line."""
        said = []
        if self.neither:
            both = "have no solution, neither here nor in pandapower: the feeder cannot carry its loads there"
            said.append(f"{self.neither} of {self.n_cases} {what} {both}; {UNITS}")
        if self.ours:
            advice = f"; try {option} newton" if method != "newton" else f"; {NEAR_ITS_LIMIT}"
            said.append(f"{self.ours} of {self.n_cases} {what} have an answer in pandapower, and none here{advice}")
        if self.pandapower:
            theirs = "have an answer here, and pandapower finds none"
            said.append(f"{self.pandapower} of {self.n_cases} {what} {theirs}; {NEAR_ITS_LIMIT}")
        return said
