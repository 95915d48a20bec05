"""The one error that means: what you gave cannot be used."""


class InputError(ValueError):
    """The user's input is wrong: one sentence that names the file, column, row or key, and what to do.

    The command line prints the sentence and exits with code 2, without a traceback. Its kinds are ConfigError
    (:mod:`vision.strict`), CheckpointError (:mod:`vision.train.checkpoint`) and ConvertError
    (:mod:`vision.convert.files`).
    """
