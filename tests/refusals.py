"""What every refusal of wrong input has in common."""

from collections.abc import Callable, Sequence

import pytest


def assert_refused(
    main: Callable[[Sequence[str]], int], arguments: list[str], capsys: pytest.CaptureFixture[str], *words: str
) -> None:
    """Assert exit code 2, nothing on stdout, and one line on stderr with all the words."""
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1, captured.err
    for word in words:
        assert word in captured.err
    assert "Traceback" not in captured.err
