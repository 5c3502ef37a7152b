"""Answer the requests of the page: small functions, each of which calls one of `axlstm.collection`."""
