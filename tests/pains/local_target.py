# SPDX-License-Identifier: MIT
"""Row 7: where processes are not forked, a function within a function cannot be started, though it is only code."""

from pain import Hurts, main


def show(mp):
    context = mp.get_context("forkserver")
    answers = context.Queue()
    factor = 6

    def multiply(number):
        answers.put(factor * number)

    process = context.Process(target=multiply, args=(7,))
    try:
        process.start()
    except Exception as error:  # which class is the library's affair
        raise Hurts(f"{type(error).__name__}: {error}") from error
    process.join(20)
    return f"the local function ran in another process: {answers.get(timeout=5)}"


if __name__ == "__main__":
    main(show)
