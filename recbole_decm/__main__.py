"""``python -m recbole_decm COMMAND``: the same as ``recbole-decm COMMAND``."""

import sys

from recbole_decm.cli import main

sys.exit(main())
