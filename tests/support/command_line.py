"""The command `neomflex`, run inside the test's process."""

from typing import Any

import pytest

from neomflex_jax.cli import main

# What makes a training of SAC last a moment.
SMALL = ["--sac.n-copies", "8", "--sac.batch-size", "16", "--sac.updates-per-step", "1", "--sac.buffer-size", "512"]
SMALL += ["--sac.warmup-steps", "8", "--sac.hidden-sizes", "16", "--total-steps", "300"]


def neomflex(*arguments: object) -> Any:
    """Run a command line; gives its exit status."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code
