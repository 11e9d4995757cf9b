"""The version of the package, which files carry and checks compare."""

__version__ = "0.2.0"
