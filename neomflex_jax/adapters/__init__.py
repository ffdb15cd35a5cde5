"""The environment in other libraries' interfaces, one module a library; each is loaded only when it is imported."""
