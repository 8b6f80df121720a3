"""Names are the field's: what was renamed does not come back, as a name, an option or a metric."""

import ast
import re
from collections.abc import Iterator

import pytest

from .workspace import PACKAGES

GONE = {
    "ActivatedMap": "FusedLayer",
    "FitState": "TrainState",
    "GradientSum": "GradientReducer",
    "Intrinsics": "Camera",
    "NetworkParts": "NetworkDict",
    "SMALLEST_PIECE": "SMALLEST_CHUNK",
    "bytes_a_row": "bytes_per_row",
    "carve": "visual_hull",
    "figures_of": "metrics_of",
    "first_derivatives_only": "first_order_only",
    "in_blocks": "in_chunks",
    "in_threads": "parallel_map",
    "judge_samples": "eval_samples",
    "least_weight": "min_weight",
    "normalised": "normalized",
    "occupied_share": "occupied_fraction",
    "one_thread_an_operation": "one_thread_per_op",
    "orthogonalise": "orthogonalize",
    "pull_back": "fused_backward",
    "rays_of_pixels": "camera_rays",
    "rows_a_piece": "chunk_rows",
    "save_and_judge": "save_and_evaluate",
}
"""A name that must not occur, and the one in its place (docs/architecture.md)."""
MODULES_GONE = set(
    ["advisor", "fusion", "judging", "looking", "native", "pieces", "pointwise", "rules", "seeing", "spare"]
)


def names_in(tree: ast.AST) -> Iterator[str]:
    """Return every name that a module defines or uses."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.alias(name=name):
                yield from name.split(".")
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name


def words_in(tree: ast.AST) -> Iterator[str]:
    """Return every name, and every text that is an option or a key."""
    yield from names_in(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if re.fullmatch(r"-{0,2}[a-z][a-z_-]*", text):
                yield text.lstrip("-").replace("-", "_")


BRITISH = re.compile("(?i)colour|neighbour|centre|(normal|initial|optim|quant|recogn|serial)is(e|ed|er|ation)$")
"""Spellings that no name has."""
BRITISH_TEXT = re.compile(
    "(?i)colour|neighbour|centre|behaviour|honour|favour|grey|licence|(initial|normal|recogn)is(e|ed|ing|ation)"
)
"""And no sentence that a user may read."""


def allowed(path_name: str) -> set[str]:
    """Return names that a file may use all the same: the verb, of what carves the hull."""
    return {"carve"} if path_name in ("visual_hull.py", "build.py") else set()


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_no_old_name_is_left(package):
    for path in sorted(package.source.rglob("*.py")):
        used = set(words_in(ast.parse(path.read_text("utf-8")))) - allowed(path.name)
        assert {name: GONE[name] for name in used & set(GONE)} == {}, path


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_no_old_module_is_left(package):
    assert {path.stem for path in package.source.rglob("*.py")} & MODULES_GONE == set()


@pytest.mark.parametrize(
    "code",
    ["x.judge_samples", "f(normalised=True)", "'--least-weight'", "def pull_back(): pass", "from a import Intrinsics"],
)
def test_the_check_sees(code):
    assert set(words_in(ast.parse(code))) & set(GONE)


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_names_are_american(package):
    for path in sorted(package.source.rglob("*.py")):
        assert {name for name in names_in(ast.parse(path.read_text("utf-8"))) if BRITISH.search(name)} == set(), path


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_sentences_are_american(package):
    documents = [*package.folder.glob("*.md"), *package.source.rglob("*.py")]
    found = {path: BRITISH_TEXT.findall(path.read_text("utf-8")) for path in sorted(documents)}
    assert {str(path): words for path, words in found.items() if words} == {}
    assert BRITISH_TEXT.search("the Colours of neighbours")


@pytest.mark.parametrize("name", ["vertex_colours", "_NEIGHBOURS", "scene_centre", "normalised", "Initialiser"])
def test_british_names_are_seen(name):
    assert BRITISH.search(name)
    assert set(names_in(ast.parse(f"{name} = 1"))) == {name}
