"""The one error that means: what you gave cannot be used."""

from vision.errors import InputError

__all__ = ["InputError"]
