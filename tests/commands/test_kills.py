"""Commands that are killed at random moments; `kill_commands.py` plays any number of them."""

from pathlib import Path

import pytest
from kill_commands import COMMANDS, WRONG, play


@pytest.mark.slow
def test_nothing_that_a_killed_command_leaves_is_taken_for_what_it_is_not(tmp_path: Path) -> None:
    kills = 2 * len(COMMANDS)
    count = play(tmp_path, kills, seed=1)
    assert not [what for what in count if WRONG in what]
    assert count["killed"] + count["ended before"] == kills and count["killed"] > 0
