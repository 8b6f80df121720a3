"""What the docstring of a public name must say: its arguments, its result, its errors, and an example that runs."""

import ast
import doctest
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any


def breaches(value: Any) -> list[str]:
    """Return what the docstring of a function or a class lacks; nothing for another value, which has none."""
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return []
    text = inspect.getdoc(value) if "__doc__" in vars(value) or inspect.isfunction(value) else None
    if not text:
        return ["a docstring"]
    lacks = list(_of_function(value, text) if inspect.isfunction(value) else _of_class(value, text))
    runs = (doctest.SKIP not in example.options for test in _examples(value) for example in test.examples)
    if not any(runs):
        lacks.append("Example")
    return lacks


def failed_examples(value: Any) -> int:
    """Run the examples of a name, without those of its methods; return how many fail."""
    return sum(doctest.DocTestRunner().run(test).failed for test in _examples(value))


def _examples(value: Any) -> list[doctest.DocTest]:
    return doctest.DocTestFinder(recurse=False).find(value, value.__name__, globs={})


def _of_function(value: Callable[..., Any], text: str) -> Iterator[str]:
    signature = inspect.signature(value)
    yield from (f"argument {name}" for name in signature.parameters if not _is_told(name, text))
    is_block = inspect.isgeneratorfunction(inspect.unwrap(value))  # a context manager, whose text says what it does
    returns = signature.return_annotation not in (None, "None", inspect.Signature.empty) and not is_block
    if returns and "Returns:" not in text and "eturn" not in text.partition("\n\n")[0]:
        yield "Returns"
    if _raises(value) and "Raises:" not in text:
        yield "Raises"


def _of_class(value: type, text: str) -> Iterator[str]:
    if "__init__" in vars(value) and not is_dataclass(value):
        names = [name for name in inspect.signature(value).parameters if name not in ("args", "kwargs")]
        yield from (f"argument {name}" for name in names if not _is_told(name, text))
    elif is_dataclass(value) or issubclass(value, tuple):
        told = _told_in_the_body(value)
        fields = [name for name in inspect.signature(value).parameters if name in value.__annotations__]
        yield from (f"field {name}" for name in fields if name not in told and not _is_told(name, text))
    for name, member in vars(value).items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        is_own = inspect.isfunction(function) and function.__qualname__ == f"{value.__qualname__}.{name}"
        if is_own and not name.startswith("_") and not function.__doc__:
            yield f"a docstring of {name}"


def _is_told(name: str, text: str) -> bool:
    heads = (line.partition(":")[0].split(",") for line in text.splitlines() if ":" in line)
    return any(word.strip().lstrip("*") == name for words in heads for word in words)


def _tree(value: Any) -> Any:
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


def _raises(function: Callable[..., Any]) -> bool:
    """Return whether a function itself raises, not what it calls."""
    return any(
        isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(_tree(inspect.unwrap(function)))
    )


def _told_in_the_body(kind: type) -> set[str]:
    """Return the fields with a text behind them, or with the help of an option."""
    body = _tree(kind).body
    told = set()
    for field, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        behind = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if behind or isinstance(field.value, ast.Call):
            told.add(field.target.id)
    return told
