"""The one exception that means "the user's input is wrong", told apart from our own faults."""


class InputError(ValueError):
    """Wrong data, configuration or option.

    The message names the file and line (or the key), what was found, what was expected
    and how to mend it. The command line prints it without a traceback.
    """
