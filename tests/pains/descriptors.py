# SPDX-License-Identifier: MIT
"""Row 14: each object costs descriptors, in its maker and in whoever gets it: some hundred, and there are no more."""

import os
import resource

from pain import Hurts, main

OBJECTS = 500
DESCRIPTORS = 256


def receive(inbox, answers):
    """Gets the ends of pipes, sends a word through each, keeps all."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    kept = []
    for number in range(OBJECTS):
        kept.append(inbox.get())
        kept[-1].send(number)
    answers.put(len(os.listdir("/proc/self/fd")))


def show(mp):
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    inbox, answers = mp.Queue(), mp.Queue()
    receiver = mp.Process(target=receive, args=(inbox, answers))
    receiver.start()
    kept = []
    try:
        for _ in range(OBJECTS):
            reader, writer = mp.Pipe(duplex=False)
            inbox.put(writer)
            kept.append((reader, writer))
        if [reader.recv() for reader, _ in kept] != list(range(OBJECTS)):
            raise Hurts("the pipes carry something else")
    except OSError as error:
        raise Hurts(f"after {len(kept)} pipes: {error}") from error
    return f"{OBJECTS} pipes made, sent and used; {answers.get(timeout=10)} descriptors are open in the receiver"


if __name__ == "__main__":
    main(show)
