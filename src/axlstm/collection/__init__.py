"""Keep embeddings of many recordings with their labels: index, search, label, train, detect.

A collection is one folder. `open` and `create` give it as a `Collection`; docs/collections.md has its format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from axlstm.collection.collection import Collection, create, open

__all__ = ["Collection", "create", "open"]


def __getattr__(name: str) -> Any:
    """Load the module behind a public name when it is first used."""
    if name in __all__:
        from axlstm.collection import collection

        return getattr(collection, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
