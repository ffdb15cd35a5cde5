"""Checkpoints by themselves: whole or not at all, refused by name, and nothing trusted that lies in their files."""

import dataclasses
import json
import resource
import warnings
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neomflex_jax import InputError
from neomflex_jax.training.checkpoint import FRESH, Checkpoints, Standing
from neomflex_jax.training.run_folder import SaveError

ORIGIN = {
    "neomflex_jax": "0.4.1",
    "jax": "0.10.2",
    "device": "cpu",
    "scenario_sha256": "ab",
    "sac": {"learning_rate": 0.003, "hidden_sizes": [64, 64]},
}


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class State:
    learner: dict
    key: jax.Array
    steps: jax.Array


def state(steps=1, size=5):
    learner = {"kernel": jnp.arange(float(size)) * steps, "none": jnp.zeros((0, 3)), "count": jnp.int32(7)}
    return State(learner, jax.random.key(steps), jnp.int32(steps))


def template(size=5):
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), state(1, size))


def saved(folder, *steps, origin=ORIGIN, standing=FRESH):
    checkpoints = Checkpoints(folder, origin)
    for step in steps:
        checkpoints.save(state(step), standing)
    checkpoints.close()


def load(folder, origin=ORIGIN, size=5):
    checkpoints = Checkpoints(folder, origin)
    try:
        return checkpoints.restore_newest(template(size))
    finally:
        checkpoints.close()


def assert_is(found, step):
    assert int(found.steps) == step
    np.testing.assert_array_equal(found.learner["kernel"], state(step).learner["kernel"])
    assert found.learner["none"].shape == (0, 3)
    assert jax.random.key_data(found.key).tolist() == jax.random.key_data(jax.random.key(step)).tolist()


def test_what_was_saved_comes_back_and_only_the_last_few_are_kept(tmp_path):
    saved(tmp_path, 1, 2, 3, standing=Standing(12.5, True))
    found, standing = load(tmp_path)
    assert_is(found, 3)
    assert standing == Standing(12.5, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neomflex_jax": "0.5.0"}, r"made with neomflex_jax 0\.4\.1, and this is neomflex_jax 0\.5\.0"),
        ({"jax": "0.11.0"}, r"made with jax 0\.10\.2, and this is jax 0\.11\.0"),
        ({"state_format": 2}, r"/1: made by a version .* saved in another form; .* train anew"),
        ({"scenario_sha256": "cd"}, r"scenario_sha256 = 'ab', and this run has 'cd'"),
        ({"sac": {"learning_rate": 0.003}}, r"sac\.hidden_sizes = \[64, 64\], and this run has None"),
        ({"sac": ORIGIN["sac"] | {"learning_rate": 0.1}}, r"sac\.learning_rate = 0\.003, and this run has 0\.1"),
    ],
)
def test_a_checkpoint_of_another_version_scenario_or_setting_is_refused_naming_both(tmp_path, changes, message):
    saved(tmp_path, 1)
    with pytest.raises(InputError, match=message):
        load(tmp_path, ORIGIN | changes)


@pytest.mark.parametrize("changes", [{"neomflex_jax": "0.4.9"}, {"jax": "0.10.7"}, {"device": "H100"}])
def test_another_patch_version_or_device_is_a_warning(tmp_path, changes):
    saved(tmp_path, 1)
    with pytest.warns(UserWarning, match="numbers may round otherwise"):
        assert_is(load(tmp_path, ORIGIN | changes)[0], 1)


def test_a_full_disk_is_told_and_the_last_good_checkpoint_stays(tmp_path):
    """The system itself refuses to write more than a few bytes a file, as a full disk would."""
    saved(tmp_path, 1)
    checkpoints = Checkpoints(tmp_path, ORIGIN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, before[1]))
    try:
        with pytest.raises(
            SaveError, match=r"step 2 could not be written \(File too large\); the last good one is .*/1\. Make room"
        ):
            checkpoints.save(state(2))
        checkpoints.close()  # waits for what is written in the background, while the disk is still full
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_is(load(tmp_path)[0], 1)


def rewritten(folder, name, **changes):
    """Let an array's header in the checkpoint announce something else."""
    import tensorstore as ts

    store = ts.KvStore.open({"driver": "ocdbt", "base": {"driver": "file", "path": f"{folder}/arrays/"}}).result()
    key = next(key for key in store.list().result() if name in key.decode() and key.endswith(b".zarray"))
    header = json.loads(store.read(key).result().value)
    store.write(key, json.dumps(header | changes)).result()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [10**13], "chunks": [10**13]}, r"kernel.*announced as float32 \(10000000000000,\)"),
        ({"chunks": [10**13]}, "announced in pieces of"),
        ({"dtype": "<f8"}, "announced as float64"),
    ],
)
def test_arrays_that_announce_something_else_are_not_read(tmp_path, changes, message):
    saved(tmp_path, 1, 2)
    rewritten(tmp_path / "2", "kernel", **changes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.warns(UserWarning, match=message):
        assert_is(load(tmp_path)[0], 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_other_names_are_not_read(tmp_path):
    checkpoints = Checkpoints(tmp_path, ORIGIN)
    good = state(1)
    checkpoints.save(good)
    checkpoints.save(dataclasses.replace(state(2), learner={"kernel": jnp.ones(5), "evil": jnp.ones(2)}))
    checkpoints.close()
    with pytest.warns(UserWarning, match="too much or lacks it"):
        assert_is(load(tmp_path)[0], 1)


def damage_link(folder):
    (folder / "arrays" / "more").symlink_to("/dev/zero")


def damage_large(folder):
    with (folder / "arrays" / "d" / "more").open("wb") as file:
        file.truncate(2**30)


def damage_note(folder):
    next(path for path in (folder / "note").iterdir() if path.name == "metadata").write_text("[" * 100_000)


def damage_step(folder):
    folder.rename(folder.with_name("9"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_link, "more is a link"),
        (damage_large, "far more than this run's arrays"),
        (damage_note, "does not load, skipped"),
        (damage_step, "it is of step 2"),
    ],
)
def test_damaged_checkpoints_are_put_aside_with_a_warning(tmp_path, damage, message):
    tmp_path = tmp_path / "run"
    saved(tmp_path, 1, 2)
    damage(tmp_path / "2")
    with pytest.warns(UserWarning, match=message):
        assert_is(load(tmp_path)[0], 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1"]
    assert len(list(tmp_path.with_name("run_broken").iterdir())) == 1


@pytest.mark.parametrize(
    "error", [RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes"), OSError(5, "Input/output error")]
)
def test_an_error_of_the_machine_costs_no_checkpoint(tmp_path, monkeypatch, error):
    saved(tmp_path, 1, 2)

    def fail(*_):
        raise error

    monkeypatch.setattr("neomflex_jax.training.checkpoint.Checkpoints._check_arrays", fail)
    with pytest.raises(InputError, match=r"could not be read now .*nothing was changed"):
        load(tmp_path)
    monkeypatch.undo()
    assert_is(load(tmp_path)[0], 2)


def test_several_seeds_go_on_with_another_number_of_devices(tmp_path):
    saved(tmp_path, 1, origin=ORIGIN | {"n_seeds": 4, "devices": 4})
    with pytest.warns(UserWarning, match="made with devices = 4, and this run has 2"):
        assert_is(load(tmp_path, ORIGIN | {"n_seeds": 4, "devices": 2})[0], 1)
    saved(tmp_path / "one", 1, origin=ORIGIN | {"n_seeds": 1, "devices": 4})
    with pytest.raises(InputError, match="made with devices = 4"):
        load(tmp_path / "one", ORIGIN | {"n_seeds": 1, "devices": 2})
