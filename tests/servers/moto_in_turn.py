"""moto's S3 server, each request in its turn: `python -m tests.servers.moto_in_turn PORT`.

moto looks whether a key exists and writes it in two steps, so that of two conditional creates at the same time both may
win (seen about once in a hundred races). A bucket decides once; with one request at a time this one does, too. A body
is read before its turn comes, so that a client that stops in the middle of one stops nobody else.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def in_turn(application: WSGIApplication) -> WSGIApplication:
    """The same application, which answers one request after the other."""
    turn = threading.Lock()

    def answer(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        size = environment.get("CONTENT_LENGTH")
        if size:
            environment["wsgi.input"] = io.BytesIO(environment["wsgi.input"].read(int(size)))
        with turn:
            return list(application(environment, start))

    return answer


if __name__ == "__main__":
    server = in_turn(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", int(sys.argv[1]), server, threaded=True, request_handler=MotoRequestHandler)
