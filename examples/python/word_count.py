# SPDX-License-Identifier: MIT
"""Counts the words of real files by a pool. One file kills its worker the first time, another one always."""

import collections
import os
import pathlib
import signal
import sys
import tempfile

import tutti
from tutti.pool import WorkerDied


def count(path):
    """The words of one file. What some files do to their reader stands for a bug in a library, or too little memory."""
    mark = pathlib.Path(f"{path}.tried")
    words = collections.Counter(path.read_text().lower().split())
    if "poison" in words or ("fragile" in words and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return words


def write_texts(folder):
    texts = ["to be or not to be", "a fragile thing to be", "poison", "that is the question"]
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text)
    return sorted(folder.glob("*.txt"))


def main(paths):
    total = collections.Counter()
    with tutti.Pool(2) as pool:
        results = pool.imap(count, paths, retries=1, task_timeout=60, return_exceptions=True)
        for path, result in zip(paths, results):
            if isinstance(result, WorkerDied):
                print(f"{path.name}: not counted, killed by signal {result.signal}")
            elif isinstance(result, Exception):
                print(f"{path.name}: not counted, {result}")
            else:
                total += result
    print(", ".join(f"{word} {number}" for word, number in sorted(total.items(), key=lambda item: (-item[1], item[0]))[:3]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main([pathlib.Path(path) for path in sys.argv[1:]])
    else:
        with tempfile.TemporaryDirectory() as name:
            main(write_texts(pathlib.Path(name)))
