"""A web server on 127.0.0.1 that misbehaves on purpose; the fixture `server` in conftest starts it.

    def test_something(server):
        server.serve("/weights.pth", b"...")              # 200 with these bytes
        server.serve("/gone.pth", status(404))            # or another status
        server.serve("/login.pth", html())                # 200, but a web page
        server.serve("/short.pth", truncated(body))       # announces all of it, sends the half
        server.serve("/reset.pth", dies(body))            # resets the connection half-way
        server.serve("/stuck.pth", stalls(body))          # sends the half, then nothing, stays open
        server.serve("/mute.pth", silent())               # accepts, and never answers
        server.serve("/drip.pth", drip(body, seconds=1))  # sends it all, slowly
        server.serve("/later.pth", [status(200), dies(body), body])  # one per request, last repeats

        server.url                       # "http://127.0.0.1:PORT", also good as COURSE_MIRROR
        server.count("/weights.pth")     # how often it was asked for; count() is all requests
        refused_url()                    # an address at which nothing listens

`course_utils.assets.fetch` asks for the head of a file before it downloads it. A head is answered
as the next download would be, without its body, and is not counted.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behavior = Callable[["_Handler"], None]
Response = bytes | Behavior


def status(code: int) -> Behavior:
    """Answer with a status and no body worth having."""
    return lambda handler: handler.send_body(b"no", code=code)


def html(text: str = "<!DOCTYPE html><html><body>Please log in</body></html>") -> Behavior:
    """Answer 200 with a web page, as captive portals do."""
    return lambda handler: handler.send_body(text.encode(), kind="text/html; charset=utf-8")


def disguised_html() -> Behavior:
    """Answer 200 with a web page that claims to be a file."""
    return lambda handler: handler.send_body(b"<!DOCTYPE html><html></html>")


def truncated(body: bytes) -> Behavior:
    """Announce the whole body, send half of it, close."""

    def behave(handler: _Handler) -> None:
        handler.send_body(body[: len(body) // 2], length=len(body))
        handler.close_connection = True

    return behave


def dies(body: bytes) -> Behavior:
    """Announce the whole body, send half of it, reset the connection."""

    def behave(handler: _Handler) -> None:
        handler.send_body(body[: len(body) // 2], length=len(body))
        # closing with a linger time of zero sends a reset instead of an orderly end
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True
        handler.rfile.close()  # it holds the socket open
        handler.connection.close()

    return behave


def stalls(body: bytes) -> Behavior:
    """Send half of the body, then nothing more, until the server stops."""

    def behave(handler: _Handler) -> None:
        handler.send_body(body[: len(body) // 2], length=len(body))
        handler.server.stopping.wait(60)

    return behave


def silent() -> Behavior:
    """Accept the connection and never answer."""
    return lambda handler: handler.server.stopping.wait(60) and None


def drip(body: bytes, *, seconds: float, pieces: int = 20) -> Behavior:
    """Send the whole body in pieces, over about `seconds`."""

    def behave(handler: _Handler) -> None:
        handler.send_body(b"", length=len(body))
        size = -(-len(body) // pieces)
        for start in range(0, len(body), size):
            handler.wfile.write(body[start : start + size])
            handler.wfile.flush()
            time.sleep(seconds / pieces)

    return behave


def refused_url(path: str = "/") -> str:
    """Return an address on this machine at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"http://127.0.0.1:{port}{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self.answer(self.server.owner.next_response(self.path, only_head=True))

    def do_GET(self) -> None:
        self.answer(self.server.owner.next_response(self.path))

    def answer(self, response: Response) -> None:
        try:
            if isinstance(response, bytes):
                self.send_body(response)
            else:
                response(self)
        except OSError:  # the client went away, which is its right
            self.close_connection = True

    def send_body(
        self,
        body: bytes,
        *,
        code: int = 200,
        kind: str = "application/octet-stream",
        length: int | None = None,
    ) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: LoopbackServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner
        self.stopping = threading.Event()

    def handle_error(self, *_: object) -> None:
        """Keep quiet about connections that the client closed."""


class LoopbackServer:
    """Serves what `serve` was told on 127.0.0.1, and counts. Use as a context manager."""

    def __init__(self) -> None:
        self._responses: dict[str, list[Response]] = {}
        self._requests: list[str] = []
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve(self, path: str, response: Response | Sequence[Response]) -> str:
        """Answer requests for `path` with `response`; return the full address."""
        many = not isinstance(response, bytes) and isinstance(response, Sequence)
        self._responses[path] = list(response) if many else [response]
        return self.url + path

    def count(self, path: str | None = None) -> int:
        """How many requests came in, for one path or for all."""
        with self._lock:
            return len(self._requests) if path is None else self._requests.count(path)

    def next_response(self, path: str, *, only_head: bool = False) -> Response:
        """Note the request and return what to answer; a question for the head changes nothing."""
        with self._lock:
            queue = self._responses.get(path, [status(404)])
            if only_head:
                return queue[0]
            self._requests.append(path)
            return queue.pop(0) if len(queue) > 1 else queue[0]

    def __enter__(self) -> LoopbackServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
