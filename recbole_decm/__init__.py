"""DecCM: deconfounded cross-modal matching for background-music recommendation, as a plug-in for RecBole."""

from recbole_decm.io.version import __version__

__all__ = ["__version__"]
