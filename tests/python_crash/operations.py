# SPDX-License-Identifier: MIT
"""The operations whose middle a victim is killed in, and how a survivor sees that all is well afterwards.

An operation is made once, in the process that traces; victims and survivors are forked from it. `victim` marks
the begin and the end of the window; `after` runs in the survivors. The same code serves the standard library
and Tutti: where Tutti says that a holder was killed, the standard library can only hang.
"""

import mmap
import queue
import time

WARM = 3  # rounds before the window: nothing is done for the first time in it
LIMIT = 10  # seconds: what a survivor itself waits for; the tracer gives up earlier


class Wrong(Exception):
    """What a survivor found is not what was promised."""


def take(lock, abandoned):
    """Acquires; True if told that its holder was killed."""
    try:
        if not lock.acquire(timeout=LIMIT):
            raise Wrong(f"the lock was not to be had in {LIMIT} s")
    except abandoned:
        return True
    return False


class Operation:
    """What all have in common. `abandoned` is the exception by which a library tells of a killed holder."""

    def __init__(self, mp, abandoned):
        self.mp, self.abandoned = mp, abandoned
        self.numbers = memoryview(mmap.mmap(-1, 4096)).cast("q")  # shared by all, guarded by nothing
        self.open()

    def before(self):
        """In a survivor, before the victim starts."""

    def meanwhile(self):
        """In the other survivor, started while the victim is at work; must end after `after`."""

    def wake(self):
        """In a survivor: the victim sleeps and is to be woken."""
        raise Wrong("the victim sleeps, and nothing should have made it")


# --- locks ----------------------------------------------------------------------------------------------------

class Acquire(Operation):
    """The lock guards a pair of numbers that are equal whenever nobody is at work on them."""

    def open(self):
        self.lock = self.mp.Lock()

    def change(self, mark, mark_release):
        mark()
        self.lock.acquire()
        self.numbers[0] += 1
        mark()
        mark_release()
        self.numbers[1] += 1
        self.lock.release()
        mark_release()

    def victim(self, mark):
        for _ in range(WARM):
            self.change(nothing, nothing)
        self.change(mark, nothing)

    def after(self):
        told = take(self.lock, self.abandoned)
        if not told and self.numbers[0] != self.numbers[1]:
            raise Wrong("the lock came as if nothing had happened, but its holder was killed half way")
        self.numbers[1] = self.numbers[0]
        self.lock.release()
        if take(self.lock, self.abandoned):
            raise Wrong("the lock was released and is reported abandoned")
        self.lock.release()


class Release(Acquire):
    def victim(self, mark):
        for _ in range(WARM):
            self.change(nothing, nothing)
        self.change(nothing, mark)


def nothing():
    """In place of a mark."""


# --- queues and pipes -----------------------------------------------------------------------------------------

class Carrier(Operation):
    """Something that carries messages. Numbers: 0 the life of the victim, 1 how many of its calls have returned."""

    KEPT = 4  # messages that are not touched by the victim

    def message(self, sequence):
        return self.numbers[0], sequence, "x" * (sequence % 50), None

    def sequence_of(self, message):
        life, sequence, *_ = message
        if life != self.numbers[0] or message != self.message(sequence):
            raise Wrong(f"{message!r} was never sent like this")
        return sequence

    def drain(self):
        """The sequence numbers of all that is there."""
        found = []
        while (message := self.take_now()) is not None:
            found.append(self.sequence_of(message))
        return found

    def use(self):
        """It carries as before, and nothing but what is given to it."""
        self.numbers[0] += 1
        for sequence in (1, 2):
            self.give(self.message(sequence))
        got = [self.sequence_of(self.take()) for _ in (1, 2)]
        if got != [1, 2] or self.take_now() is not None:
            raise Wrong(f"a survivor put 1 and 2 and got {got}")


class Put(Carrier):
    def before(self):
        self.numbers[0] += 1
        self.numbers[1] = 0

    def victim(self, mark):
        for sequence in range(1, WARM + 1):
            self.give(self.message(sequence))
            self.numbers[1] = sequence
        message = self.message(WARM + 1)
        mark()
        self.give(message)
        self.numbers[1] = WARM + 1
        mark()

    def after(self):
        found, returned = self.drain(), self.numbers[1]
        whole = list(range(1, len(found) + 1))
        if found != whole or not returned <= len(found) <= returned + 1:
            raise Wrong(f"{returned} puts returned, and {found} came out")
        self.use()


class Get(Carrier):
    def before(self):
        self.numbers[0] += 1
        self.numbers[1] = 0
        for sequence in range(1, WARM + 1 + self.KEPT):
            self.give(self.message(sequence))

    def victim(self, mark):
        for sequence in range(1, WARM + 1):
            self.take()
            self.numbers[1] = sequence
        mark()
        self.take()
        self.numbers[1] = WARM + 1
        mark()

    def after(self):
        found, returned, last = self.drain(), self.numbers[1], WARM + self.KEPT
        if found not in (list(range(returned + 1, last + 1)), list(range(returned + 2, last + 1))):
            raise Wrong(f"{returned} of {last} gets returned, and {found} were left")
        self.use()


class InQueue:
    def open(self):
        self.queue = self.mp.Queue()

    def give(self, message):
        self.queue.put(message)

    def take(self):
        return self.queue.get(timeout=LIMIT)

    def take_now(self):
        try:
            return self.queue.get(timeout=0.001)
        except queue.Empty:
            return None


class InSimpleQueue:
    def open(self):
        self.queue = self.mp.SimpleQueue()

    def give(self, message):
        self.queue.put(message)

    def take(self):
        return self.queue.get()

    def take_now(self):
        return None if self.queue.empty() else self.queue.get()


class InPipe:
    def open(self):
        self.receiver, self.sender = self.mp.Pipe(duplex=False)

    def give(self, message):
        self.sender.send(message)

    def take(self):
        return self.receiver.recv()

    def take_now(self):
        return self.receiver.recv() if self.receiver.poll() else None


class QueuePut(InQueue, Put):
    pass


class QueueGet(InQueue, Get):
    pass


class SimplePut(InSimpleQueue, Put):
    pass


class SimpleGet(InSimpleQueue, Get):
    pass


class Send(InPipe, Put):
    pass


class Recv(InPipe, Get):
    pass


# --- conditions and events ------------------------------------------------------------------------------------

class Notify(Operation):
    """Numbers: 0 is changed under the lock before each notification, 1 says that the waiter is about to wait."""

    def open(self):
        self.condition = self.mp.Condition(self.mp.Lock())

    def notify(self):
        take(self.condition, self.abandoned)
        self.numbers[0] += 1
        self.condition.notify_all()
        self.condition.release()

    def wait_for(self, number):
        end = time.monotonic() + LIMIT
        take(self.condition, self.abandoned)
        self.numbers[1] = 1
        while self.numbers[0] < number:
            try:
                self.condition.wait(LIMIT)
            except self.abandoned:
                pass
            if time.monotonic() > end:
                raise Wrong("a waiter was not woken")
        self.condition.release()

    def before(self):
        self.numbers[0], self.numbers[1] = 0, 0

    def meanwhile(self):
        self.wait_for(1000)

    def victim(self, mark):
        while not self.numbers[1]:
            time.sleep(0.001)
        for _ in range(WARM):
            self.notify()
        mark()
        self.notify()
        mark()

    def after(self):
        take(self.condition, self.abandoned)
        self.numbers[0] = 1000
        self.condition.notify_all()
        self.condition.release()


class Wait(Notify):
    """Killed on its way into the wait, asleep, and on its way out: whoever notifies must not wait for it."""

    def victim(self, mark):
        for number in range(WARM):
            self.condition.acquire()
            self.condition.wait(0)
            self.condition.release()
        self.condition.acquire()
        mark()
        self.condition.wait()
        self.condition.release()
        mark()

    def wake(self):
        self.notify()


class Set(Operation):
    def open(self):
        self.event, self.other = self.mp.Event(), self.mp.Event()

    def before(self):
        self.event.clear()
        self.numbers[1] = 0

    def meanwhile(self):
        self.numbers[1] = 1
        if not self.event.wait(LIMIT):
            raise Wrong("a waiter did not see that the event is set")

    def victim(self, mark):
        for _ in range(WARM):
            self.other.set()
        mark()
        self.event.set()
        mark()

    def after(self):
        self.event.set()
        if not self.event.is_set() or not self.event.wait(0):
            raise Wrong("the event was set and is not")


class EventWait(Set):
    def victim(self, mark):
        for _ in range(WARM):
            self.event.wait(0)
        mark()
        self.event.wait()
        mark()

    def meanwhile(self):
        """Nobody else: the one who wakes the victim would wake them too."""

    def wake(self):
        self.event.set()


class Nothing(Operation):
    """Measures the marks themselves."""

    def open(self):
        pass

    def victim(self, mark):
        mark()
        mark()

    def after(self):
        pass


OPERATIONS = {
    "Lock.acquire": Acquire, "Lock.release": Release, "Queue.put": QueuePut, "Queue.get": QueueGet,
    "SimpleQueue.put": SimplePut, "SimpleQueue.get": SimpleGet, "Connection.send": Send, "Connection.recv": Recv,
    "Condition.notify": Notify, "Condition.wait": Wait, "Event.set": Set, "Event.wait": EventWait,
}
