"""RecBole's habit: python run_recbole.py --model=DecCM --dataset=sim [--config_files="a.yaml b.yaml"] [--key=value]."""

import sys

from recbole_decm.cli.run import run_main

if __name__ == "__main__":
    sys.exit(run_main())
