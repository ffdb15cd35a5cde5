"""What each command of the command line does, one a module: thin layers over the Python calls."""
