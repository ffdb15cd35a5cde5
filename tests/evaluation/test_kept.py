"""Long calculations go on where a killed one stood, to the same bits, and never from something else."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import kept as kept_module
from neomflex_jax.evaluation.kept import Kept
from neomflex_jax.evaluation.rollout import _play_day, record
from neomflex_jax.yardsticks import ModelPredictive, find_optimum
from neomflex_jax.yardsticks.descent import Descent

QUICK = Descent(n_iterations=25)
TREE = {"key": jax.random.key(3), "step": jnp.int32(7), "rows": np.arange(6.0).reshape(2, 3)}


class KilledError(Exception):
    """Stands for a signal."""


@pytest.fixture(scope="module")
def env(three_days: Path) -> nf.Environment:
    made = nf.make("neom33", power_flow="dc", profiles=three_days)
    return evaluation_environment(made, made.profiles)


@pytest.fixture(autouse=True)
def always_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_module, "SAVE_SECONDS", 0.0)


def test_what_is_kept_comes_back_keys_included(tmp_path: Path) -> None:
    file = Kept(tmp_path / "a" / "kept.npz")
    assert file.load(TREE) is None
    file.save(TREE)
    found = file.load(TREE)
    assert found is not None
    np.testing.assert_array_equal(jax.random.key_data(found["key"]), jax.random.key_data(TREE["key"]))
    assert int(found["step"]) == 7 and found["rows"].tolist() == TREE["rows"].tolist()
    file.remove()
    assert file.load(TREE) is None


@pytest.mark.parametrize("other", [np.zeros((2, 4)), np.zeros((2, 3), np.float32), np.zeros(6)])
def test_what_has_another_shape_or_type_is_not_taken(tmp_path: Path, other: np.ndarray) -> None:
    file = Kept(tmp_path / "kept.npz")
    file.save(TREE | {"rows": other})
    assert file.load(TREE) is None


def test_a_damaged_file_is_not_taken(tmp_path: Path) -> None:
    file = Kept(tmp_path / "kept.npz")
    file.save(TREE)
    whole = file.file.read_bytes()
    for at in range(0, len(whole), 7):
        file.file.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        found = file.load(TREE)
        assert found is None or found["rows"].tolist() == TREE["rows"].tolist()
        file.file.write_bytes(whole[:at])
        assert file.load(TREE) is None


def test_it_is_written_now_and_then_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_module, "SAVE_SECONDS", 20.0)
    now = [0.0]
    file = Kept(tmp_path / "kept.npz", clock=lambda: now[0])
    file.save(TREE)
    assert not file.file.exists()
    now[0] = 21.0
    file.save(TREE)
    assert file.file.exists()
    file.remove()
    file.save(TREE, last=True)
    assert file.file.exists()


def test_days_played_before_a_kill_are_not_played_again(env: nf.Environment, tmp_path: Path) -> None:
    policy = ModelPredictive(horizon=4, config=Descent(n_iterations=2))
    whole = record(env, policy, "plan")
    traces = _play_day._cache_size()
    days: list[int] = []

    def killed_after_two(done: int, total: int) -> None:
        if done == 2:
            raise KilledError

    with pytest.raises(KilledError):
        record(env, policy, "plan", on_day=killed_after_two, kept=Kept(tmp_path / "kept.npz"))
    again = record(env, policy, "plan", on_day=lambda done, _: days.append(done), kept=Kept(tmp_path / "kept.npz"))
    assert days == [2, 3]
    for name in ("action", "battery_soc", "vm_pu", "reward", "dataset_index"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    assert _play_day._cache_size() == traces, "a restored carry must not be compiled for anew"


def test_a_search_that_was_killed_goes_on_to_the_same_optimum(env: nf.Environment, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"n_starts": 2, "search": QUICK, "settle": Descent(n_iterations=15)}
    whole = find_optimum(env, 1, **settings)
    seen: list[int] = []

    def killed_at(iteration: int) -> Any:
        def watch(done: int, total: int) -> None:
            assert total == 2 * 25 + 15
            seen.append(done)
            if done >= iteration:
                raise KilledError

        return watch

    for iteration in (20, 45, 60):  # in the first start, the second, and the last descent
        with pytest.raises(KilledError):
            find_optimum(env, 1, **settings, on_iterations=killed_at(iteration), keeper=Kept(tmp_path / "kept.npz"))
    again = find_optimum(env, 1, **settings, on_iterations=killed_at(999), keeper=Kept(tmp_path / "kept.npz"))
    assert seen == [0, 10, 20, 20, 25, 35, 45, 45, 50, 60, 60]
    np.testing.assert_array_equal(again.action, whole.action)
    assert (again.residual, again.starts) == (whole.residual, whole.starts)
