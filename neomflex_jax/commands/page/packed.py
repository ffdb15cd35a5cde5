"""Arrays as a page carries them: whole numbers of a decimal unit, so that what it shows is the table's figure, rounded.

``{"decimals": 4, "bits": 16, "columns": 33, "base64": "..."}`` holds ``round(10^4 value)`` row by row, little-endian;
the lowest number of the type stands for a missing value.
"""

from __future__ import annotations

import base64
import json
import math

import numpy as np
from jaxtyping import Shaped

from neomflex_jax.loose_types import JsonObject

MOST_DECIMALS = 6
LARGEST = {16: 2**15 - 1, 32: 2**31 - 1}
IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def packed(values: Shaped[np.ndarray, " *shape"], decimals: int | None = None) -> JsonObject:
    """Return an array as plain values.

    Parameters
    ----------
    values
        (n,) or (n_rows, n_columns); NaN and infinity are missing values.
    decimals
        That are kept; None: as many as 16 bits hold of the largest, at most 6.

    Returns
    -------
    dict
        As the module says.
    """
    numbers = np.asarray(values, float)
    finite = np.isfinite(numbers)
    largest = float(np.abs(numbers[finite]).max(initial=0.0))
    if decimals is None:
        decimals = decimals_for(largest)
    bits = 16 if largest * 10.0**decimals < LARGEST[16] else 32
    scaled = np.clip(np.round(np.where(finite, numbers, 0.0) * 10.0**decimals), -LARGEST[bits], LARGEST[bits])
    whole = np.where(finite, scaled, -LARGEST[bits] - 1).astype(f"<i{bits // 8}")
    columns = numbers.shape[1] if numbers.ndim > 1 else 1
    text = base64.b64encode(whole.tobytes()).decode("ascii")
    return {"decimals": decimals, "bits": bits, "columns": columns, "base64": text}


def decimals_for(largest: float) -> int:
    """Return how many decimals 16 bits hold of numbers up to `largest`."""
    if largest <= 0:
        return 3
    return max(0, min(MOST_DECIMALS, math.floor(math.log10(LARGEST[16] / largest))))


def json_in_html(value: object) -> str:
    """Return JSON that may stand in a script element: nothing in it can end the element or a line of a script."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return "".join(IN_SCRIPT.get(letter, letter) for letter in text) if any(c in text for c in IN_SCRIPT) else text
