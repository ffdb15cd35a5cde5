"""What a long command shows in a pipe: at once what it does, then a line now and then, and the last state."""

import sys
import threading

from neomflex_jax.commands.console import console
from neomflex_jax.commands.progress import AT_LEAST_EVERY_SECONDS, Lines, Stage, progress


def test_a_tick_prints_what_is_new_and_now_and_then_that_nothing_is(capsys):
    now = [100.0]
    lines = Lines(clock=lambda: now[0])
    stage = Stage("playing", lines.show)
    stage.counted(1, 4, "days")
    stage.counted(2, 4, "days")
    now[0] = 105.0
    lines.tick()
    lines.tick()
    stage.shared(0.75, "1,000 steps/s", "training")
    now[0] = 110.0
    lines.tick()
    now[0] += AT_LEAST_EVERY_SECONDS
    lines.tick()
    assert capsys.readouterr().out.splitlines() == [
        "playing: 0 s",
        "playing: 2 of 4 days, 50%, 5 s",
        "training: 1,000 steps/s, 75%, 10 s",
        "training: 1,000 steps/s, 75%, 40 s",
    ]


def test_a_pipe_that_jupyter_colours_gets_lines(monkeypatch, capsys):
    monkeypatch.setattr(console, "_force_terminal", True)  # what FORCE_COLOR does
    assert console.is_terminal
    with progress("playing") as stage:
        stage.counted(1, 4, "days")
    assert "playing: 1 of 4 days, 25%" in capsys.readouterr().out


def test_what_a_notebook_starts_prints_lines_though_it_has_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(console, "_force_terminal", True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    with progress("playing") as stage:
        stage.counted(1, 4, "days")
    assert capsys.readouterr().out.splitlines()[-1].startswith("playing: 1 of 4 days, 25%")


def test_lines_come_while_the_command_waits_for_something_else(capsys):
    lines, ticked = Lines(), threading.Event()
    tick = lines.tick

    def tick_and_say_so():
        tick()
        if stage_is_on:
            ticked.set()

    lines.tick, stage_is_on = tick_and_say_so, []
    with lines.every(0.001):
        stage = Stage("solving", lines.show)
        stage.counted(3, 7, "iterations")
        stage_is_on.append(True)
        assert ticked.wait(60)
    assert "solving: 3 of 7 iterations, 43%, " in capsys.readouterr().out


def test_the_last_state_is_printed_and_errors_pass(capsys):
    try:
        with progress("replaying") as stage:
            for day in range(50):
                stage.counted(day + 1, 50, "days")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("replaying: ") and last.startswith("replaying: 50 of 50 days, 100%")
