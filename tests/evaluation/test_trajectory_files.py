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
from neomflex_jax.evaluation.trajectory import ARRAY_FIELDS
from validation import validate


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
