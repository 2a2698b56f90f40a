# SPDX-License-Identifier: MIT
"""Row 9: a task raises an exception that can be pickled and not unpickled; the pool's thread dies of it."""

from pain import Hurts, main


class HttpError(Exception):
    """As many are: its arguments are not those of its __init__."""

    def __init__(self, code, page):
        super().__init__(f"{page}: {code}")


def fetch(page):
    if page == 3:
        raise HttpError(404, page)
    return page


def show(mp):
    pool = mp.Pool(2)
    results = [pool.apply_async(fetch, (page,)) for page in range(6)]
    outcomes = []
    for result in results:
        try:
            outcomes.append(result.get(timeout=4))
        except mp.TimeoutError:
            raise Hurts("the caller waits for ever, and so does everybody else: the pool's thread is dead") from None
        except Exception as error:
            outcomes.append(type(error).__name__)
    if outcomes != [0, 1, 2, "TypeError", 4, 5]:
        raise Hurts(f"other outcomes: {outcomes}")
    return "only the caller of that task gets an exception; the others get their results"


if __name__ == "__main__":
    main(show)
