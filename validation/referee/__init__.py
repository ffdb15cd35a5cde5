"""Pandapower as the referee: its nets, its power flow, its replay of a record, and a second opinion."""
