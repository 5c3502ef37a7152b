"""The type of options that are given again for each further value."""

from __future__ import annotations

from typing import Annotated

from tyro.conf import UseAppendAction

Repeated = Annotated[tuple[str, ...], UseAppendAction]
"""One value each time, so that no option takes the words behind it."""
