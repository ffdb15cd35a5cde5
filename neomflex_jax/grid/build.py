"""A `Feeder` from plain sequences, for whoever has one in memory."""

from __future__ import annotations

from neomflex_jax.grid.columns import FeederColumns
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.loose_types import FieldValue


def build_feeder(**columns: FieldValue) -> Feeder:
    """Check columns and build a feeder of them.

    Parameters
    ----------
    **columns
        The fields of `neomflex_jax.grid.columns.FeederColumns`.

    Raises
    ------
    InputError
        On a column of the wrong length, a value that is not finite, a repeated or unknown bus label, a line between
        two voltage levels, an impedance that is not positive, or a feeder that is not connected, naming bus or branch.
    """
    return Feeder.from_columns(FeederColumns(**columns))
