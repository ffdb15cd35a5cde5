"""The script that shells complete with offers commands, options and a group's commands."""

import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import neomflex

OFFERED = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_tyro_neomflex; echo "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_is_offered_what_a_word_may_become(tmp_path: Path) -> None:
    script = tmp_path / "neomflex.sh"
    assert neomflex("--tyro-write-completion", "bash", script) is None  # exit status 0
    for words, offered in {
        "neomflex val": "validate",
        "neomflex feeder ch": "check",
        "neomflex train --check": "--checkpoint-seconds",
    }.items():
        arguments = ["bash", "-c", OFFERED, "bash", str(script), *words.split()]
        said = subprocess.run(arguments, capture_output=True, text=True, check=True)
        assert said.stdout.split() == [offered], (words, said)
