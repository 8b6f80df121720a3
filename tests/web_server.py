"""A server of this machine that offers files, and misbehaves as it is told."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from finer_core.io import download


@dataclass
class Server:
    """What the server holds, how it answers, and what it was asked for.

    Attributes:
        url: Its address.
        files: Content by path.
        headers: That are sent with every file.
        cuts: Bytes that each of the next answers leaves out at its end, though it had promised them.
        stalls: Bytes after which each of the next answers stops and keeps the connection open.
        answers: Status codes of the next answers, before any other.
        ranges: Whether it answers for a part that is asked for: True, False (the whole comes), "lie" (another part).
        asked: Paths.
        begun_at: Where each answer began.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    stalls: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    ranges: bool | str = True
    asked: list[str] = field(default_factory=list)
    begun_at: list[int] = field(default_factory=list)

    def offer(self, content: bytes, *, path: str = "/file") -> dict[str, str]:
        """Put a file on the server; return the arguments that ask for it."""
        self.files[path] = content
        return {"url": self.url + path, "sha256": hashlib.sha256(content).hexdigest()}


@contextmanager
def serving(monkeypatch) -> Iterator[Server]:
    """Start a server; what waits for it waits a moment only."""
    state, closing = Server(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            content = state.files.get(self.path)
            status = state.answers.pop(0) if state.answers else 404 if content is None else 200
            if content is None or status != 200:
                self.send_error(status)
                return
            begin, asked = 0, self.headers.get("Range")
            valid = self.headers.get("If-Range") in (None, state.headers.get("ETag"))
            if asked and state.ranges and valid:
                begin = int(asked.removeprefix("bytes=").rstrip("-"))
                if begin >= len(content):
                    self.send_error(416)
                    return
                begin = begin // 2 if state.ranges == "lie" else begin
            self.send_response(206 if asked and state.ranges and valid else 200)
            if asked and state.ranges and valid:
                self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            for name, value in {"Content-Length": str(len(content) - begin), **state.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            state.begun_at.append(begin)
            rest = content[begin:]
            if state.stalls:
                self.wfile.write(rest[: state.stalls.pop(0)])
                self.wfile.flush()
                closing.wait(20)
                return
            self.wfile.write(rest[: max(0, len(rest) - (state.cuts.pop(0) if state.cuts else 0))])

        def log_message(self, *_: object) -> None:
            pass

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(download, "WAIT", 0.01)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        state.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield state
        closing.set()
        running.shutdown()
        thread.join()
