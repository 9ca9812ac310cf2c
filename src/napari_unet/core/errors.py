"""The one exception that is meant for the user's eyes."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is a single sentence in a biologist's words: what was found, what was expected, and what to do
    next. Docks show it as it is; the command line prints it on one line and exits with 2.
    """
