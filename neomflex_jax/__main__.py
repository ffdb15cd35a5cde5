"""``python -m neomflex_jax`` is ``neomflex``."""

from neomflex_jax.cli import main

main()
