"""Whoever reads a command's output may stop at any time, and loses nothing that the command writes to files."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "arguments",
    [("train", "--help"), ("scenario", "show", "neom33", "--output", "territories.png")],
    ids=["help", "command"],
)
def test_a_reader_that_leaves_is_no_error_and_results_are_written(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "neomflex_jax", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    )
    assert command.stdout is not None and command.stderr is not None
    assert command.stdout.read(1)  # something is there, and more will come
    command.stdout.close()
    said = command.stderr.read()
    assert command.wait() == 0, said
    assert "Traceback" not in said and "BrokenPipe" not in said
    assert "--output" not in arguments or (tmp_path / "territories.png").stat().st_size > 0
