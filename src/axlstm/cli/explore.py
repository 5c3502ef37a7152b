"""Show a collection in the browser: ``axlstm explore``."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional


def explore(
    collection: Positional[Path],
    host: str = "127.0.0.1",
    port: int = 8765,
    open: bool = False,
    encoder: str | None = None,
    author: str = "",
) -> int:
    """Show a collection as a page in the browser: a map of its windows, search, labels, classifiers, export.

    Args:
        collection: folder of the collection.
        host: address to listen at. Any other than 127.0.0.1 lets others in who have the token.
        port: to listen at; 0 takes a free one.
        open: open the page in the browser.
        encoder: whose windows are shown, if the collection has several; the first without it.
        author: who labels; the user without it.
    """
    from axlstm.explore.desk import Desk
    from axlstm.explore.serve import serve

    desk = Desk(collection, author, encoder)
    serve(desk, host, port, lambda link, _: print(f"{collection}: {link}", flush=True), open)
    return 0
