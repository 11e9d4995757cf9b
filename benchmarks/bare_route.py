"""What the service is compared with: one FastAPI route, one torch product and one topk a request.

python benchmarks/bare_route.py TRACKS DIM PORT
"""

from __future__ import annotations

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Video(BaseModel):
    """A video by the query vector itself."""

    features: dict[str, list[float]]


class Request(BaseModel):
    """As of the service."""

    videos: list[Video]
    k: int = 10


def create_app(tracks: int, dim: int) -> FastAPI:
    """The route over random vectors."""
    vectors = torch.randn(tracks, dim, generator=torch.Generator().manual_seed(1))
    ids = [f"m{row}" for row in range(tracks)]
    app = FastAPI()

    @app.post("/v1/recommendations")
    def recommend(request: Request) -> dict:
        queries = torch.tensor([next(iter(video.features.values())) for video in request.videos])
        scores, rows = torch.topk(queries @ vectors.T, request.k)
        lists = [
            [{"track_id": ids[row], "rank": rank, "score": score} for rank, (score, row) in enumerate(pairs, 1)]
            for pairs in (zip(*part, strict=True) for part in zip(scores.tolist(), rows.tolist(), strict=True))
        ]
        return {"results": [{"tracks": found} for found in lists]}

    return app


if __name__ == "__main__":
    uvicorn.run(
        create_app(int(sys.argv[1]), int(sys.argv[2])), port=int(sys.argv[3]), log_level="warning", access_log=False
    )
