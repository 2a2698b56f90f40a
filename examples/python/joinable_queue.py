# SPDX-License-Identifier: MIT
"""Workers sum up a tree. What they find is new work; join() knows when nothing is left to do."""

import tutti

TREE = {"size": 1, "children": [{"size": 2, "children": [{"size": 4}, {"size": 8}]}, {"size": 16}]}


def work(nodes, sizes):
    while (node := nodes.get()) is not None:
        for child in node.get("children", ()):
            nodes.put(child)  # before task_done(): so the queue is never done too early
        sizes.put(node["size"])
        nodes.task_done()


if __name__ == "__main__":
    nodes, sizes = tutti.JoinableQueue(), tutti.Queue()
    workers = [tutti.Process(target=work, args=(nodes, sizes)) for _ in range(3)]
    for worker in workers:
        worker.start()
    nodes.put(TREE)
    nodes.join()
    found = sizes.get_many(sizes.qsize())
    for _ in workers:
        nodes.put(None)
    for worker in workers:
        worker.join()
    print(f"{len(found)} nodes, {sum(found)} in all")
