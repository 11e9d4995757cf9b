"""A face kept for old imports: :mod:`recbole_decm.training` holds what was here."""

from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import run, run_config

__all__ = ["evaluate", "run", "run_config"]
