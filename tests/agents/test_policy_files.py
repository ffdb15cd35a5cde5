"""Policy files from disk are hostile until checked."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from neomflex_jax import InputError, load_scenario
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.policy_files import load_policies, save_policies

SCENARIO = load_scenario("neom33")
LAYOUT = SCENARIO.observation_layout()
SIZES = {"agent_1": (16, 2), "agent_2": (18, 3), "agent_3": (11, 1)}


def network(n_in, n_out, seed=0):
    rng = np.random.default_rng(seed)
    layers = ((rng.normal(size=(n_in, 5)), rng.normal(size=5)), (rng.normal(size=(5, n_out)), rng.normal(size=n_out)))
    layers = tuple((kernel.astype(np.float32), bias.astype(np.float32)) for kernel, bias in layers)
    return ActorNetwork(np.zeros(n_in, np.float32), np.ones(n_in, np.float32), layers)


@pytest.fixture
def folder(tmp_path):
    save_policies(tmp_path / "policies", {a: network(*size) for a, size in SIZES.items()}, "neom33", LAYOUT)
    return tmp_path


def rewrite(path, tensors=None, **header):
    from safetensors import safe_open

    with safe_open(str(path), framework="np") as file:
        metadata = file.metadata()
        contents = {name: file.get_tensor(name) for name in list(file.keys())}
    save_file(contents | (tensors or {}), str(path), metadata=metadata | header)


def test_round_trip_gives_the_same_actions(folder):
    policies = load_policies(folder)
    observations = {agent: np.ones((4, n_in), np.float32) for agent, (n_in, _) in SIZES.items()}
    actions = policies(observations)
    for agent, (n_in, n_out) in SIZES.items():
        np.testing.assert_array_equal(actions[agent], network(n_in, n_out)(observations[agent]))
        assert actions[agent].shape == (4, n_out)


def test_a_file_says_what_it_is_for(folder):
    info = load_policies(folder).info["agent_2"]
    assert (info.scenario, info.layout["batteries"], len(info.sha256)) == ("neom33", [7, 14], 64)


def test_no_policies_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no policies here"):
        load_policies(tmp_path)


def test_a_folder_of_seeds_says_which_there_are(tmp_path):
    for seed in (1, 0):
        (tmp_path / f"seed_{seed}" / "policies").mkdir(parents=True)
    with pytest.raises(InputError, match=r"give one seed's folder, as seed_0$"):
        load_policies(tmp_path)


def test_policies_of_another_scenario_are_refused(folder):
    with pytest.raises(InputError, match=r"trained for scenario 'neom33'.*scenario 'neom33-original'"):
        load_policies(folder).as_policy(LAYOUT, "neom33-original")


def test_policies_for_other_devices_are_refused(folder):
    changed = LAYOUT | {"agent_2": LAYOUT["agent_2"] | {"batteries": [7, 15]}}
    with pytest.raises(InputError, match="batteries"):
        load_policies(folder).as_policy(changed, "neom33")


def test_a_missing_agent_is_named(folder):
    (folder / "policies" / "agent_3.safetensors").unlink()
    with pytest.raises(InputError, match="no policy for agent 'agent_3'"):
        load_policies(folder).as_policy(LAYOUT, "neom33")


def test_an_observation_of_another_size_is_refused(folder):
    with pytest.raises(InputError, match=r"agent_1 has shape .*takes 16"):
        load_policies(folder)({"agent_1": np.zeros(15)})


@pytest.mark.parametrize(
    ("tensors", "header", "message"),
    [
        ({"layer_0.kernel": np.zeros((9, 5), np.float32)}, {}, "shapes"),
        ({"layer_1.bias": np.full(2, np.nan, np.float32)}, {}, "finite"),
        ({"layer_1.bias": np.zeros(2)}, {}, "float32"),
        ({"extra": np.zeros(2, np.float32)}, {}, "extra"),
        ({}, {"observation_size": "17"}, "shapes"),
        ({}, {"n_layers": "9999999"}, "n_layers"),
        ({}, {"layout": "{not json"}, "header"),
        ({}, {"layout": '"x"'}, "not a JSON object"),
        ({}, {"layout": "[" * 100_000}, "header"),
        ({}, {"observation_size": "9" * 5000}, "must be a number"),
        ({}, {"activation": "x" * 5000}, "activation"),
        ({"layer_1.bias": np.zeros(2, np.int32)}, {}, "float32 numbers, not I32"),
        ({"layer_0.kernel": np.full((16, 5), 1e38, np.float32)}, {}, "overflow float32"),
        ({"observation_mean": np.full(16, 3e38, np.float32)}, {}, "overflow float32"),
        ({}, {"format_version": "99"}, "version"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(folder, tensors, header, message):
    path = folder / "policies" / "agent_1.safetensors"
    rewrite(path, tensors, **header)
    with pytest.raises(InputError, match=message):
        load_policies(folder)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64, json.dumps({"a": 1}).encode()])
def test_a_file_of_another_kind_is_refused(folder, content):
    (folder / "policies" / "agent_1.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"agent_1\.safetensors"):
        load_policies(folder)
