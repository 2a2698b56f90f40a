# SPDX-License-Identifier: MIT
"""Messages a second through a queue, one process to one: stream.py LIBRARY tuple|bytes|array|big two|one|free."""

import os
import sys
import tempfile

from support import CPUS, QUICK, library, note_cpu, pin, rate_of, report, seconds, seen, start_end

PAYLOADS = {"tuple": lambda: (12, "job", 3.5), "bytes": lambda: bytes(1024)}


def flood(put, payload):
    while True:
        put(payload)


def drain(get):
    def drained(count):
        for _ in range(count):
            get()
    return drained


def through(mp, queue, payload, place):
    """Any library whose queues have put and get: the other end puts, this one gets."""
    start_end(mp, place, flood, queue.put, payload)
    report(rate=rate_of(drain(queue.get), seconds(0.5), 500))


def run_zmq(payload, place):
    import zmq
    folder = tempfile.mkdtemp()

    def push():
        socket = zmq.Context().socket(zmq.PUSH)
        socket.connect(f"ipc://{folder}/queue")
        flood(socket.send_pyobj, payload)

    process = start_end(library("standard"), place, push)
    socket = zmq.Context().socket(zmq.PULL)
    socket.bind(f"ipc://{folder}/queue")
    rate = rate_of(drain(socket.recv_pyobj), seconds(0.5), 500)
    process.kill()
    os.unlink(f"{folder}/queue")
    os.rmdir(folder)
    report(rate=rate)


def run_fifo(payload, place):
    import faster_fifo
    through(library("standard"), faster_fifo.Queue(64 << 20), payload, place)


def run_mpi(payload, place):
    """Started once for each end, by mpiexec."""
    from mpi4py import MPI
    world = MPI.COMM_WORLD
    pin(place, world.rank)
    count = 1000 if QUICK else 20_000
    if world.rank == 1:
        for _ in range(11 * count):
            world.send(payload, 0)
        return
    drain(world.recv)(count)
    begun = MPI.Wtime()
    drain(world.recv)(10 * count)
    rate = 10 * count / (MPI.Wtime() - begun)
    note_cpu("from")
    seen["to"].add(CPUS[-1] if place == "two" else CPUS[0])
    report(rate=rate)


def main(side, what, place):
    payload = PAYLOADS[what]()
    peers = {"zmq": run_zmq, "fifo": run_fifo, "mpi": run_mpi}
    if side in peers:
        try:
            peers[side](payload, place)
        except ImportError as error:
            sys.exit(f"not installed: {error.name}")
    else:
        mp = library(side)
        through(mp, mp.Queue(), payload, place)


if __name__ == "__main__":
    main(*sys.argv[1:4])
