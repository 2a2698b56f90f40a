# SPDX-License-Identifier: MIT
"""Counts words as wc -w does, with multiprocessing alone: it knows nothing of Tutti.

    python standard_word_count.py FILE...              with the standard library
    python -m tutti standard_word_count.py FILE...     the same on Tutti

A batch of files that fails is reported and given to the pool once more.
"""

import argparse
import multiprocessing
import sys

BATCH = 50  # files
NOT_PRINTABLE = bytes(byte for byte in range(256) if not 32 <= byte < 127 and not chr(byte) in "\t\n\v\f\r")


def count(path):
    """Bytes that cannot be printed neither make a word nor end one, as for wc in the C locale."""
    with open(path, "rb") as file:
        return len(file.read().translate(None, NOT_PRINTABLE).split())


def count_all(paths):
    return sum(map(count, paths))


def total(pool, batches):
    words = 0
    results = [pool.apply_async(count_all, (batch,)) for batch in batches]
    for batch, result in zip(batches, results):
        try:
            words += result.get()
        except Exception as error:
            print(f"once more: {error}", file=sys.stderr, flush=True)
            words += pool.apply(count_all, (batch,))
    return words


def files_of(options):
    if options.files0_from is None:
        return options.files or [__file__]
    with open(options.files0_from, "rb") as file:
        return file.read().rstrip(b"\0").split(b"\0")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-j", dest="processes", type=int)
    parser.add_argument("--files0-from", metavar="LIST", help="a file with names that each end with a zero byte")
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    files = files_of(options)
    batches = [files[first : first + BATCH] for first in range(0, len(files), BATCH)]
    with multiprocessing.Pool(options.processes) as pool:
        print(total(pool, batches))


if __name__ == "__main__":
    main()
