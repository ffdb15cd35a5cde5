"""What a training has not settled at its end, from the last rows of its metrics.csv, and what to try.

Figures are means over the last fifth of the steps, in whole days: the hours of a day differ. None of them is a verdict:
a battery that does best at full power lies at its bound too. They say where to look first when policies disappoint.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.files.tables import first_rows, numbers, read_table

FIGURES = ("steps", "seed", "day_cost", "at_bounds", "critic_error", "entropy_above_target", "temperature", "gradient")
FEWEST_DAYS, FEWEST_ROWS = 10, 5  # of all copies, that tell how learning goes
CHANGE = 0.05  # of the day cost from the last fifth of the steps but one to the last
SHARE_AT_BOUNDS = 0.4  # of an agent's actions: of two, one nearly always
CRITIC_ERROR = 0.5  # standard deviations of what critics learn from
ENTROPY = 1.0  # beside its target, of an agent
TEMPERATURE = 1e-4  # beside rewards whose best quarter spans 5
GRADIENT_GROWTH = 1e3  # of the norm, from the second fifth
BUSY = 0.7  # of a core; learning that has the machine to itself takes one or more


@dataclass(frozen=True)
class Finding:
    """Something that is not settled, and what to try, in words."""

    seen: str
    advice: str


Findings = dict[int, list[Finding]]  # by seed


class CoreMeter:
    """Counts from its making how much of one core this process gets."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def core_share(self) -> float:
        """Seconds of all cores together, over seconds."""
        return (time.process_time() - self._cpu) / max(time.monotonic() - self._wall, 1e-9)


def sentence(findings: Findings) -> str:
    """Return the end of a sentence: what is not settled, of several seeds in the first that has any of it."""
    open_seeds = [seed for seed, each in findings.items() if each]
    if not open_seeds:
        return "learning has settled"
    first = findings[open_seeds[0]]
    where = f" in {len(open_seeds)} of {len(findings)} seeds, in seed {open_seeds[0]}" if len(findings) > 1 else ""
    advice = dict.fromkeys(each.advice for each in first)
    return f"not settled{where}: {', '.join(each.seen for each in first)}; try {' or '.join(advice)}"


def read_figures(metrics: Path, seeds: Sequence[int]) -> dict[int, pd.DataFrame]:
    """Return the figures looked at here, one row a chunk, of every seed; no row where there is no table."""
    names = tuple(name for name in first_rows(metrics, 0)[0] if name.startswith(FIGURES))
    text = read_table(metrics, names, others=False) if names else pd.DataFrame()
    table = pd.DataFrame({name: numbers(metrics, text, name) for name in names})
    return {seed: table[table["seed"] == seed] if "seed" in table else table for seed in seeds}


def findings_of(figures: pd.DataFrame, day_steps: int) -> list[Finding]:
    """Return what a training's figures show, one row a chunk; a day of all copies has so many steps."""
    made = int(figures["steps"].iloc[-1]) if len(figures) else 0
    if len(figures) < FEWEST_ROWS or made < FEWEST_DAYS * day_steps:
        return [Finding(f"{made:,} steps are too few to tell", _more(made))]
    fifth = made // (5 * day_steps) * day_steps
    first, before, last = (_mean(figures, end - fifth, end) for end in (2 * fifth, made - fifth, made))
    found = [_cost(before["day_cost"], last["day_cost"], made), _exploration(last, made)]
    found += [_temperature(last), _critics(last), _bounds(last), _gradient(first, last)]
    return [each for each in found if each is not None]


def _mean(figures: pd.DataFrame, begin: int, end: int) -> pd.Series:
    """Return the mean of every figure between two numbers of steps; a row's is that of all its steps."""
    rows = np.concatenate([[0], figures["steps"]])

    def mean(values: pd.Series) -> float:
        sums = np.concatenate([[0], np.cumsum(values * np.diff(rows))])
        return float(np.diff(np.interp([begin, end], rows, sums))[0] / (end - begin))

    return figures.apply(mean)


def busy_machine(core_share: float) -> list[Finding]:
    """Return that a budget in seconds gave few steps because learning had this share of a core, if it was so."""
    if core_share >= BUSY:
        return []
    seen = f"learning had {core_share:.0%} of one core and makes more steps on a quiet machine"
    return [Finding(seen, "a budget in --total-steps, which no load changes")]


def _cost(before: float, last: float, total_steps: int) -> Finding | None:
    change = (last - before) / max(abs(before), np.finfo(float).tiny)
    if abs(change) <= CHANGE:
        return None
    span = f"the day cost {'rose' if change > 0 else 'still fell'} by {abs(change):.0%} in the last fifth"
    return Finding(span, "a smaller learning rate" if change > 0 else _more(total_steps))


def _exploration(last: pd.Series, total_steps: int) -> Finding | None:
    gaps = last.filter(like="entropy_above_target_")
    far = gaps[gaps.abs() > ENTROPY]
    if far.empty:
        return None
    name = str(far.abs().idxmax())
    side = "above" if far[name] > 0 else "below"
    seen = f"{_agent(name, 'entropy_above_target_')}'s entropy is {abs(far[name]):.1f} {side} its target"
    return Finding(seen + _others(len(far)), _more(total_steps))


def _temperature(last: pd.Series) -> Finding | None:
    low = last.filter(like="temperature_")
    low = low[low < TEMPERATURE]
    if low.empty:
        return None
    name = str(low.idxmin())
    seen = f"{_agent(name, 'temperature_')}'s temperature is down to {low[name]:.0e}, nothing beside the rewards"
    return Finding(seen + _others(len(low)), "a larger --sac.target-entropy-per-action")


def _critics(last: pd.Series) -> Finding | None:
    errors = last.filter(like="critic_error_")
    if not (errors > CRITIC_ERROR).any():
        return None
    seen = f"critics are off by {errors.max():.2f} of the returns' spread"
    return Finding(seen, "more --sac.updates-per-step")


def _bounds(last: pd.Series) -> Finding | None:
    shares = last.filter(like="at_bounds_")
    high = shares[shares > SHARE_AT_BOUNDS]
    if high.empty:
        return None
    name = str(high.idxmax())
    seen = f"{high[name]:.0%} of {_agent(name, 'at_bounds_')}'s actions lie at a bound"
    return Finding(seen + _others(len(high)), "neomflex plot dispatch, which shows whether that is right")


def _gradient(first: pd.Series, last: pd.Series) -> Finding | None:
    norms, earlier = last.filter(like="gradient_norm_"), first.filter(like="gradient_norm_")
    if norms.empty or norms.max() <= GRADIENT_GROWTH * earlier.max():
        return None
    clipped = last.filter(like="gradient_clipped_").max()
    seen = f"the gradient's norm grew to {norms.max():.0e} and is clipped in {clipped:.0%} of updates"
    return Finding(seen, "a smaller --gradient.observed-gradient")


def _more(total_steps: int) -> str:
    return f"--total-steps {2 * total_steps}"


def _agent(column: str, prefix: str) -> str:
    return column.removeprefix(prefix)


def _others(n_agents: int) -> str:
    return f" (and that of {n_agents - 1} more)" if n_agents > 1 else ""
