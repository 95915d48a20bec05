"""Progress of long work on stderr: what takes longer than two seconds shows itself, with the time left."""

from vision.train.progress import is_quiet, quiet, track

__all__ = ["is_quiet", "quiet", "track"]
