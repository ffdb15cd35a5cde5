"""What to say when the library that an adapter adapts to is not there."""


def missing(library: str, extra: str) -> ImportError:
    """Build the error that names the extra to install."""
    return ImportError(f'{library} cannot be imported; install it with: pip install "neomflex-jax[{extra}]"')
