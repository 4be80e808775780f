"""The version of every package in the wheel."""

__version__ = "0.1.0"
