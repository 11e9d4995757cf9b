"""A face kept for old imports: :mod:`recbole_decm.serving` holds what was here."""

from recbole_decm.serving.opening import VideoChoice
from recbole_decm.serving.opening import open_with_videos as open_recommender
from recbole_decm.serving.recommender import Recommender
from recbole_decm.serving.tables import write_tables

__all__ = ["Recommender", "VideoChoice", "open_recommender", "write_tables"]
