"""Fields that every power flow's result has; the others are None without what they tell of."""

import dataclasses

import neomflex_jax as nf

FIELDS = tuple(field.name for field in dataclasses.fields(nf.PowerFlowResult) if field.default is dataclasses.MISSING)
