# SPDX-License-Identifier: MIT
"""torch: batches that two workers load, by each start method; and tensors through a queue of torch.multiprocessing."""

import torch
import torch.multiprocessing
from torch.utils.data import DataLoader, Dataset


class Squares(Dataset):
    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index >= self.length:
            raise IndexError(index)
        return torch.full((64,), float(index * index))


class Refusing(Squares):
    def __getitem__(self, index):
        raise ValueError("cannot load")


def double(queue, results):
    for tensor in iter(queue.get, None):
        results.put(tensor * 2)


def loads(method):
    loader = DataLoader(Squares(100), batch_size=8, num_workers=2, multiprocessing_context=method, persistent_workers=True)
    for _ in range(2):
        print(method, sum(float(batch.sum()) for batch in loader))


def failure():
    try:
        list(DataLoader(Refusing(10), num_workers=2))
    except ValueError as error:
        return "cannot load" in str(error)


def sharing():
    context = torch.multiprocessing.get_context("spawn")
    queue, results = context.SimpleQueue(), context.SimpleQueue()
    process = context.Process(target=double, args=(queue, results))
    process.start()
    queue.put(torch.arange(1000.0))
    print(float(results.get().sum()))
    queue.put(None)
    process.join()
    print(process.exitcode)


def main():
    for method in ("fork", "forkserver", "spawn"):
        loads(method)
    print(failure())
    sharing()


if __name__ == "__main__":
    main()
