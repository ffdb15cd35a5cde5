"""A budget in seconds is kept, on a clock that rounds of learning move: nothing is compiled, and nothing waits."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neomflex_jax import load_scenario
from neomflex_jax.agents.gradient import GradientConfig
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.environment import make
from neomflex_jax.training.clock import Clock
from neomflex_jax.training.gradient_loop import CHUNK_UPDATES
from neomflex_jax.training.group import Group
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.program import program_for
from neomflex_jax.training.sac_loop import CHUNK_STEPS
from neomflex_jax.training.step_metrics import of_rounds

CHUNKS = {"gradient": CHUNK_UPDATES, "sac": CHUNK_STEPS}
COMPILING = 30.0


class Learning:
    """In the place of `Program`: what it is asked for moves the clock, and the state counts rounds."""

    n_devices = n_copies = 1

    def __init__(self, chunk_rounds, round_seconds):
        self.algorithm = SimpleNamespace(chunk_rounds=chunk_rounds, round_steps=1)
        self.round_seconds, self.now, self.compiled = round_seconds, 0.0, set()

    def monotonic(self):
        return self.now

    def steps(self, state):
        return int(state.steps)

    def advance(self, env, state, share, n_rounds):
        self.now += 0.0 if env in self.compiled else COMPILING
        self.compiled.add(env)
        self.now += n_rounds * self.round_seconds
        made = np.arange(self.algorithm.chunk_rounds) < n_rounds
        metrics = {"day_cost": np.full(made.size, np.float32(int(state.steps))), "violations": made.astype(np.int32)}
        return SimpleNamespace(steps=state.steps + n_rounds), metrics


class Env:
    """Another one is another program."""

    def with_power_flow(self, power_flow):
        return Env()


@pytest.fixture
def group_of(monkeypatch):
    def make_group(algorithm, round_seconds, **budget):
        learning = Learning(CHUNKS[algorithm], round_seconds)
        monkeypatch.setattr("neomflex_jax.training.clock.time", learning)
        none = SacConfig(warmup_steps=1), GradientConfig(warmup_steps=1)
        options = TrainOptions(load_scenario("neom33"), algorithm=algorithm, sac=none[0], gradient=none[1], **budget)
        return Group(options, (0,), learning, Env(), Clock())

    return make_group


def learned(group):
    """Rounds and the time of each chunk."""
    state, chunks = SimpleNamespace(steps=jnp.int32(1)), []
    while group.stopped(state) is None:
        before = int(state.steps)
        state, _, values = group.advance(state)
        assert values["violations"][0] == int(state.steps) - before
        chunks.append((int(state.steps) - before, group.clock.seconds()))
    return chunks


@pytest.mark.parametrize("algorithm", ["sac", "gradient"])
@pytest.mark.parametrize("round_seconds", [0.0625, 0.75, 17.0])  # seconds that floats hold exactly
def test_learning_ends_before_its_time_is_up_and_leaves_no_room_for_a_round(group_of, algorithm, round_seconds):
    chunks = learned(group_of(algorithm, round_seconds, max_seconds=200.0))
    assert 200.0 - round_seconds <= chunks[-1][1] <= 200.0
    whole = min(CHUNKS[algorithm], max(int(5.0 / round_seconds), 1))
    assert {rounds for rounds, _ in chunks[1:-1]} == {whole}


@pytest.mark.parametrize("algorithm", ["sac", "gradient"])
def test_a_round_is_made_whatever_the_budget_and_no_other(group_of, algorithm):
    assert learned(group_of(algorithm, 17.0, max_seconds=1.0)) == [(1, COMPILING + 17.0)]


def shares_of(group):
    """Share of the budget that each part of the learning is told of."""
    shares, advance = [], group.program.advance
    group.program.advance = lambda env, state, share, n: (
        (shares.append(share) if n else 0) or advance(env, state, share, n)
    )
    learned(group)
    return shares


@pytest.mark.parametrize("algorithm", ["sac", "gradient"])
def test_what_falls_with_the_budget_begins_at_nothing_however_long_compiling_took(group_of, algorithm):
    """A learning rate fell to a quarter before anything was learned, where 9 of 14 seconds went to compiling."""
    shares = shares_of(group_of(algorithm, 0.75, max_seconds=40.0))
    assert shares[0] == 0.0 and shares == sorted(shares)
    assert 1.0 - shares[-1] <= 5.0 / (40.0 - COMPILING)  # the last chunk begins that near the end
    assert shares_of(group_of(algorithm, 17.0, max_seconds=1.0)) == [0.0]  # no time is left for the one round


def test_rounds_that_become_slower_are_noticed(group_of):
    group = group_of("gradient", 0.1, max_seconds=200.0)
    state, _, _ = group.advance(SimpleNamespace(steps=jnp.int32(1)))
    group.program.round_seconds = 30.0
    state, _, _ = group.advance(state)
    group.program.now = 171.0  # less than one round is left
    assert group.stopped(state) == "max_seconds"


def test_another_power_flow_is_compiled_and_timed_anew(group_of):
    chunks = learned(group_of("gradient", 17.0, max_seconds=400.0, finish_on="ac"))
    assert 400.0 - 17.0 <= chunks[-1][1] <= 400.0
    assert len(chunks) == (chunks[-1][1] - 2 * COMPILING) / 17


def test_without_a_budget_in_seconds_chunks_are_whole(group_of):
    assert [rounds for rounds, _ in learned(group_of("gradient", 17.0, total_steps=25))] == [10, 10, 10]


@pytest.mark.parametrize(("round_seconds", "made"), [(17.0, 3), (0.75, 7), (0.0625, 10)])
def test_ctrl_c_ends_a_slow_chunk_after_the_part_at_hand_and_the_next_goes_on_with_the_rest(
    group_of, round_seconds, made
):
    group = group_of("gradient", round_seconds, total_steps=25)
    shares, advance = [], group.program.advance
    group.program.advance = lambda env, state, share, n: shares.append(share) or advance(env, state, share, n)
    ctrl_c = COMPILING + 2.5 * round_seconds  # in the third round
    state, _, _ = group.advance(SimpleNamespace(steps=jnp.int32(1)), lambda: group.program.now > ctrl_c)
    assert int(state.steps) == 1 + made
    resumed = Group(group.options, group.seeds, group.program, group.env, Clock())
    if made < 10:
        state, _, _ = resumed.advance(state)
    assert int(state.steps) == 11 and set(shares) - {0.0} == {1 / 25}  # 0: compiling


SMALL = {
    "sac": SacConfig(
        n_copies=8, batch_size=16, updates_per_step=1, buffer_size=512, warmup_steps=8, hidden_sizes=(16,)
    ),
    "gradient": GradientConfig(n_copies=4, horizon_days=1, warmup_steps=4, hidden_sizes=(16,)),
}


@pytest.mark.parametrize("algorithm", ["sac", "gradient"])
def test_a_chunk_in_parts_is_the_chunk_bit_for_bit_and_so_are_its_figures(algorithm):
    scenario = load_scenario("neom33", power_flow="lindistflow")
    options = replace(TrainOptions(scenario, algorithm=algorithm), **{algorithm: SMALL[algorithm]})
    env = make(scenario)
    program = program_for(env, options)
    whole, figures = program.advance(env, program.begin(env, [0]), 0.25)
    state, parts = program.begin(env, [0]), []
    for rounds in (0, 1, 4, CHUNKS[algorithm] - 5):
        state, metrics = program.advance(env, state, 0.25, rounds)
        parts.append({name: rows[:rounds] for name, rows in jax.device_get(metrics).items()})
    expected = of_rounds([jax.device_get(figures)])
    assert {name: value.tolist() for name, value in of_rounds(parts).items()} == {
        name: value.tolist() for name, value in expected.items()
    }
    for left, right in zip(jax.tree.leaves(whole), jax.tree.leaves(state), strict=True):
        if jax.dtypes.issubdtype(left.dtype, jax.dtypes.prng_key):
            left, right = jax.random.key_data(left), jax.random.key_data(right)
        np.testing.assert_array_equal(left, right)
