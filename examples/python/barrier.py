# SPDX-License-Identifier: MIT
"""Heat spreads along a bar: each process computes a part of it, and a barrier keeps the steps apart."""

import tutti

CELLS, STEPS, PARTS = 60, 50, 3


def spread(old, new, cells):
    for i in cells:
        new[i] = old[i] + (old[i - 1] - 2 * old[i] + old[i + 1]) / 4


def work(bars, part, barrier):
    size = CELLS // PARTS
    for step in range(STEPS):
        old, new = bars[step % 2], bars[(step + 1) % 2]
        spread(old, new, range(1 + part * size, 1 + (part + 1) * size))
        barrier.wait()  # the others read our cells in the next step


def new_bars():
    bars = [tutti.RawArray("d", CELLS + 2) for _ in range(2)]
    for bar in bars:
        bar[0] = 100.0  # held at its left end
    return bars


if __name__ == "__main__":
    bars, barrier = new_bars(), tutti.Barrier(PARTS, name="step")
    workers = [tutti.Process(target=work, args=(bars, part, barrier)) for part in range(PARTS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    alone = new_bars()
    for step in range(STEPS):
        spread(alone[step % 2], alone[(step + 1) % 2], range(1, CELLS + 1))
    same = list(bars[STEPS % 2]) == list(alone[STEPS % 2])
    print(f"{STEPS} steps by {PARTS} processes:", "the same as by one" if same else "wrong")
