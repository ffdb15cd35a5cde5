"""pandapower's empty tables, made once and copied: a net without elements takes it an eighth of a second."""

import sys
from collections.abc import Mapping
from functools import cache
from typing import Any


def copy_empty_tables() -> None:
    """Have every net of this process start with copies of tables, where pandapower is loaded."""
    if "pandapower" not in sys.modules:
        return
    from pandapower.auxiliary import pandapowerNet

    make = pandapowerNet.create_dataframes  # replaces each mapping from columns to types by a table

    @cache
    def table(columns: tuple[tuple[str, Any], ...]) -> Any:
        return make({"table": dict(columns)})["table"]

    def copies(data: dict[str, Any]) -> dict[str, Any]:
        for name, columns in data.items():
            if isinstance(columns, Mapping):
                data[name] = table(tuple(columns.items())).copy()
        return data

    pandapowerNet.create_dataframes = staticmethod(copies)
