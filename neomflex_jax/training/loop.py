"""The one training loop: chunk after chunk until the budget is used up, and what was learned is saved whatever happens.

The device trains (`program.py`); the host hands out chunks, writes down their metrics and looks at the clock and for
Ctrl-C between them; where a chunk takes long, Ctrl-C ends it after the round at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import jax

from neomflex_jax.training.algorithm import TrainState
from neomflex_jax.training.group import Group
from neomflex_jax.training.interrupt import Interrupted, deferred_interrupt
from neomflex_jax.training.processes import any_of_them
from neomflex_jax.training.run_folder import SaveError
from neomflex_jax.training.run_log import DivergedError, Progress
from neomflex_jax.training.step_metrics import Values

OnProgress = Callable[[Progress], None]


class Output(Protocol):
    """What the trainings of a group write into their folders."""

    def record(self, progress: Progress, values: Values) -> None:
        """Append a chunk's metrics; may raise `DivergedError`, which ends the training without `end`."""
        ...

    def keep(self, state: TrainState) -> None:
        """Save a checkpoint if one is due."""
        ...

    def end(self, state: TrainState, stopped: str) -> None:
        """Save what was learned; `stopped` names the option that ended the training, or is "interrupted"."""
        ...


def learn(group: Group, state: TrainState, output: Output, on_progress: OnProgress | None) -> TrainState:
    """Train a group to its end.

    Parameters
    ----------
    group
        What is trained, with its budget.
    state
        Where it goes on from; its buffers are donated.
    output
        Gets metrics, checkpoints and results.
    on_progress
        Called after every chunk.

    Returns
    -------
    TrainState
        The last state.

    Raises
    ------
    DivergedError
        If learning has left the finite numbers and `output` does not go on without it.
    """
    try:
        with deferred_interrupt(any_of_them) as interrupt:
            while (stopped := group.stopped(state)) is None:
                state, progress, values = group.advance(state, interrupt.came)
                output.record(progress, values)
                if on_progress is not None:
                    on_progress(progress)
                output.keep(state)
                interrupt.let_through()
    except (DivergedError, SaveError):
        raise  # a state that is not finite must not replace the last good one
    except BaseException as error:  # also Ctrl-C: what was learned is kept
        together = jax.process_count() == 1 or isinstance(error, Interrupted)  # all processes are here, to save
        if together and not _donated(state):
            output.end(state, "interrupted")
        raise
    output.end(state, stopped)
    return state


def _donated(state: TrainState) -> bool:
    """Return True if a chunk was cut off inside, so that the state before it is gone and there is none after it."""
    return any(leaf.is_deleted() for leaf in jax.tree.leaves(state))
