"""Reading files that users give: one reader a format, bounded, and with one kind of error.

`text.py` is below `json_values.py`, `toml_lines.py` and `tables.py`; `stored_arrays.py` reads .npz.
"""
