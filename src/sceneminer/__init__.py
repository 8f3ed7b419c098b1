"""sceneminer finds the scenes that matter in driving logs."""

__version__ = "0.1.0"
