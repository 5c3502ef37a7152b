"""``python -m axlstm``: the command line."""

import sys

from axlstm.cli import main

if __name__ == "__main__":
    sys.exit(main())
