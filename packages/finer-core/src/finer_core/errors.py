"""Errors that a command turns into an exit code."""


class InputError(ValueError):
    """Report wrong user input: one line that names the offending value and says what to do."""


class DivergenceError(RuntimeError):
    """Report a fit whose loss stopped being finite and could not be recovered."""


class CollectiveError(RuntimeError):
    """Report that the processes of a job cannot go on together: one of them is gone, or computed something else."""


class ToldByFirst(Exception):
    """End a process without a message, because the first process of the job reports what happened.

    Args:
        exit_code: What the process ends with.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"reported by the first process; exit code {exit_code}")
        self.exit_code = exit_code
