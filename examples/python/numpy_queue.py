# SPDX-License-Identifier: MIT
"""Arrays through a queue: one copy into shared memory, none out."""

import numpy

import tutti


def square(arrays, results):
    while (array := arrays.get()) is not None:
        numpy.multiply(array, array, out=array)  # in place: the array is on shared memory, and ours
        results.put(array)


if __name__ == "__main__":
    arrays, results = tutti.Queue(maxsize=4), tutti.Queue()
    worker = tutti.Process(target=square, args=(arrays, results))
    worker.start()
    for value in range(3):
        arrays.put(numpy.full((1000, 1000), float(value)))
    arrays.put(None)
    for _ in range(3):
        array = results.get()
        print(array.shape, array[0, 0], "in shared memory" if not array.flags.owndata else "copied")
    worker.join()
