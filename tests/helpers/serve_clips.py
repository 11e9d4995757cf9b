"""``python serve_clips.py FOLDER``: a service over some tracks, whose artefact reads clips; prints its port."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn
from helpers.clip_artefact import clip_artefact
from helpers.service import build

from recbole_decm.serving.api.options import Limits

if __name__ == "__main__":
    line = socket.create_server(("127.0.0.1", 0))
    app, _ = build(Path(sys.argv[1]), artefact=clip_artefact(40), limits=Limits(rate=0.0, seconds=10.0))
    print(line.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="critical", server_header=False)).run(sockets=[line])
