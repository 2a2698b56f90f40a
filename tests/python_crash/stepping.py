# SPDX-License-Identifier: MIT
"""Single steps of a child process through ptrace: x86-64 and any other Linux that can step."""

import ctypes
import os
import signal

TRACEME, SINGLESTEP, SETOPTIONS = 0, 9, 0x4200
SET_PDEATHSIG = 1  # of prctl
EXITKILL = 0x100000
WALL = 0x40000000
TICK = 0.005
START = 20  # seconds until a victim has to be at its first mark

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, data) == -1:
        raise OSError(ctypes.get_errno(), f"ptrace({request}): {os.strerror(ctypes.get_errno())}")


def end_with(parent):
    """In a process of the harness: it may hang, and must not outlive who waits for it."""
    libc.prctl(SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def offer():
    """In the victim: its parent traces it from here on."""
    ptrace(TRACEME, 0)


def mark():
    """In the victim: where a window begins or ends. It stops there until the tracer lets it go on."""
    signal.raise_signal(signal.SIGSTOP)


class Asleep(Exception):
    """The victim waits for something: its step does not end."""


class Crashed(Exception):
    """The victim ended, or met a signal of its own."""


def is_asleep(pid):
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] == b"S"


def whereabouts(pid):
    """In which system call it stands, for somebody who looks for the reason; signals pending with it."""
    try:
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            call = file.read().strip()
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            lines = [" ".join(line.split()) for line in file if line.startswith(("State", "Sig", "Shd", "Threads"))]
    except OSError as error:
        return str(error)
    return f"system call {call}; {'; '.join(lines)}"


class Stepper:
    """The tracer's side of one victim, a child of this process. Only for the main thread: it uses the alarm."""

    def __init__(self, pid):
        """Waits until the victim stands at its first mark."""
        self.pid, self.steps, self.seen = pid, 0, -1
        self.is_stepping = self.is_watched = False
        signal.signal(signal.SIGALRM, self.give_up)
        signal.setitimer(signal.ITIMER_REAL, START)
        try:
            stopped = self.wait()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if stopped != signal.SIGSTOP:
            raise Crashed(f"the victim met {signal.Signals(stopped).name}")
        ptrace(SETOPTIONS, pid, EXITKILL)

    def wait(self):
        """The signal that stopped it."""
        _, status = os.waitpid(self.pid, WALL)
        self.is_stepping = False
        if not os.WIFSTOPPED(status):
            raise Crashed(f"the victim ended by itself with status {os.waitstatus_to_exitcode(status)}")
        return os.WSTOPSIG(status)

    def step(self, count):
        """That many instructions. False if it came to a mark before; Asleep if one of them does not end."""
        signal.signal(signal.SIGALRM, self.look)
        self.is_watched = True
        signal.setitimer(signal.ITIMER_REAL, TICK)
        try:
            return self.step_on(self.steps + count)
        finally:
            self.is_watched = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def step_on(self, end):
        while self.steps < end:
            if not self.is_stepping:
                ptrace(SINGLESTEP, self.pid)
                self.is_stepping = True
            stopped = self.wait()
            self.steps += 1
            if stopped == signal.SIGSTOP:
                return False
            if stopped != signal.SIGTRAP:
                raise Crashed(f"the victim met {signal.Signals(stopped).name}")
        return True

    def look(self, *_):
        """At each tick: a step that lasts, in a process that sleeps. The step goes on when the process is woken.

        A last tick may come while the timer is stopped: started again by it, the timer would fire into the next victim.
        """
        if not self.is_watched:
            return
        if self.steps == self.seen and self.is_stepping and is_asleep(self.pid):
            raise Asleep
        self.seen = self.steps
        signal.setitimer(signal.ITIMER_REAL, TICK)  # only now: on a busy machine it would come into this handler

    def give_up(self, *_):
        raise Crashed(f"the victim did not come to its operation in {START} s: {whereabouts(self.pid)}")
