"""Make a release: files to install, checks of them, and what they promise. `docs/contributing/release.md` says when."""
