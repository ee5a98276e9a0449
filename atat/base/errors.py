"""The one exception that means "the user's input is wrong", as opposed to a bug of atat."""


class InputError(ValueError):
    """Wrong data, configuration or option.

    The message names the file and line (or the key), what was found, what was expected
    and how to fix it. The command line prints it without a traceback.
    """
