"""The training loop by itself, with nothing compiled: in which order it calls what, and what it saves at its end."""

import signal

import jax.numpy as jnp
import pytest

from neomflex_jax.training.interrupt import Interrupted
from neomflex_jax.training.loop import learn
from neomflex_jax.training.run_folder import SaveError
from neomflex_jax.training.run_log import DivergedError, Progress

PROGRESS = Progress(1, 2, 1.0, 1.0, 0.5, {})


class TwoChunks:
    """A group whose state counts chunks, and which stops after the second."""

    def __init__(self, calls, failing=None):
        self.calls, self.failing = calls, failing

    def stopped(self, state):
        return "total_steps" if int(state) >= 2 else None

    def advance(self, state, is_interrupted):
        self.calls.append("chunk")
        if self.failing == "chunk":
            state.delete()  # as XLA does with donated buffers
            raise KeyboardInterrupt
        return state + 1, PROGRESS, {}


class Calls:
    """An output that writes down what it is asked for, and fails where it shall."""

    def __init__(self, failing=None, error=None):
        self.calls, self.failing, self.error = [], failing, error

    def _call(self, name, *values):
        self.calls.append((name, *values) if values else name)
        if name == self.failing:
            raise self.error

    def record(self, progress, values):
        self._call("record")

    def on_progress(self, progress):
        self._call("progress")

    def keep(self, state):
        self._call("keep")

    def end(self, state, stopped):
        self._call("end", int(state), stopped)


def learned(output, group=None):
    return learn(group or TwoChunks(output.calls), jnp.int32(0), output, output.on_progress)


def test_chunks_are_recorded_shown_and_kept_until_the_budget_is_used_up():
    output = Calls()
    assert int(learned(output)) == 2
    assert output.calls == ["chunk", "record", "progress", "keep"] * 2 + [("end", 2, "total_steps")]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted(), ValueError("a display that fails")])
def test_whatever_comes_between_chunks_what_was_learned_is_saved(error):
    output = Calls("progress", error)
    with pytest.raises(type(error)):
        learned(output)
    assert output.calls[-1] == ("end", 1, "interrupted")


@pytest.mark.parametrize(("where", "error"), [("record", DivergedError("x")), ("keep", SaveError("x"))])
def test_a_state_that_is_not_finite_or_cannot_be_saved_replaces_nothing(where, error):
    output = Calls(where, error)
    with pytest.raises(type(error)):
        learned(output)
    assert output.calls[-1] == where


def test_a_state_whose_buffers_are_gone_is_not_saved():
    output = Calls()
    with pytest.raises(KeyboardInterrupt):
        learned(output, TwoChunks(output.calls, failing="chunk"))
    assert output.calls == ["chunk"]


def test_ctrl_c_in_a_chunk_waits_for_its_end():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    output = Calls()
    try:
        with pytest.raises(Interrupted):
            learn(TwoChunks(output.calls), jnp.int32(0), output, lambda progress: signal.raise_signal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert output.calls == ["chunk", "record", "keep", ("end", 1, "interrupted")]
