"""Say what routes are given: the desk, and the name of the windows whose rows a request names."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import BaseModel, ConfigDict, Field

from axlstm.explore.desk import Desk


def _desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


GivenDesk = Annotated[Desk, Depends(_desk_of)]
KnownTable = Annotated[str | None, Header(alias="X-Table")]
"""The name that the map gave its windows; a request that names rows of other windows is refused."""

Number = Annotated[int, Field(ge=0, lt=2**63)]
"""Number of a row in a table."""

Answer = dict[str, Any]


class Body(BaseModel):
    """A JSON body, all of whose fields are known."""

    model_config = ConfigDict(extra="forbid", strict=False, allow_inf_nan=False)
