# SPDX-License-Identifier: MIT
"""The operations whose middle a victim is killed in, and how a survivor sees that all is well afterwards.

An operation is made once, in the process that traces; victims and survivors are forked from it. `victim` marks
the begin and the end of the window; `after` runs in the survivors. The same code serves the standard library
and Tutti: where Tutti says that a holder was killed, the standard library can only hang.
"""

import mmap
import os
import queue
import threading
import time
import warnings

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

    DEPTH = 1  # so often at once

    def open(self):
        self.lock = self.mp.Lock()

    def take(self):
        return take(self.lock, self.abandoned)

    def change(self, mark, mark_release):
        mark()
        for _ in range(self.DEPTH):
            self.lock.acquire()
        self.numbers[0] += 1
        mark()
        mark_release()
        self.numbers[1] += 1
        for _ in range(self.DEPTH):
            self.lock.release()
        mark_release()

    def victim(self, mark):
        for _ in range(WARM):
            self.change(nothing, nothing)
        self.change(mark, nothing)

    def after(self):
        told = self.take()
        if not told and self.numbers[0] != self.numbers[1]:
            raise Wrong("the lock came as if nothing had happened, but its holder was killed half way")
        self.numbers[1] = self.numbers[0]
        self.lock.release()
        if self.take():
            raise Wrong("the lock was released and is reported abandoned")
        self.lock.release()


class Release(Acquire):
    def victim(self, mark):
        for _ in range(WARM):
            self.change(nothing, nothing)
        self.change(nothing, mark)


def nothing():
    """In place of a mark."""


class OfRLock:
    """Taken twice by the victim, and wholly the survivor's afterwards, however deep the victim was in it."""

    DEPTH = 2

    def open(self):
        self.lock = self.mp.RLock()

    def after(self):
        super().after()
        self.lock.acquire()
        self.lock.acquire()
        self.lock.release()
        self.lock.release()
        try:
            self.lock.release()
        except AssertionError:
            return
        raise Wrong("the lock was released as often as it was acquired, and could be released once more")


class OfSemaphore:
    """Of one permit, so that it guards as a lock does. Who gets the permit of a killed process is warned."""

    def open(self):
        self.lock = self.mp.Semaphore(1)

    def take(self):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            take(self.lock, self.abandoned)
        return bool(told)

    def after(self):
        super().after()
        self.lock.acquire()
        if self.lock.acquire(False):
            raise Wrong("there are two permits, where one was")
        self.lock.release()
        if self.lock.get_value() != 1:
            raise Wrong(f"all is released, and the semaphore's value is {self.lock.get_value()}")


class RLockAcquire(OfRLock, Acquire):
    pass


class RLockRelease(OfRLock, Release):
    pass


class SemaphoreAcquire(OfSemaphore, Acquire):
    pass


class SemaphoreRelease(OfSemaphore, Release):
    pass


# --- queues and pipes -----------------------------------------------------------------------------------------

class Carrier(Operation):
    """Something that carries messages. Numbers: 0 the life of the victim, 1 how many of its calls have returned."""

    KEPT = 4  # messages that are not touched by the victim
    BATCH = 1  # messages that the victim's call gives or takes

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
        messages = [self.message(WARM + number) for number in range(1, self.BATCH + 1)]
        mark()
        self.give_all(messages)
        self.numbers[1] = WARM + self.BATCH
        mark()

    def give_all(self, messages):
        self.give(messages[0])

    def after(self):
        """A put that was cut off is there or not; a batch is there up to some message."""
        found, returned = self.drain(), self.numbers[1]
        whole = list(range(1, len(found) + 1))
        if found != whole or not returned <= len(found) <= WARM + self.BATCH:
            raise Wrong(f"{returned} puts returned, and {found} came out")
        self.use()


class Get(Carrier):
    def before(self):
        self.numbers[0] += 1
        self.numbers[1] = 0
        for sequence in range(1, self.last() + 1):
            self.give(self.message(sequence))

    def last(self):
        return WARM + self.BATCH - 1 + self.KEPT

    def victim(self, mark):
        for sequence in range(1, WARM + 1):
            self.take()
            self.numbers[1] = sequence
        mark()
        self.take_all()
        self.numbers[1] = WARM + self.BATCH
        mark()

    def take_all(self):
        self.take()

    def after(self):
        """Nothing is lost but what the victim had got, at most what it asked for."""
        found, returned, last = self.drain(), self.numbers[1], self.last()
        first = last + 1 - len(found)
        if found != list(range(first, last + 1)) or not returned < first <= WARM + self.BATCH + 1:
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


class QueuePutMany(InQueue, Put):
    BATCH = 5

    def give_all(self, messages):
        self.queue.put_many(messages)


class QueueGetMany(InQueue, Get):
    BATCH = 5

    def take_all(self):
        self.queue.get_many(self.BATCH)


class SimplePut(InSimpleQueue, Put):
    pass


class SimpleGet(InSimpleQueue, Get):
    pass


class Send(InPipe, Put):
    pass


class Recv(InPipe, Get):
    pass


# --- multiprocessing's Connection, as Tutti makes it ------------------------------------------------------------

class InLetterPipe(InPipe):
    """A descriptor with bytes in it: length and payload of each message."""

    def pipe(self):
        if not self.abandoned:
            return self.mp.Pipe(duplex=False)
        from tutti.connection import descriptor_pipe
        return descriptor_pipe(duplex=False)

    def open(self):
        self.receiver, self.sender = self.pipe()


class LetterSend(InLetterPipe, Put):
    """The kernel takes a small message as a whole or not at all."""


class LetterRecv(InLetterPipe, Get):
    """Nobody can give back to a descriptor what was read from it: the length, and then the payload. So who reads on
    where a killed process did begins with a whole message, or with the payload of the one that it was at."""

    def frame_of(self, message):
        """Its bytes on the wire."""
        receiver, sender = self.pipe()
        with receiver, sender:
            sender.send(message)
            return os.read(receiver.fileno(), 1 << 16)

    def drain_bytes(self):
        found = b""
        while self.receiver.poll():
            found += os.read(self.receiver.fileno(), 1 << 16)
        return found

    def after(self):
        found, returned = self.drain_bytes(), self.numbers[1]
        frames = [self.frame_of(self.message(sequence)) for sequence in range(returned + 1, self.last() + 1)]
        whole = b"".join(frames)
        if found not in (whole, whole[4:], whole[len(frames[0]):]):
            raise Wrong(f"{returned} of {self.last()} messages were received, and {found!r} was left")
        self.use()


# --- joinable queues --------------------------------------------------------------------------------------------

class Joinable(InQueue, Carrier):
    """What a killed process had got and not ended is given back; who joins goes on when all is ended."""

    def open(self):
        self.queue = self.mp.JoinableQueue()

    def before(self):
        self.numbers[0] += 1
        self.numbers[1] = 0
        for sequence in range(1, WARM + 1 + self.KEPT):
            self.give(self.message(sequence))

    def meanwhile(self):
        self.queue.join()

    def end(self):
        """False if nothing is unfinished."""
        try:
            self.queue.task_done()
        except ValueError:
            return False
        return True

    def finish(self, sequences):
        """All of these come out, in whatever order, and then everything is ended."""
        found = sorted(self.sequence_of(self.take()) for _ in sequences)
        if found != list(sequences):
            raise Wrong(f"{list(sequences)} are unfinished, and {found} came out")
        for _ in sequences:
            if not self.end():
                raise Wrong(f"{found} came out, and not all of them could be ended")
        if self.end():
            raise Wrong("more could be ended than was unfinished")
        self.queue.join()
        self.use()
        self.end(), self.end()
        self.queue.join()


class JoinableGet(Joinable):
    def victim(self, mark):
        for _ in range(WARM):
            self.take()
            self.queue.task_done()
        mark()
        self.take()
        mark()

    def after(self):
        self.finish(range(WARM + 1, WARM + self.KEPT + 1))


class TaskDone(Joinable):
    """Numbers 1: the victim's last call has returned."""

    SOON = 1  # seconds until what the dead had is given back

    def victim(self, mark):
        for _ in range(WARM):
            self.take()
            self.queue.task_done()
        self.take()
        mark()
        self.queue.task_done()
        self.numbers[1] = 1
        mark()

    def after(self):
        """The item that the victim had comes out again, or it is ended."""
        kept = [self.sequence_of(self.take()) for _ in range(self.KEPT - 1)]
        if not self.numbers[1]:
            try:
                kept.append(self.sequence_of(self.queue.get(timeout=self.SOON)))
            except queue.Empty:
                pass
        last = WARM + self.KEPT
        if sorted(kept) != list(range(last + 1 - len(kept), last + 1)):
            raise Wrong(f"{kept} came out of a joinable queue, where {last} is the last one")
        for _ in kept:
            if not self.end():
                raise Wrong(f"{kept} came out, and not all of them could be ended")
        self.finish(())


class Join(Joinable):
    """The victim joins, while a survivor has the one item that is unfinished."""

    def open(self):
        super().open()
        self.empty = self.mp.JoinableQueue()

    def before(self):
        self.numbers[0] += 1
        self.give(self.message(1))
        self.take()

    def victim(self, mark):
        for _ in range(WARM):
            self.empty.join()
        mark()
        self.queue.join()
        mark()

    def wake(self):
        self.end()

    def after(self):
        self.end()
        self.finish(())


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


class BarrierWait(Operation):
    """Of two. Numbers: 1 the victim is through its last wait, 2 the other party is through with all of its own."""

    def open(self):
        self.barrier = self.mp.Barrier(2)

    def before(self):
        self.numbers[1] = self.numbers[2] = 0

    def meanwhile(self):
        try:
            for _ in range(WARM + 1):
                self.barrier.wait(LIMIT)
        except threading.BrokenBarrierError:
            if self.numbers[1]:
                raise Wrong("the victim had passed, and the other party was told that the barrier is broken") from None
        finally:
            self.numbers[2] = 1

    def victim(self, mark):
        for _ in range(WARM):
            self.barrier.wait()
        mark()
        self.barrier.wait()
        self.numbers[1] = 1
        mark()

    def wake(self):
        """The other party comes by itself."""

    def after(self):
        """If the victim has not passed, the other party may wait for one that never came."""
        end = time.monotonic() + LIMIT
        while not self.numbers[2]:
            if not self.numbers[1]:
                self.barrier.abort()
            if time.monotonic() > end:
                raise Wrong("the other party waits on")
            time.sleep(0.001)
        self.barrier.reset()
        if self.barrier.broken or self.barrier.n_waiting:
            raise Wrong(f"after its reset the barrier is {self.barrier!r}")


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
    "Lock.acquire": Acquire, "Lock.release": Release, "RLock.acquire": RLockAcquire, "RLock.release": RLockRelease,
    "Semaphore.acquire": SemaphoreAcquire, "Semaphore.release": SemaphoreRelease, "Queue.put": QueuePut,
    "Queue.get": QueueGet, "Queue.put_many": QueuePutMany, "Queue.get_many": QueueGetMany,
    "SimpleQueue.put": SimplePut, "SimpleQueue.get": SimpleGet, "JoinableQueue.get": JoinableGet,
    "JoinableQueue.task_done": TaskDone, "JoinableQueue.join": Join, "PipeEnd.send": Send, "PipeEnd.recv": Recv,
    "Connection.send": LetterSend, "Connection.recv": LetterRecv, "Condition.notify": Notify, "Condition.wait": Wait,
    "Event.set": Set, "Event.wait": EventWait, "Barrier.wait": BarrierWait,
}
