"""Actors of unequal agents: computed in classes of similar size, as if they were computed together."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from neomflex_jax.agents.actors import Actors
from neomflex_jax.agents.sharing import sharing_of
from neomflex_jax.environment import make
from neomflex_jax.scenario import scenario_names

UNEQUAL = Actors((8, 8), (60, 3, 1, 2, 40, 3, 2, 1, 3), (5, 1, 1, 2, 3, 1, 1, 1, 1))


def test_classes_of_unequal_agents_act_and_learn_as_all_together():
    params = UNEQUAL.init(jax.random.key(0))
    seen = jax.random.normal(jax.random.key(1), (4, 9, 60))
    inputs = UNEQUAL.inputs(UNEQUAL.no_statistics(), UNEQUAL.observations.packed(seen))

    def together(params):
        rows = UNEQUAL.observations.rows(inputs)
        acted = jax.vmap(UNEQUAL.apply_one, in_axes=(0, 1), out_axes=1)(params, rows)
        return [UNEQUAL.actions.packed(each) for each in acted]

    assert [list(members) for members in UNEQUAL.size_classes] == [[2, 7], [3, 6], [1, 5, 8], [0, 4]]

    def learned(act):
        """Gradient of the sum of squares, and what is acted."""

        def cost(params):
            acted = act(params)
            return sum((values**2).sum() for values in acted), acted

        return jax.jit(jax.grad(cost, has_aux=True))(params)

    in_classes, acted = learned(lambda params: UNEQUAL.apply(params, inputs))
    at_once, acted_at_once = learned(together)
    for a, b in zip(acted, acted_at_once, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for a, b in zip(jax.tree.leaves(in_classes), jax.tree.leaves(at_once), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_classes_of_agents_that_share_parameters_act_as_all_together():
    shared = replace(UNEQUAL, sharing=sharing_of("shared", 9))
    params = shared.init(jax.random.key(0))
    seen = shared.inputs(
        shared.no_statistics(), shared.observations.packed(jax.random.normal(jax.random.key(1), (2, 9, 60)))
    )
    mean, _ = jax.jit(shared.apply)(params, seen)
    rows = shared.observations.rows(seen)
    together, _ = jax.jit(jax.vmap(shared.apply_one, (0, 1), 1))(shared.every_agents(params), rows)
    np.testing.assert_allclose(mean, shared.actions.packed(together), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", scenario_names())
def test_agents_of_packaged_scenarios_are_one_class(name):
    layout = make(name).observation_layout
    sizes = tuple(int(row.sum()) for row in layout.mask)
    assert len(Actors((8,), sizes, (1,) * len(sizes)).size_classes) == 1
