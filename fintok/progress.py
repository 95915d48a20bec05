"""Progress of long readings on stderr: what takes longer than two seconds shows itself, with the time left."""

from vision.train.progress import track

__all__ = ["track"]
