# SPDX-License-Identifier: MIT
"""Accounts whose methods take the same lock, also when they call each other: a recursive lock."""

import tutti


class Accounts:
    def __init__(self, count, amount):
        self.lock = tutti.RLock(name="accounts")
        self.amounts = tutti.RawArray("i", [amount] * count)

    def change(self, account, amount):
        with self.lock:
            self.amounts[account] += amount

    def transfer(self, source, target, amount):
        with self.lock:  # both changes, or none of them, is what others see
            if self.amounts[source] >= amount:
                self.change(source, -amount)
                self.change(target, amount)

    def total(self):
        with self.lock:
            return sum(self.amounts)


def trade(accounts, offset, totals):
    for i in range(1000):
        accounts.transfer((i + offset) % 5, (i * offset) % 5, i % 7)
        if i % 100 == 0:
            totals.put(accounts.total())


if __name__ == "__main__":
    accounts, totals = Accounts(5, 100), tutti.Queue()
    traders = [tutti.Process(target=trade, args=(accounts, offset, totals)) for offset in (1, 2, 3)]
    for trader in traders:
        trader.start()
    for trader in traders:
        trader.join()
    seen = totals.get_many(1000)
    print(f"{len(seen)} looks, each at", *sorted(set(seen)))
