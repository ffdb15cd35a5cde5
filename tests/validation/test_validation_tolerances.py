"""Own tolerances: a file that replaces some limits, and what is refused of it."""

import dataclasses
from pathlib import Path

import pytest

from neomflex_jax.errors import InputError
from validation import Tolerances, read_tolerances, tolerances_for
from validation.verdict.tolerances import changes


@pytest.mark.parametrize("limit", [float("inf"), float("nan"), -1.0])
def test_a_limit_that_holds_nothing_back_is_refused(limit: float) -> None:
    with pytest.raises(InputError, match=r"vm_max_pu = .* must be a number of at least 0, and finite"):
        Tolerances(vm_max_pu=limit)


def tolerance_file(folder: Path, text: str) -> Path:
    path = folder / "my.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_replaces_what_it_names(tmp_path: Path) -> None:
    base = tolerances_for("calibrated")
    path = tolerance_file(
        tmp_path, "# mine\nvm_max_pu = 0.004\nmissed_hard_violations = 2\nclosed_loop_gap_max = 0.5\n"
    )
    own = read_tolerances(path, base)
    assert own == dataclasses.replace(base, vm_max_pu=0.004, missed_hard_violations=2, closed_loop_gap_max=0.5)
    assert set(changes(own, base)) == {"vm_max_pu", "missed_hard_violations", "closed_loop_gap_max"}
    assert read_tolerances(tolerance_file(tmp_path, ""), base) == base


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "vm_max_pu = 0.004\nvm_maxpu = 1\n",
            "my.toml: line 2: unknown field 'vm_maxpu'; known: .*Did you mean 'vm_max_pu'",
        ),
        ('loss_max_mw = "little"\n', "line 1: loss_max_mw = 'little' must be of type float"),
        ("missed_hard_violations = 0.5\n", "line 1: missed_hard_violations = 0.5 must be of type int"),
        ("\n\nvm_max_pu = -1.0\n", "line 3: .*vm_max_pu = -1.0 must be a number of at least 0"),
        ("vm_max_pu = nan\n", "line 1: vm_max_pu is NaN"),
        ("vm_max_pu = inf\n", "infinite"),
        ("vm_max_pu = true\n", "must be of type float"),
        ("[vm_max_pu]\nac = 1\n", "line 1"),
        ("vm_max_pu 0.1\n", "not a TOML file"),
    ],
)
def test_unusable_tolerances_are_named_with_line_and_field(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_tolerances(tolerance_file(tmp_path, text), Tolerances())


def test_missing_tolerance_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_tolerances(tmp_path / "none.toml", Tolerances())
