"""Run an object store on loopback, moto's server, whose answers can be made faulty."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

KEY, SECRET = "AKIAQUITEPUBLIC", "a-secret-that-nobody-must-see"

Fault = str  # "500", "503", "slow", "half", "403", "expired"
Faults = Callable[[str, str], Fault | None]  # of a method and a path: what goes wrong with the request


class Bucket:
    """An S3 on loopback with one bucket. ``faults`` says which requests fail, and how."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self.faults: Faults = lambda *_: None
        self.requests: list[tuple[str, str]] = []
        self.url = ""

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path))
        fault = self.faults(method, path)
        if fault == "slow":
            time.sleep(0.3)
        if fault in _ERRORS:
            status, code = _ERRORS[fault]
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
            start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [b"" if method == "HEAD" else body]
        answer = self._application(environ, start)
        if fault == "half":
            content = b"".join(answer)
            return [content[: len(content) // 2]]
        return answer

    def files(self) -> Any:
        """A file system of fsspec on the bucket, of this process."""
        import s3fs

        return s3fs.S3FileSystem(skip_instance_cache=True)


_ERRORS = {
    "500": ("500 Internal Server Error", "InternalError"),
    "503": ("503 Slow Down", "SlowDown"),
    "403": ("403 Forbidden", "AccessDenied"),
    "expired": ("403 Forbidden", "ExpiredToken"),
}


@contextmanager
def serve_bucket() -> Iterator[Bucket]:
    """Serve a bucket called ``sounds``; processes that are started meanwhile find it too."""
    from moto.backends import get_backend
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from s3fs import S3FileSystem
    from werkzeug.serving import WSGIRequestHandler, make_server

    from axlstm import remote

    class Silent(WSGIRequestHandler):
        def log(self, *_: Any) -> None:
            return

    bucket = Bucket(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, bucket, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setattr(remote, "_PAUSES_S", (0.01,) * 4)
        S3FileSystem.clear_instance_cache()
        remote._open_files.cache_clear()
        for backends in get_backend("s3").values():  # moto keeps buckets for the process, beyond their server
            for backend in backends.values():
                backend.reset()
        bucket.files().mkdir("sounds")
        bucket.url = "s3://sounds"
        yield bucket
        remote._open_files.cache_clear()
        S3FileSystem.clear_instance_cache()
    server.shutdown()
    thread.join()
    server.server_close()
