"""Errors that a command turns into an exit code."""


class InputError(ValueError):
    """Report wrong user input: one line that names the offending value and says what to do."""


class DivergenceError(RuntimeError):
    """Report a fit whose loss stopped being finite and could not be recovered."""
