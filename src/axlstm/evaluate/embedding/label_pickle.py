"""Read the embeddings directory's label pickles without running anything in them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

from axlstm.checkpoints.inert_pickle import check_size
from axlstm.evaluate.tasks.metadata import TaskError


class _PlainUnpickler(pickle.Unpickler):
    """Builds built-in containers, strings and numbers; refuses every name of a class or function."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_label_pickle(path: Path) -> list[list[str]]:
    """Read the label lists of a packed split, each label as a string.

    Raises:
        TaskError: the file is missing, broken, asks for any class or function (nothing is executed), or
            is not a list of lists of strings and numbers.
    """
    if not path.is_file():
        raise TaskError(f"{path} is missing: the embeddings directory is incomplete")
    try:
        content = path.read_bytes()
        check_size(content)
        value = _PlainUnpickler(io.BytesIO(content)).load()
    except Exception as error:  # a broken pickle may raise nearly anything
        found = f"{path} is not a plain pickle of label lists ({error}); nothing in it was run"
        raise TaskError(f"{found}. Write the embeddings again with `axlstm hear embed`") from error
    if not isinstance(value, list) or not all(isinstance(labels, list | tuple) for labels in value):
        raise TaskError(f"{path}: expected a list of label lists")
    if not all(isinstance(label, str | int | float) for labels in value for label in labels):
        raise TaskError(f"{path}: expected labels that are strings or numbers")
    return [[str(label) for label in labels] for labels in value]
