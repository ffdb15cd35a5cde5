"""A trajectory's file: what comes back is what was written; a file that is cut off or hostile is refused in words."""

import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import Trajectory, record, trajectory
from neomflex_jax.evaluation.agent_rows import AgentRows, joined_sizes, laid_out
from neomflex_jax.evaluation.trajectory import ARRAY_FIELDS
from validation import validate
from validation.recompute.checks import check_trajectory
from validation.recompute.observations import check_observations, observation_sizes


@pytest.fixture(scope="module")
def run() -> Trajectory:
    env = evaluation_environment(nf.make("neom33", power_flow="lindistflow"))
    return record(env, NoControl(env.action_size), "idle", n_days=1, profiles_sha256="ab" * 32)


@pytest.fixture
def path(run: Trajectory, tmp_path: Path) -> Path:
    run.save(tmp_path / "run.npz")
    return tmp_path / "run.npz"


def test_round_trip(run: Trajectory, path: Path) -> None:
    back = Trajectory.load(path)
    assert back.scenario == run.scenario and back.scenario.hash() == run.scenario.hash()
    assert (back.run, back.power_flow, back.bus_labels, back.profiles_sha256) == (
        *(run.run, run.power_flow, run.bus_labels, run.profiles_sha256),
    )
    for name in (*ARRAY_FIELDS, *run.devices):
        np.testing.assert_array_equal(getattr(back, name), getattr(run, name))


@pytest.mark.parametrize("keep", [0, 1, 100, 5000, -1, -30])
def test_a_file_that_is_cut_off_is_refused(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="not a readable trajectory file"):
        Trajectory.load(path)


def test_a_flipped_byte_is_found(path: Path) -> None:
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("vm_pu.npy").header_offset
    content[offset + 200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a readable trajectory file"):
        Trajectory.load(path)


def test_an_array_with_a_garbled_header_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents["vm_pu.npy"] = contents["vm_pu.npy"].replace(b"'descr'", b"'desc((")
    with zipfile.ZipFile(path, "w") as archive:  # sums that fit: somebody meant it
        for name, content in contents.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match="not a readable trajectory file"):
        Trajectory.load(path)


def rewritten(path: Path, header: Callable[[dict[str, Any]], Any], **arrays: np.ndarray) -> Path:
    """Write the file again with another header and some other arrays."""
    with np.load(path, allow_pickle=False) as stored:
        contents = {name: stored[name] for name in stored.files}
    said = header(json.loads(str(contents.pop("header"))))
    np.savez(path, header=np.array(json.dumps(said)), **(contents | arrays))
    return path


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (lambda values: values | {"format_version": 1}, "this version reads format 2"),
        (lambda values: [values], "this version reads format 2"),
        (lambda values: {name: value for name, value in values.items() if name != "run"}, "header is incomplete"),
        (lambda values: values | {"bus_labels": ["x"]}, "header is incomplete"),
        (lambda values: values | {"bus_labels": 3}, "header is incomplete"),
        (lambda values: values | {"scenario": {}}, "field 'name' is missing"),
        (lambda values: values | {"scenario": values["scenario"] | {"feeder_": 1}}, "unknown field 'feeder_'"),
    ],
)
def test_a_wrong_header_is_named(path: Path, header: Callable[[dict[str, Any]], Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Trajectory.load(rewritten(path, header))


def test_objects_are_never_unpickled(path: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    rewritten(path, lambda values: values, vm_pu=np.array([Trap()] * 48, object))
    with pytest.raises(InputError, match="not a readable trajectory file"):
        Trajectory.load(path)
    assert not (tmp_path / "sprung").exists()


def test_arrays_that_do_not_belong_together(path: Path) -> None:
    with pytest.raises(InputError, match="'vm_pu' is <f8 of shape"):
        Trajectory.load(rewritten(path, lambda values: values, vm_pu=np.ones((3, 33))))
    with pytest.raises(InputError):
        Trajectory.load(rewritten(path, lambda values: values, dataset_index=np.array(3)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("demand", 1e300), ("action", np.nan), ("observation", np.inf), ("battery_p_mw", -1e31), ("vm_pu", 1e300)],
)
def test_numbers_that_no_sum_could_bear_are_named(run: Trajectory, path: Path, name: str, value: float) -> None:
    values = getattr(run, name).astype(float)
    values[7] = value
    with pytest.raises(InputError, match=f"{name} is .* at step 7; it must be a number of at most 1e"):
        Trajectory.load(rewritten(path, lambda header: header, **{name: values}))
    with pytest.raises(InputError, match="dataset_index is -1 at step 0; it must be at least 0"):
        Trajectory.load(rewritten(path, lambda header: header, dataset_index=run.dataset_index - 1))


def test_grid_quantities_of_a_power_flow_that_failed_are_none(run: Trajectory, path: Path) -> None:
    values = run.vm_pu.astype(float)
    values[7] = np.nan
    assert np.isnan(Trajectory.load(rewritten(path, lambda header: header, vm_pu=values)).vm_pu[7]).all()


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_does(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trajectory, "MAX_BYTES", 10_000)
    with pytest.raises(InputError, match="bytes, more than"):
        Trajectory.load(path)


def test_validation_takes_files_and_refuses_another_scenarios(run: Trajectory, path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a readable trajectory file"):
        validate([tmp_path / "none.npz"], tmp_path / "out")
    other = dataclasses.replace(run.scenario, feeder="case69")
    dataclasses.replace(run, scenario=other).save(path)
    with pytest.raises(InputError, match="has other buses than feeder 'case69'"):
        validate([path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def joined(run: Trajectory) -> Trajectory:
    """The run as it would be kept if its agents were very unequal."""
    sizes = {"observation": observation_sizes(run.scenario, nf.load_feeder("case33bw")), "action": (2, 3, 1)}
    action = np.where(np.arange(3) < np.array(sizes["action"])[:, None], 0.01 * np.arange(3), 0.0) + 0 * run.action
    rows = {"observation": run.observation, "action": action.astype(np.float32)}
    kept = {f"{name}s": AgentRows(laid_out(rows[name], each), each) for name, each in sizes.items()}
    return dataclasses.replace(run, **kept)


def test_without_padding_the_same_is_read_and_users_see_a_row_an_agent(
    run: Trajectory, joined: Trajectory, tmp_path: Path
) -> None:
    joined.save(tmp_path / "run.npz")
    back = Trajectory.load(tmp_path / "run.npz")
    assert back.actions.sizes == (2, 3, 1) and back.actions.values.shape == (48, 6)
    np.testing.assert_array_equal(back.observation, run.observation)
    np.testing.assert_array_equal(back.action[9, 1], np.float32([0, 0.01, 0.02]))
    np.testing.assert_array_equal(back.actions.of(1)[9], np.float32([0, 0.01, 0.02]))
    assert back.actions.entry((4,)) == (1, 2) and back.actions.entry((5,)) == (2, 0)
    chosen = dataclasses.replace(back.rows(slice(3, 5)), run="other")
    np.testing.assert_array_equal(chosen.action, joined.action[3:5])
    assert dataclasses.replace(back, action=back.action).actions.sizes is None


def test_observations_without_padding_are_judged(joined: Trajectory) -> None:
    feeder = nf.load_feeder("case33bw")
    check_trajectory(joined, feeder)
    found = check_observations(joined, feeder)
    assert found.n_observed == joined.observations.values.size and found.max_abs < 1e-5
    values = joined.observations.values.copy()
    values[7, -1] += 0.5
    wrong = dataclasses.replace(joined, observations=dataclasses.replace(joined.observations, values=values))
    assert check_observations(wrong, feeder).agent == "agent_3"
    sizes = joined.observations.sizes
    assert sizes is not None
    other = dataclasses.replace(joined, observations=AgentRows(joined.observations.values, sizes[::-1]))
    with pytest.raises(InputError, match="observation is laid out for agents of other sizes"):
        check_trajectory(other, feeder)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"action_sizes": [2, 5]}, "one for each of 3 agents"),
        ({"action_sizes": {"agent_1": 2}}, "one for each of 3 agents"),
        ({"action_sizes": [2, True, 1]}, "must be whole numbers"),
        ({"observation_sizes": [-1, 20, 20]}, "must be whole numbers"),
        ({"observation_sizes": [10**9, 20, 20]}, "must be whole numbers"),
        ({"observation_sizes": [10**6, 20, 20]}, r"it must hold floats of shape \(48, 1000040\)"),
        ({"action_sizes": [3, 2, 2]}, "not those of the scenario's agents"),
        ({"action_sizes": None}, "one for each of 3 agents"),
    ],
)
def test_sizes_that_do_not_fit_are_named(
    joined: Trajectory, tmp_path: Path, sizes: dict[str, object], said: str
) -> None:
    joined.save(tmp_path / "run.npz")
    with pytest.raises(InputError, match=said):
        Trajectory.load(rewritten(tmp_path / "run.npz", lambda header: header | sizes))


def test_only_very_unequal_agents_are_kept_without_padding(run: Trajectory) -> None:
    assert joined_sizes(np.arange(9) < np.array([[9], [1], [1]])) == (9, 1, 1)
    assert joined_sizes(np.arange(3) < np.array([[3], [2], [3]])) is run.actions.sizes is None
