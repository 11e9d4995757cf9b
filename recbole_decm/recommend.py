"""A face kept for old imports: :mod:`recbole_decm.serving` holds what was here."""

from recbole_decm.serving.recommender import Recommender, VideoChoice, open_recommender, write_tables

__all__ = ["Recommender", "VideoChoice", "open_recommender", "write_tables"]
