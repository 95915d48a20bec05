"""The errors that are told in a sentence: what you gave cannot be used, and a loss that is no longer a number."""


class InputError(ValueError):
    """The user's input is wrong: one sentence that names the file, column, row or key, and what to do.

    The command line prints the sentence and exits with code 2, without a traceback. Its kinds are ConfigError
    (:mod:`vision.strict`), CheckpointError (:mod:`vision.train.checkpoint`) and ConvertError
    (:mod:`vision.convert.files`).
    """


class DivergedError(FloatingPointError):
    """The loss or the weights are no longer finite: one sentence with the step, and what to try (exit code 1)."""
