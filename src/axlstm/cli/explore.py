"""Show a collection in the browser: ``axlstm explore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from axlstm.explore.guard import Address


def explore(
    collection: Positional[Path],
    host: str = "127.0.0.1",
    port: int = 8765,
    open: bool = False,
    export: Path | None = None,
    model: Annotated[str | None, arg(aliases=["-m"])] = None,
    encoder: str | None = None,
    author: str = "",
) -> int:
    """Show a collection in the browser: a map of its windows, search, labels, classifiers, export.

    A folder of sound is indexed first, into a collection beside it; the page shows how far that is. Ctrl-C ends the
    server. Example: axlstm explore birds.collection --open

    Args:
        collection: folder of the collection, or a folder of sound.
        host: address to listen at. Any but 127.0.0.1 lets others in, if they have the token.
        port: to listen at; 0 takes a free one.
        open: open the page in the browser.
        export: write a page for reading, as one file that can be sent to somebody, and serve nothing.
        model: that a folder of sound is indexed with, as `axlstm index` takes it.
        encoder: whose windows are shown, if the collection has several; the first without it.
        author: who labels; the user without it.
    """
    from axlstm.errors import ConfigError

    try:
        from axlstm.explore.serve import serve
    except ModuleNotFoundError as error:
        raise ConfigError(f'the page needs {error.name}: pip install "axlstm[explore]"') from error
    from axlstm.cli.index import print_summary
    from axlstm.explore.desk import Desk
    from axlstm.explore.opening import find_collection, start_indexing
    from axlstm.explore.views import start_map_if_missing

    opened = find_collection(collection)
    if model is not None and opened.sounds is None:
        raise ConfigError(
            f"--model {model}: {collection} is a collection, whose recordings are indexed; axlstm index adds those of "
            "another model, and --encoder chooses whose are shown"
        )
    desk = Desk(opened.folder, author, encoder, opened.sounds, model)
    with desk.collection() as there:
        if encoder is not None and there.encoders():
            desk.entry(there)
    if export is not None:
        from axlstm.explore.share import share

        missing = share(desk, export)
        for told in missing:
            print(f"without sound: {told}")
        print(f"{export}: {export.stat().st_size / 1e6:.1f} MB; it can be opened and sent without a server")
        return 0

    def begin(link: str, address: Address) -> None:
        if opened.sounds is not None:
            print(f"{collection}: its sounds are indexed into {opened.folder}")
            start_indexing(desk, lambda summary: print_summary(opened.folder, summary))
        else:
            start_map_if_missing(desk)
        _tell(link, address)

    serve(desk, host, port, begin, open)
    return 0


def _tell(link: str, address: Address) -> None:
    print(f"The page is at {link}")
    if not address.is_local:
        print(
            f"  It listens at {address.host}: whoever reaches this machine and has the token in this address can hear "
            "the recordings, and change labels. What is sent is not encrypted."
        )
    print("  Ctrl-C ends it.", flush=True)
