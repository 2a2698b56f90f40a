# SPDX-License-Identifier: MIT
"""tqdm's process_map, whose workers share the lock of the progress bars."""

import io
import string

from tqdm import tqdm
from tqdm.contrib.concurrent import process_map


def vowels(text):
    for _ in tqdm(text, file=io.StringIO(), leave=False):  # a bar of its own, in the worker
        pass
    return sum(text.count(vowel) for vowel in "aeiou")


def main():
    screen = io.StringIO()
    texts = [string.ascii_lowercase * number for number in range(40)]
    print(process_map(vowels, texts, max_workers=2, file=screen))
    print(process_map(vowels, texts, max_workers=2, chunksize=8, file=screen))
    print("40/40" in screen.getvalue())


if __name__ == "__main__":
    main()
