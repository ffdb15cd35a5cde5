"""The parts of one step, in the order in which a step passes through them; `docs/architecture.md` lists them."""
