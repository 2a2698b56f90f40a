# SPDX-License-Identifier: MIT
"""uvicorn with two workers on loopback: requests are answered until it is told to stop."""

import http.client
import os
import signal
import socket
import threading
import time

import uvicorn

LIMIT = 40  # seconds until the first answer


async def answer(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


def ask(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        return int(connection.getresponse().read())
    finally:
        connection.close()


def first_answer(port):
    """The server needs its time to start."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            return ask(port)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def use(port, answered):
    try:
        answered.append(first_answer(port))
        answered.extend(ask(port) for _ in range(20))
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    port, answered = free_port(), []
    # It tells its end by SIGTERM to itself, once more; what comes after that is the program's.
    signal.signal(signal.SIGTERM, lambda *_: None)
    user = threading.Thread(target=use, args=(port, answered))
    user.start()
    uvicorn.run("uvicorn_workers:answer", port=port, workers=2, log_level="warning", lifespan="off")
    user.join()
    print(len(answered), os.getpid() not in answered)


if __name__ == "__main__":
    main()
