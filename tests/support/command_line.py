"""The command `neomflex`, run inside the test's process."""

from typing import Any

import pytest

from neomflex_jax.cli import main


def neomflex(*arguments: object) -> Any:
    """Run a command line; gives its exit status."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code
