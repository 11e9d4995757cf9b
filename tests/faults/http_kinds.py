"""Requests to a service by kind, with what must come of each: an answer, a refusal, or either."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

Must = Literal["answer", "refuse", "either"]
LISTS, TRACK, BATCH = "/v1/recommendations", "/v1/tracks/new", "/v1/tracks:batch"
_JSON = {"Content-Type": "application/json"}
_FORM = {"Content-Type": "multipart/form-data; boundary=x"}


class Sent(NamedTuple):
    """A request, and what must come of it.

    Attributes:
        raw: bytes for the socket instead of the rest.
    """

    title: str
    must: Must
    method: str = "POST"
    path: str = LISTS
    headers: dict[str, str] = _JSON
    body: bytes = b""
    raw: bytes | None = None


def asked(**changed: object) -> bytes:
    """A good request for lists, changed in some keys."""
    return json.dumps({"videos": [{"features": {"visual": [0.1] * 146}}], **changed}).encode()


def good(draw: random.Random) -> Iterator[Sent]:
    """Requests that are answered."""
    filters = [
        "genre = 'g1'",
        "not (genre in ['g0', 'g2'])",
        "genre = '; drop table tracks; --'",
        'genre = "\\"" or genre = \'x\'',
    ]
    while True:
        yield Sent("lists", "answer", body=asked(k=draw.randint(1, 40), prior=draw.choice(["mean", "neutral"])))
        yield Sent("a filter", "answer", body=asked(filter=draw.choice(filters), explain=True))
        yield Sent("variety", "answer", body=asked(diversity=draw.random(), max_per={"genre": draw.randint(1, 3)}))
        ids = [f"new{draw.randint(0, 9)}" for _ in range(2)]
        yield Sent("a track", "answer", "PUT", f"/v1/tracks/{ids[0]}", body=track(draw))
        yield Sent("removals", "answer", path=BATCH, body=json.dumps({"delete": ids}).encode())
        for path in ("/healthz", "/readyz", "/metrics", "/v1/artefact", "/v1/media", "/openapi.json", "/docs", "/"):
            yield Sent(path, "answer", "GET", path, {})


def track(draw: random.Random) -> bytes:
    """A good track."""
    values = [draw.uniform(-1, 1) for _ in range(164)]
    return json.dumps({"features": {"acoustic": values}, "metadata": {"genre": "g1", "title": "=1+1"}}).encode()


def values(draw: random.Random) -> Iterator[Sent]:
    """Values that no request can have."""
    wrong = [
        ("k", [0, -1, 10**9, 10**30, 2.5, "10", None if draw.random() < 0 else [], True]),
        ("prior", ["none", 3, {"g0": -1}, {"g0": 2}, {"other": 1.0}, {}, []]),
        ("history", ["t0", [1], 5]),
        (
            "filter",
            ["genre =", "genre = 'a", "(" * 60 + "genre = 'a'" + ")" * 60, "x" * 20_000, 7, "no_such = 1", "genre = 1"],
        ),
        (
            "filter",
            ["genre = 'a' or 1=1", "1; select pg_sleep(9)", "genre in (select 1)", "genre like '%'", "genre = 'a'--"],
        ),
        ("exclude", ["t0", [1], {"a": 1}]),
        ("diversity", [-0.1, 1.1, "0.5", [0.5]]),
        ("max_per", [{"genre": 0}, {"genre": "2"}, [1], {str(at): 1 for at in range(50)}]),
        ("explain", ["yes", 1]),
        ("other", [1]),
        ("videos", [[], {}, [{}], [{"features": {}}], [{"features": {"visual": []}}], [{"features": {"visual": [1]}}]]),
        ("videos", [[{"features": {"visual": [0.1] * 146}}] * 300, [{"features": {"visual": [0.1] * 145 + ["1"]}}]]),
        ("videos", [[{"features": {"visual": [1e300] * 146}}], [{"features": {"other": [1.0]}}]]),
        ("videos", [[{"features": {"visual": [0.1] * 146}, "uploader_prior": [1, 1, 1]}]]),
        ("videos", [[{"features": {"visual": [0.1] * 146}, "uploader_prior": [1]}]]),
    ]
    while True:
        key, choices = draw.choice(wrong)
        value = draw.choice(choices)
        yield Sent(f"{key}: {str(value)[:40]}", "refuse", body=asked(**{key: value}))


def texts(draw: random.Random) -> Iterator[Sent]:
    """Bodies that are no JSON, or JSON that nobody should read."""
    while True:
        whole = asked(k=10)
        yield Sent("cut", "refuse", body=whole[: draw.randrange(len(whole))])
        place = draw.randrange(len(whole))
        yield Sent("a byte changed", "either", body=whole[:place] + bytes([draw.randrange(256)]) + whole[place + 1 :])
        yield Sent("random bytes", "refuse", body=draw.randbytes(draw.randint(1, 500)))
        depth = draw.choice([300, 5_000, 200_000])
        yield Sent(f"{depth} lists deep", "refuse", body=b"[" * depth)
        yield Sent(f"{depth} objects deep", "refuse", body=b'{"k":' * depth + b"1" + b"}" * depth)
        number = draw.choice([b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 6000])
        yield Sent("a number that is none", "refuse", body=whole.replace(b"0.1", number, 1))
        yield Sent("half a character", "refuse", body=asked(exclude=["a"]).replace(b'"a"', b'"\\ud800"'))
        yield Sent("no text", "refuse", body=whole.replace(b"visual", b"\xff\xfe"))
        yield Sent("large", "refuse", body=b'{"filter": "' + b"x" * (5 << 20) + b'"}')
        kind = draw.choice(
            ["text/plain", "application/xml", "application/x-www-form-urlencoded", "", "application/json2"]
        )
        yield Sent(f"as {kind}", "refuse", headers={"Content-Type": kind}, body=whole)
        packed = gzip.compress(bytes(10 << 20))
        yield Sent("a zip bomb", "refuse", headers=_JSON | {"Content-Encoding": "gzip"}, body=packed)


def form(content: bytes, name: str = "video", options: bytes | None = None) -> bytes:
    """A form with one file."""
    parts = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="../../a.mp4"\r\n\r\n%s\r\n' % (
        name.encode(),
        content,
    )
    if options is not None:
        parts += b'--x\r\nContent-Disposition: form-data; name="options"\r\n\r\n%s\r\n' % options
    return parts + b"--x--\r\n"


def uploads(draw: random.Random, clip: bytes) -> Iterator[Sent]:
    """Files that are none, forms that are none, and good ones among them."""
    place = draw.randrange(2)
    while True:
        yield Sent("a good clip", "answer", headers=_FORM, body=form(clip, options=b'{"k": 3}'))
        path = draw.choice([LISTS, "/v1/features"])
        yield Sent("half a clip", "refuse", path=path, headers=_FORM, body=form(clip[: draw.randrange(len(clip) // 2)]))
        place = draw.randrange(len(clip))
        broken = clip[:place] + draw.randbytes(20) + clip[place + 20 :]
        yield Sent("a clip with other bytes", "either", headers=_FORM, body=form(broken))
        yield Sent("random bytes", "refuse", headers=_FORM, body=form(draw.randbytes(2000)))
        whole = form(clip)
        yield Sent("a cut form", "refuse", headers=_FORM, body=whole[: draw.randrange(len(whole) - 20)])
        yield Sent("another field", "refuse", headers=_FORM, body=form(clip, "other"))
        yield Sent("broken options", "refuse", headers=_FORM, body=form(clip, options=b"{"))
        yield Sent("wrong options", "refuse", headers=_FORM, body=form(clip, options=b'{"k": 0}'))
        yield Sent("no boundary", "refuse", headers={"Content-Type": "multipart/form-data"}, body=whole)
        yield Sent("many parts", "refuse", headers=_FORM, body=whole[:-5] * 20 + b"--x--\r\n")
        playlist = b"#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
        yield Sent("a playlist", "refuse", headers=_FORM, body=form(playlist))
        yield Sent("a zip bomb", "refuse", headers=_FORM, body=form(gzip.compress(bytes(20 << 20))))
        yield Sent("sound that is none", "refuse", "PUT", TRACK, _FORM, form(b"RIFF", "audio"))


def catalogue(draw: random.Random) -> Iterator[Sent]:
    """Tracks that cannot be kept, and places that are none."""
    features = {"acoustic": [0.5] * 164}
    wrong: list[object] = [
        {}, [], {"features": {}}, {"features": {"acoustic": [1.0]}}, {"features": {"other": [1.0]}},
        {"features": features, "metadata": {"a": {"b": 1}}}, {"features": features, "metadata": {"a": "\0"}},
        {"features": features, "metadata": {"a": "x" * 100_000}}, {"features": features, "metadata": {"a": "\ud800"}},
        {"features": features, "metadata": {"": 1}}, {"features": features, "metadata": {"a": [[1]]}},
        {"features": features, "metadata": {f"c{at}": 1 for at in range(300)}}, {"features": features, "other": 1},
    ]  # fmt: skip
    names = ["%00", "a%0Ab", "%FF%FE", "x" * 300, "%20", "", "..%2F..%2Fetc%2Fpasswd%00"]
    while True:
        yield Sent("a track", "refuse", "PUT", TRACK, body=json.dumps(draw.choice(wrong)).encode())
        name = draw.choice(names)
        yield Sent(
            f"the id {name[:20]}",
            "refuse",
            "PUT",
            f"/v1/tracks/{name}",
            body=json.dumps({"features": features}).encode(),
        )
        yield Sent(
            "a track that is not here", "refuse", draw.choice(["GET", "DELETE"]), f"/v1/tracks/gone{draw.random()}", {}
        )
        many = {"delete": [f"a{at}" for at in range(400)]}
        yield Sent("a large batch", "refuse", path=BATCH, body=json.dumps(many).encode())
        half = {"put": [{"track_id": "half", "features": features}, {"track_id": "b", "features": {"acoustic": [1]}}]}
        yield Sent("half a batch", "refuse", path=BATCH, body=json.dumps(half).encode())
        for path in (
            "/v1/media/tracks/..%2F..%2Fetc%2Fpasswd",
            "/page/..%2Fapp.py",
            "/v1/media/videos/%2e%2e%2fa",
            "//etc/passwd",
        ):
            yield Sent(path, "refuse", "GET", path, {})
        method = draw.choice(["TRACE", "PATCH", "OPTIONS", "DELETE", "FOO"])
        yield Sent(f"{method}", "refuse", method, draw.choice([LISTS, "/v1/artefact", "/metrics"]), {})
        yield Sent("a reload of nothing", "refuse", path="/v1/artefact:reload", headers={})


def wires(draw: random.Random) -> Iterator[Sent]:
    """What is hardly HTTP, and what comes from elsewhere."""
    start = b"POST /v1/recommendations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    while True:
        yield Sent("random bytes", "refuse", raw=draw.randbytes(200) + b"\r\n\r\n")
        yield Sent("a negative length", "refuse", raw=start + b"Content-Length: -5\r\n\r\n")
        yield Sent("two lengths", "refuse", raw=start + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef")
        yield Sent(
            "a length and chunks",
            "either",
            raw=start + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        )
        yield Sent("broken chunks", "refuse", raw=start + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        yield Sent(
            "a long header",
            "refuse",
            raw=b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nA: " + b"x" * 200_000 + b"\r\n\r\n",
        )
        yield Sent("no host", "refuse", raw=b"GET /healthz HTTP/1.0\r\n\r\n")
        yield Sent("two hosts", "refuse", raw=b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n")
        host = draw.choice(["evil.example", "127.0.0.1.evil.example", "localhost.evil", "@127.0.0.1"])
        yield Sent(f"the host {host}", "refuse", headers=_JSON | {"Host": host}, body=asked())
        origin = draw.choice(["http://evil.example", "null", "http://127.0.0.1:1", "file://"])
        yield Sent(f"the origin {origin}", "refuse", headers=_JSON | {"Origin": origin}, body=asked())
        ends = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        yield Sent("another page", "refuse", headers=_JSON | ends, body=asked())


KINDS: dict[str, Callable[[random.Random], Iterator[Sent]]] = {
    "good": good,
    "values": values,
    "texts": texts,
    "catalogue": catalogue,
    "wires": wires,
}
"""Kinds that need nothing but chance; ``uploads`` needs a clip, too."""
