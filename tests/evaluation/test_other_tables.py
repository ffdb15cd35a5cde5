"""Tables of something else in the place of a step table."""

import pytest

import neomflex_jax as nf
from neomflex_jax.evaluation.tables import read_step_metrics


def test_a_table_of_something_else_is_refused_with_where_a_step_table_comes_from(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(nf.InputError, match=r"'run', 'day'.* and \d+ more is missing.*`neomflex evaluate`") as said:
        read_step_metrics(tmp_path / "other.csv")
    assert len(str(said.value)) < 300 + len(str(tmp_path))
