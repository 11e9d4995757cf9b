"""DecCM: deconfounded cross-modal matching for background-music recommendation, as a plug-in for RecBole."""

__version__ = "0.1.0"
