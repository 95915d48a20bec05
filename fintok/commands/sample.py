"""``fintok sample``."""
