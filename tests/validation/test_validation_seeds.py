"""Several seeds' reports: what they may claim together, and what is refused."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import neomflex

from neomflex_jax.errors import InputError
from validation.report.seeds import compare_groups, read_groups, remarks

N_DAYS = 12


def stored(cost: float, seed: int, **changes: Any) -> dict[str, Any]:
    """Give as much of a report as is read of one."""
    day = np.random.default_rng(0).uniform(0.0, 50.0, N_DAYS)
    costs = (day + cost + np.random.default_rng(seed).normal(0.0, 0.2, N_DAYS)).tolist()
    run = {
        "run": "controlled",
        "reference": False,
        "kind": "policy",
        "tolerances": {"hard_violations": 0},
        "metrics": {"hard": {"agreed": 0, "missed": 0}},
        "scenario": "neom33",
        "scenario_hash": "s",
        "feeder_sha256": "f",
        "task_hash": "t",
        "profiles_sha256": "p",
        "policies_sha256": {"agent_1": f"{cost} {seed}"},
        "power_flow": "calibrated",
        "verdict": "PASS",
        "criteria": [{"name": "vm_max_pu", "passed": True, "limit": 1e-5}],
        "failed_criteria": [],
        "own_tolerances": {},
        "recorded_day_cost": costs,
        "day_cost": costs,
    }
    content = {"schema_version": 4, "verdict": "PASS", "is_sample": False, "days": list(range(N_DAYS))}
    content |= {"metadata": {"training": {"algorithm": "sac", "seed": seed}}, "runs": [run | changes]}
    return content


def write(folder: Path, content: dict[str, Any], *, in_training: bool = False) -> Path:
    place = folder / "validation" if in_training else folder
    place.mkdir(parents=True)
    (place / "report.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def seeds_of(folder: Path, name: str, cost: float, n: int) -> list[tuple[str | None, Path]]:
    return [(name, write(folder / f"{name}_{seed}", stored(cost, seed))) for seed in range(n)]


def test_enough_seeds_make_a_sentence_with_interval_and_basis(tmp_path: Path) -> None:
    groups = read_groups([*seeds_of(tmp_path, "good", 10.0, 5), *seeds_of(tmp_path, "bad", 14.0, 3)])
    assert [(group.name, len(group.seeds), group.n_validated) for group in groups] == [("good", 5, 5), ("bad", 3, 3)]
    [(sentence, found)] = compare_groups(groups)
    assert sentence.startswith("good is better than bad: ")
    assert "95 % interval" in sentence and f"{N_DAYS} paired days" in sentence
    assert "5 seeds: the minimum; 10 are recommended" in sentence and "3 seeds: below the minimum of 5" in sentence
    assert found is not None and found.difference.estimate == pytest.approx(-4.0, abs=0.2)


def test_two_seeds_make_no_sentence(tmp_path: Path) -> None:
    groups = read_groups([*seeds_of(tmp_path, "good", 10.0, 5), *seeds_of(tmp_path, "bad", 1000.0, 2)])
    [(sentence, found)] = compare_groups(groups)
    assert "better" not in sentence and "no comparison under 3 seeds (2 of bad)" in sentence and found is None
    assert "no comparison under 3" in remarks(groups[1])


def test_no_difference_is_said_where_none_can_be_told(tmp_path: Path) -> None:
    one = [("one", write(tmp_path / f"a{seed}", stored(10.0, seed))) for seed in range(5)]
    other = [("other", write(tmp_path / f"b{seed}", stored(10.0, seed + 50))) for seed in range(5)]
    [(sentence, _)] = compare_groups(read_groups([*one, *other]))
    assert "no difference can be told" in sentence and "better" not in sentence


def test_unvalidated_seeds_make_no_sentence(tmp_path: Path) -> None:
    reports = [*seeds_of(tmp_path, "good", 10.0, 3), *seeds_of(tmp_path, "bad", 14.0, 2)]
    failed = stored(14.0, 9, verdict="FAIL", failed_criteria=["vm_max_pu"]) | {"verdict": "FAIL"}
    groups = read_groups([*reports, ("bad", write(tmp_path / "failed", failed))])
    [(sentence, found)] = compare_groups(groups)
    assert "no comparison, because seeds are not validated (1 of bad)" in sentence and found is None
    assert f"not validated: {tmp_path / 'failed'}" in remarks(groups[1])


def test_the_algorithm_is_the_name_where_none_is_given(tmp_path: Path) -> None:
    groups = read_groups([(None, write(tmp_path / "run", stored(1.0, 0), in_training=True))])
    assert [(group.name, len(group.seeds)) for group in groups] == [("sac", 1)]
    assert np.isnan(groups[0].interval.low)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policies_sha256": {"agent_1": "1.0 0"}}, "the same policies"),
        ({"task_hash": "u"}, "another task"),
        ({"feeder_sha256": "g"}, "another feeder"),
        ({"profiles_sha256": "q"}, "other profiles"),
        ({"day_cost": [1.0] * 5}, "other days"),
        ({"reference": True}, "no judged run"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    first = write(tmp_path / "first", stored(1.0, 0))
    second = write(tmp_path / "second", stored(2.0, 1, **changes))
    with pytest.raises(InputError, match=said):
        read_groups([(None, first), (None, second)])


def test_a_report_of_two_judged_runs_is_refused(tmp_path: Path) -> None:
    content = stored(1.0, 0)
    content["runs"].append(copy.deepcopy(content["runs"][0]) | {"run": "other"})
    with pytest.raises(InputError, match="2 judged runs"):
        read_groups([(None, write(tmp_path / "two", content))])
    with pytest.raises(InputError, match="no report"):
        read_groups([])


def test_the_command_prints_table_and_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = [*seeds_of(tmp_path, "good", 10.0, 3), *seeds_of(tmp_path, "bad", 14.0, 3)]
    assert neomflex("compare", *(f"{name}={path}" for name, path in reports)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "good is better than bad" in printed and "IQM" in printed
    assert neomflex("compare", f"a b={reports[0][1]}") == 2
    assert "names of algorithms" in " ".join(capsys.readouterr().out.split())
    assert neomflex("compare", tmp_path / "nowhere") == 2
    assert "run `neomflex validate`" in " ".join(capsys.readouterr().out.split())
