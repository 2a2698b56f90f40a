# SPDX-License-Identifier: MIT
"""Processes wait until a shared store has as much as they need; one of them is killed while it waits."""

import tutti


def take(stock, amount, taken):
    condition, store = stock
    with condition:
        condition.wait_for(lambda: store.value >= amount)
        store.value -= amount
    taken.put(amount)


if __name__ == "__main__":
    stock = tutti.Condition(name="stock"), tutti.RawValue("i", 0)
    condition, store = stock
    taken = tutti.Queue()
    takers = [tutti.Process(target=take, args=(stock, amount, taken)) for amount in (5, 10, 15)]
    greedy = tutti.Process(target=take, args=(stock, 1_000_000, taken))
    for taker in (greedy, *takers):
        taker.start()
    greedy.kill()  # whoever is notified in its place, or for nothing, looks for himself
    greedy.join()

    for _ in range(6):
        with condition:
            store.value += 5
            condition.notify_all()
    for taker in takers:
        taker.join()
    print("taken:", sorted(taken.get() for _ in takers), "left:", store.value)
