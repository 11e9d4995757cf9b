"""``python -m recbole_decm COMMAND``: the same as ``recbole-decm COMMAND``."""

import sys

from recbole_decm.cli.main import main

sys.exit(main())
