"""Whose a run's folder is: only what a run of ours has made is removed, and never through a link."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.policy_files import load_policies, save_policies
from neomflex_jax.errors import InputError
from neomflex_jax.folders.marker import MARKER
from neomflex_jax.training.run_folder import PART_OF, RunFolder

OLD = {"neomflex_jax": "0.1.0", "jax": "0.10.0", "scenario": {}, "algorithm": "sac", "seed": 0}


def network(value: float) -> ActorNetwork:
    ones = np.full((1, 1), value, np.float32)
    return ActorNetwork(ones[0], ones[0], ((ones, ones[0]),))


def policies(folder: Path, value: float = 1.0, agents: tuple[str, ...] = ("agent_1", "agent_2")) -> None:
    save_policies(folder, {agent: network(value) for agent in agents}, "s", {agent: {} for agent in agents})


def run_in(root: Path, *, marked: bool = True) -> RunFolder:
    """Make a folder as a training leaves it."""
    folder = RunFolder(root)
    root.mkdir(parents=True, exist_ok=True)
    folder.write_config(OLD)
    if not marked:
        (root / MARKER).unlink()
    for name in ("metrics.csv", "result.json", ".metrics.csv.17.partial"):
        (root / name).write_text("x")
    policies(folder.policies)
    step = "_CHECKPOINT_METADATA", "commit_success.txt", "note/metadata", "arrays/d/0f", "arrays/manifest.ocdbt"
    made = [f"checkpoints/96/{name}" for name in step] + ["checkpoints_broken/48.1/note/metadata"]
    unsaved = "checkpoints/144.orbax-checkpoint-tmp"  # half written when a kill came
    made += [f"{unsaved}/note/metadata", f"{unsaved}/arrays.orbax-checkpoint-tmp/_sharding"]
    made += ["events/events.out.tfevents.1.host"]
    for name in (*made, "trace/plugins/profile/now/vm.xplane.pb"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    return folder


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "from before there were markers"])
def test_all_that_a_run_has_made_goes_and_others_files_stay_and_are_named(tmp_path: Path, marked: bool) -> None:
    run = run_in(tmp_path, marked=marked)
    others = ("notes.txt", "checkpoints/notes.txt", "policies/hr.pdf", "policies/agent_1_best.safetensors")
    others += (
        "checkpoints/best/note/metadata",
        "events/talk.txt",
        "trace/plugins/mine.txt",
        "seed_bank/events/talk.txt",
    )
    for name in others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    (tmp_path / "checkpoints" / "data").symlink_to(tmp_path / "seed_bank")
    with pytest.warns(UserWarning, match="is not of the run, and was left"):
        run.prepare(overwrite=True)
    assert set(tree(tmp_path)) == set(others) and (tmp_path / "checkpoints" / "data").is_symlink()


def test_nothing_is_left_of_a_run_that_was_alone(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.prepare(overwrite=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "config",
    ['{"model_type": "bert"}', '{"run_format": 1}', "[]", "", '{"run_format": 1, "neomflex_jax": "0.1.0", "seed": 0}'],
)
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_config_that_we_did_not_write_makes_no_run(tmp_path: Path, config: str, overwrite: bool) -> None:
    (tmp_path / "config.json").write_text(config)
    for name in ("checkpoints/96/model.bin", "policies/hr.pdf", "events/talk.txt", "seed_0/policies/cv.pdf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(InputError, match="it is no run to be overwritten; nothing was changed"):
        RunFolder(tmp_path).prepare(overwrite=overwrite)
    assert tree(tmp_path) == before


def test_where_another_program_has_come_since_nothing_is_ours_any_more(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.config.write_text('{"model_type": "bert"}')
    before = tree(tmp_path)
    with pytest.raises(InputError, match="it is no run to be overwritten"):
        run.prepare(overwrite=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("part", ["config.json", "metrics.csv", "checkpoints", "policies", "events", "trace"])
def test_a_linked_part_costs_nothing(tmp_path: Path, part: str) -> None:
    run = run_in(tmp_path / "run")
    shutil.move(run.root / part, tmp_path / "elsewhere")
    (run.root / part).symlink_to(tmp_path / "elsewhere")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=f"{part}: is a link, or not what a run has there"):
        run.prepare(overwrite=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", ["file", "link"])
def test_others_files_inside_a_checkpoint_are_not_lost_with_it(tmp_path: Path, kind: str) -> None:
    run = run_in(tmp_path / "run")
    (tmp_path / "mine").write_text("mine")
    inside = run.checkpoints / "96" / "thesis.tex"
    inside.symlink_to(tmp_path / "mine") if kind == "link" else inside.write_text("years of work")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"thesis\.tex: no checkpoint holds such a file"):
        run.prepare(overwrite=True)
    assert tree(tmp_path) == before


def test_a_folder_that_may_not_be_changed_is_refused_before_anything_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_in(tmp_path)
    before = tree(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "policies")
    with pytest.raises(InputError, match=r"policies: may not be changed \(its permissions\)"):
        run.prepare(overwrite=True)
    assert tree(tmp_path) == before


def test_a_run_in_a_folder_like_a_seeds_is_a_run_of_its_own(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run_in(tmp_path / "seed_0").write_config({PART_OF: "the run of several seeds"})
    own = tree(run_in(tmp_path / "seed_1").root)
    with pytest.raises(InputError, match=r"seed_1: holds a run of its own"):
        run.check(overwrite=True, seeds=(0, 1))
    run.prepare(overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["seed_1"] and tree(tmp_path / "seed_1") == own


def test_seeds_of_a_new_run_do_not_go_over_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "seed_1" / "policies").mkdir(parents=True)
    with pytest.raises(InputError, match=r"seed_1: holds policies but no config\.json"):
        RunFolder(tmp_path).check(overwrite=True, seeds=(0, 1))


def test_an_overwriting_that_was_cut_off_leaves_no_run_and_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Path.unlink
    for killed_at in range(40):
        run = run_in(tmp_path / str(killed_at), marked=False)
        run_in(run.root / "seed_0").write_config({PART_OF: "the run of several seeds"})
        left = [killed_at]

        def unlink(self: Path, missing_ok: bool = False, left: list[int] = left) -> None:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            plain(self, missing_ok)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", unlink)
            try:
                run.prepare(overwrite=True)
                break
            except KeyboardInterrupt:
                pass
        if (run.root / "config.json").exists():
            assert json.loads(run.config.read_text())["algorithm"] == "sac" and run.policies.is_dir()
        else:
            with pytest.raises(InputError, match="holds no training run"):
                run.read_config()
        run.prepare(overwrite=True)
        assert not tree(run.root)
    assert killed_at > 10


def test_policies_that_are_replaced_are_never_half_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {name: getattr(Path, name) for name in ("unlink", "replace")}
    for killed_at in range(20):
        folder = tmp_path / str(killed_at)
        policies(folder, 1.0)
        left = [killed_at]

        def step(name: str, left: list[int] = left) -> object:
            def do(self: Path, *arguments: object, **options: object) -> object:
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
                return plain[name](self, *arguments, **options)

            return do

        with monkeypatch.context() as patched:
            for name in plain:
                patched.setattr(Path, name, step(name))
            try:
                policies(folder, 2.0)
                break
            except KeyboardInterrupt:
                pass
        try:
            values = {float(each.observation_mean[0]) for each in load_policies(folder).networks.values()}
        except InputError as error:
            assert "no policies here" in str(error)
        else:
            assert len(values) == 1
        policies(folder, 3.0)
        assert sorted(path.name for path in folder.iterdir()) == ["agent_1.safetensors", "agent_2.safetensors"]
    assert killed_at >= 4


def test_what_is_left_of_a_run_is_named_as_such(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.config.unlink()
    with pytest.raises(InputError, match=r"already holds what is left of a run \(result\.json\)"):
        run.check(overwrite=False)
