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


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_standard_output_that_is_closed_or_full_is_no_traceback(tmp_path: Path, more: tuple[str, ...]) -> None:
    run = f"{sys.executable} -m neomflex_jax scenario list {' '.join(more)}"
    closed = subprocess.run(f"{run} >&-", shell=True, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert closed.returncode == 0 and not closed.stderr
    full = subprocess.run(f"{run} > /dev/full", shell=True, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert full.returncode == 2 and "No space left on device" in full.stderr and "Traceback" not in full.stderr
