"""Import neural-tangents late, and say what to do where it is absent or broken."""

import importlib
import os
import warnings
from typing import Any

from finer_core.errors import InputError

INSTALL = 'pip install "finer-ntk[neural-tangents]"'


def load_neural_tangents() -> tuple[Any, Any]:
    """Return the modules `jax` and `neural_tangents`.

    Raises:
        InputError: If one is missing or fails to import; the message has the install line.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it imports TensorFlow, which talks
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what its pinned versions say about each other helps nobody here
            return importlib.import_module("jax"), importlib.import_module("neural_tangents")
    except ImportError as error:
        raise InputError(f"neural-tangents is not installed ({error}): {INSTALL}") from error
    except Exception as error:  # a JAX of another age fails with AttributeError, TypeError and others
        raise InputError(
            f"neural-tangents fails to import; it needs the JAX of its age ({type(error).__name__}: {error}): {INSTALL}"
        ) from error
