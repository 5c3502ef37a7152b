"""Read docstrings as the pages of the API show them: with the texts of ``Annotated`` types, and with links."""

from __future__ import annotations

import ast
import re
from typing import Any

from griffe import Attribute, Docstring, ExprCall, ExprSubscript, ExprTuple, Extension, Object

NAME = re.compile(r"(?<!`)`(axlstm(?:\.\w+)+)`(?!`)")
DOCUMENT = re.compile(r"\bdocs/(\w+)\.md\b")


class Docstrings(Extension):
    """Make the text of ``Annotated[TYPE, Doc(TEXT)]`` the docstring of a field; link names and documents."""

    def on_attribute_instance(self, *, attr: Attribute, **_: Any) -> None:
        """Take type and text apart."""
        match attr.annotation:
            case ExprSubscript(
                canonical_name="Annotated", slice=ExprTuple(elements=[kind, ExprCall(arguments=[text])])
            ):
                attr.annotation = kind
                attr.docstring = Docstring(ast.literal_eval(str(text)), parent=attr, lineno=attr.lineno)

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Link to what the site has; other names stay as they are."""
        if obj.docstring is not None:
            text = NAME.sub(r'<autoref identifier="\1" optional><code>\1</code></autoref>', obj.docstring.value)
            obj.docstring.value = DOCUMENT.sub(r"[docs/\1.md](../\1.md)", text)
