# SPDX-License-Identifier: MIT
"""An asyncio program and a process share queues: it awaits them, with no thread for a wait."""

import asyncio

import tutti


def double(numbers, answers):
    while (number := numbers.get()) is not None:
        answers.put((number, 2 * number))


async def main(numbers, answers):
    async def ask():
        for number in range(3):
            await numbers.put_async(number)
            await asyncio.sleep(0)

    asking = asyncio.create_task(ask())
    for _ in range(3):
        number, answer = await answers.get_async()
        print(number, "doubled is", answer)
    await asking
    await numbers.put_async(None)


if __name__ == "__main__":
    numbers, answers = tutti.Queue(), tutti.Queue()
    process = tutti.Process(target=double, args=(numbers, answers))
    process.start()
    asyncio.run(main(numbers, answers))
    process.join()
