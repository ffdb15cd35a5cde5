"""Networks of `pandapower.networks`, by a call such as ``create_cigre_network_mv(with_der="pv_wind")``.

The text is parsed, never run: the name is looked up among the module's own functions, and values are literals.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable

from neomflex_jax.errors import InputError, reason_of, shown, unknown_name
from neomflex_jax.grid.from_pandapower.sources.source import NetSource
from neomflex_jax.loose_types import Keywords, PandapowerNet
from neomflex_jax.matplotlib_import import load_matplotlib

PAGES = "https://pandapower.readthedocs.io/en/latest/networks.html"
FORM = 'write pandapower:create_cigre_network_mv(with_der="pv_wind"), with literals by name'


def open_net(call: str) -> NetSource:
    """Build the network that a call means.

    Raises
    ------
    InputError
        On a text that is no such call, a function that is not there (the nearest is named), or arguments it refuses.
    """
    name, arguments = _parsed(call)
    functions = _functions()
    if name not in functions:
        raise unknown_name("network of pandapower.networks", name, functions, listed_by=PAGES)
    try:
        inspect.signature(functions[name]).bind(**arguments)
        net = functions[name](**arguments)
    except Exception as error:  # a network's builder raises whatever its arguments make it raise
        signature = inspect.signature(functions[name])
        raise InputError(f"pandapower:{call}: {reason_of(error)}; pandapower has {name}{signature}") from error
    import pandapower

    if not isinstance(net, pandapower.pandapowerNet):
        raise InputError(f"pandapower:{call}: gives a {type(net).__name__}, not one net")
    return NetSource(net, name)


def _parsed(call: str) -> tuple[str, Keywords]:
    try:
        tree = ast.parse(call.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise InputError(f"pandapower:{shown(call)}: is no call ({reason_of(error)}); {FORM}") from error
    if isinstance(tree, ast.Name):
        return tree.id, {}
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name) or not _by_name(tree):
        raise InputError(f"pandapower:{shown(call)}: is no function with arguments by name; {FORM}")
    try:
        return tree.func.id, {str(word.arg): ast.literal_eval(word.value) for word in tree.keywords}
    except ValueError as error:
        raise InputError(f"pandapower:{shown(call)}: an argument is no literal; {FORM}") from error


def _by_name(call: ast.Call) -> bool:
    return not call.args and all(word.arg for word in call.keywords)


def _functions() -> dict[str, Callable[..., PandapowerNet]]:
    load_matplotlib()  # which pandapower imports
    import pandapower.networks as networks  # slow to import, and needed for nets alone

    own = inspect.getmembers(networks, inspect.isfunction)
    return {
        name: one
        for name, one in own
        if one.__module__.startswith(networks.__name__) and name[0] != "_" and "json" not in name  # reads any file
    }
