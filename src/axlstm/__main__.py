"""Run the command line: ``python -m axlstm``."""

import sys

from axlstm.cli import main

if __name__ == "__main__":
    sys.exit(main())
