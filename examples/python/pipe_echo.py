# SPDX-License-Identifier: MIT
"""Two processes talk through a pipe; one end was sent through a queue, and the other notices that it is gone."""

import tutti


def echo(mailbox):
    end = mailbox.get()  # the end of a pipe, by message
    for _ in range(3):
        end.send(("echo", end.recv()))


if __name__ == "__main__":
    mailbox = tutti.Queue()
    process = tutti.Process(target=echo, args=(mailbox,))
    process.start()
    here, there = tutti.Pipe()
    mailbox.put(there)
    there.close()  # the message holds it
    for word in ("one", "two", "three"):
        here.send(word)
        print(*here.recv())
    process.join()
    try:
        here.recv()
    except EOFError:
        print("the other end is gone")
