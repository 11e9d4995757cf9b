"""A face kept for old imports: :mod:`recbole_decm.serving` holds what was here."""

from recbole_decm.serving.entry import open_with_videos as open_recommender
from recbole_decm.serving.recommender import Recommender
from recbole_decm.serving.tables import write_tables
from recbole_decm.serving.videos import VideoChoice

__all__ = ["Recommender", "VideoChoice", "open_recommender", "write_tables"]
