"""The option ``--import``: users' modules, which register their devices, reward terms and observations."""

from typing import Annotated

import tyro

Modules = tyro.conf.UseAppendAction[
    Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            name="import",
            help="A module of yours, or its .py file, that registers devices, reward terms or observations. "
            "May be given several times.",
        ),
    ]
]
