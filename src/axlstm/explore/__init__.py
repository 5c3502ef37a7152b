"""Show a collection as a page in the browser: hear, see, search, label, train and export.

`axlstm.explore.app.make_app` makes the server; docs/explore.md has its use. Importing it needs FastAPI, which the extra
``explore`` installs.
"""
