# SPDX-License-Identifier: MIT
"""A program that knows multiprocessing only, run as a script by test_install.py: what it prints is what it found."""

import multiprocessing
import multiprocessing.queues
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.queues import SimpleQueue as bound_before  # noqa: N813

if "installs" in sys.argv:
    import tutti

    tutti.install()
    tutti.install()


def square(number):
    return number * number


def module_of(thing):
    return type(thing).__module__.partition(".")[0]


def report(queue, lock, event):
    with lock:
        queue.put([module_of(queue), module_of(lock), module_of(event), module_of(multiprocessing.Queue())])


def of_a_child():
    queue, lock, event = multiprocessing.Queue(), multiprocessing.Lock(), multiprocessing.Event()
    process = multiprocessing.Process(target=report, args=(queue, lock, event))
    process.start()
    found = queue.get(timeout=30)
    process.join(30)
    return found


def of_pools():
    with multiprocessing.Pool(2) as pool:
        found = [isinstance(pool, multiprocessing.pool.Pool), sum(pool.map(square, range(10)))]
    for _ in range(2):
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context()) as executor:
            found.append(sum(executor.map(square, range(10))))
    return found


def of_what_was_bound_before():
    old = bound_before(ctx=multiprocessing.get_context())
    old.put(1)
    same = pickle.loads(pickle.dumps(bound_before)) is bound_before
    return [module_of(multiprocessing.SimpleQueue()), isinstance(old, bound_before), old.get(), same]


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    print(__name__, sys.argv[1:])
    print(of_a_child())
    print(of_pools())
    print(of_what_was_bound_before())
