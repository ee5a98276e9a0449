"""The exceptions that a command prints as one sentence, without a traceback: no bug of atat."""


class InputError(ValueError):
    """Wrong data, configuration or option.

    The message names the file and line (or the key), what was found, what was expected
    and how to fix it. The command line prints it without a traceback.
    """


class WorkFailed(RuntimeError):
    """Processes that did the work died, for want of memory or time; finished work is kept.

    The message says what is known of them and how to go on.
    """
