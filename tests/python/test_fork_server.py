# SPDX-License-Identifier: MIT
"""The server that processes of the start method forkserver are copies of."""

from __future__ import annotations

import os
import subprocess
import sys

import fork_server_children as children
import pytest
from support import SOON, run, script, until

import tutti
from tutti import _fork_server

ctx = tutti.get_context("forkserver")

DEFAULT = "import tutti; print(tutti.get_start_method())"


def test_the_default(tmp_path):
    assert script(tmp_path, DEFAULT) == "forkserver\n"
    command = [sys.executable, "-c", DEFAULT]
    assert subprocess.run(command, capture_output=True, text=True, timeout=SOON).stdout == "fork\n"
    by_input = subprocess.run([sys.executable], input=DEFAULT, capture_output=True, text=True, timeout=SOON)
    assert by_input.stdout == "fork\n"


MAIN_MODULE = """
import os, sys, tutti

with open(sys.argv[0] + ".imports", "a") as file:
    file.write(__name__ + "\\n")

def name():
    return __name__, len(sys.argv)

if __name__ == "__main__":
    with tutti.Pool(2) as pool:
        print(set(pool.apply(name) for _ in range(20)))
    with tutti.Pool(3) as pool:
        print(pool.apply(name))
    print(open(sys.argv[0] + ".imports").read().split())
"""


def test_the_main_module_is_imported_once(tmp_path):
    name = "('__mp_main__', 1)"
    assert script(tmp_path, MAIN_MODULE) == f"{{{name}}}\n{name}\n['__main__', '__mp_main__']\n"


def test_a_main_module_that_imports_its_neighbour_is_imported_once(tmp_path):
    """As a script that is started by its path finds what stands beside it."""
    (tmp_path / "neighbour.py").write_text("")
    (tmp_path / "main.py").write_text("import neighbour\n" + MAIN_MODULE)
    done = subprocess.run([sys.executable, tmp_path / "main.py"], capture_output=True, text=True, timeout=SOON)
    assert done.stdout.splitlines()[-1:] == ["['__main__', '__mp_main__']"], done.stderr


def test_a_main_module_that_fails_is_told_by_the_child(tmp_path):
    text = """
        import multiprocessing, tutti
        if multiprocessing.parent_process() is not None or __name__ == "__mp_main__":
            raise LookupError("not here")
        def nothing(): pass
        if __name__ == "__main__":
            process = tutti.Process(target=nothing)
            process.start()
            process.join(30)
            print(process.exitcode)
    """
    path = tmp_path / "failing.py"
    path.write_text("\n".join(line[8:] for line in text.splitlines()), encoding="utf-8")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=SOON)
    assert done.stdout == "1\n" and "LookupError: not here" in done.stderr


def test_a_main_module_without_a_guard_is_told_so(tmp_path):
    path = tmp_path / "unguarded.py"
    path.write_text("import tutti\nprocess = tutti.Process(target=print)\nprocess.start()\nprocess.join()\n", encoding="utf-8")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=SOON)
    assert "finished its bootstrapping phase" in done.stderr


def parent_of_child():
    answers = ctx.SimpleQueue()
    run(ctx, children.parent, answers)
    return answers.get()


def test_children_use_the_same_server():
    answers = ctx.SimpleQueue()
    run(ctx, children.parent_of_child, answers)
    assert answers.get() == answers.get() == parent_of_child()


def test_forked_children_use_the_same_server():
    ctx.Process(target=children.parent)  # a server is there before the fork
    answers = tutti.SimpleQueue()
    mine = parent_of_child()
    run(tutti.get_context("fork"), children.start_one, answers)
    assert answers.get() == mine


def test_killed_it_is_started_again(tmp_path):
    output = script(
        tmp_path,
        """
        import os, signal, tutti
        def parent(): return os.getppid(), __name__
        def ask():
            with tutti.Pool(1) as pool:
                return pool.apply(parent)
        if __name__ == "__main__":
            before = ask()
            os.kill(before[0], signal.SIGKILL)
            os.waitid(os.P_PID, before[0], os.WEXITED | os.WNOWAIT)
            after = ask()
            print(before[0] != after[0], after[1], len(os.listdir("/proc/self/task")))
        """,
    )
    assert output == "True __mp_main__ 1\n"


ASKED = """
    import os, signal, tutti
    from tutti import _fork_server, _workers
    from tutti.connection import wait

    kills_left = refusals = number = 0
    server, start = _fork_server.server, _workers._start
    start_each, watch = _workers.Crew._start_each, _workers.Crew._watch

    def parent(): return os.getppid()

    def kill_server():
        global kills_left
        kills_left -= 1
        os.kill(server._forkserver_pid, signal.SIGKILL)
        os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOWAIT)

    KILLING

    if __name__ == "__main__":
        with tutti.Pool(2) as pool:
            before = pool.apply(parent)
            for worker in pool._pool:
                worker.kill()
            for worker in pool._pool:
                wait([worker.sentinel])  # so that both are missed at once
            kills_left = KILLS
            try:
                print(pool.apply(parent) != before)
            except ChildProcessError as error:
                print(error)
            kills_left = 0
            print(pool.apply(parent) != before, refusals)
"""

# It is killed with the requests in its hands.
BEFORE_IT_ANSWERS = """
    def start_by_a_stopped_one(crew, pool, places):
        server.ensure_running()
        if kills_left > 0:
            os.kill(server._forkserver_pid, signal.SIGSTOP)
        return start_each(crew, pool, places)

    def watch_after_its_death(crew, places):
        if kills_left > 0:
            kill_server()
        return watch(crew, places)

    _workers.Crew._start_each, _workers.Crew._watch = start_by_a_stopped_one, watch_after_its_death
"""

# It has closed its socket before the request for the so-manieth worker, and still counts as alive.
BEFORE_IT_IS_ASKED = """
    def start_each_anew(crew, pool, places):
        global number
        number = 0
        vars(server).pop("_is_alive", None)
        return start_each(crew, pool, places)

    def start_after_its_death(worker):
        global number, refusals
        number += 1
        if kills_left > 0 and number == NUMBER:
            kill_server()
            server._is_alive = lambda: True
        try:
            start(worker)
        except _fork_server.Ended:
            refusals += 1
            raise

    _workers.Crew._start_each, _workers._start = start_each_anew, start_after_its_death
"""
WAYS = [BEFORE_IT_ANSWERS, BEFORE_IT_IS_ASKED.replace("NUMBER", "1"), BEFORE_IT_IS_ASKED.replace("NUMBER", "2")]


def ask_a_killed_one(tmp_path, way, kills):
    """What a pool says whose servers are killed so often while it asks them, how it goes on, and the refusals."""
    printed = script(tmp_path, ASKED.replace("KILLING", way).replace("KILLS", str(kills)))
    said, later = printed.splitlines()
    return said, *later.split()


@pytest.mark.parametrize("way", WAYS)
def test_killed_while_a_pool_asks_it_for_workers(tmp_path, way):
    expected = "0" if way is BEFORE_IT_ANSWERS else "1" if "== 2" in way else "2"
    assert ask_a_killed_one(tmp_path, way, int(expected) or 2) == ("True", "True", expected)


@pytest.mark.parametrize("way", WAYS[:2])
def test_killed_each_time_that_a_pool_asks_it(tmp_path, way):
    said, later, refusals = ask_a_killed_one(tmp_path, way, 100)
    assert said.startswith("3 fork servers") and later == "True"
    assert refusals == ("0" if way is BEFORE_IT_ANSWERS else "3")


def test_an_argument_that_refuses_a_connection_is_no_dead_server(tmp_path):
    program = """
        import tutti
        class Client:
            def __reduce__(self): raise ConnectionRefusedError("nobody is there")
        if __name__ == "__main__":
            try:
                tutti.Pool(1, print, (Client(),))
            except ConnectionRefusedError as error:
                print(error)
    """
    assert script(tmp_path, program) == "nobody is there\n"


def test_a_process_that_ends_before_it_has_read_all_is_no_dead_server(tmp_path):
    program = """
        import tutti
        if __name__ == "__mp_main__":
            raise SystemExit(3)
        if __name__ == "__main__":
            try:
                tutti.get_context("forkserver").Process(target=print, args=(b"x" * 1000000,)).start()
            except BrokenPipeError as error:
                print(type(error).__name__)
    """
    assert script(tmp_path, program) == "BrokenPipeError\n"


def is_alive(pid):
    """A zombie is not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_preloaded_modules(tmp_path):
    output = script(
        tmp_path,
        """
        import sys, tutti
        def loaded(): return "wave" in sys.modules
        if __name__ == "__main__":
            tutti.set_forkserver_preload(["wave"])
            with tutti.Pool(1) as pool:
                print(pool.apply(loaded))
            try:
                tutti.set_forkserver_preload("wave", 1)
            except TypeError:
                print("refused")
        """,
    )
    assert output == "True\nrefused\n"


def test_it_ends_with_those_who_may_ask_it(tmp_path):
    text = """
        import os, time, tutti
        def parent(): return os.getppid()
        if __name__ == "__main__":
            with tutti.Pool(1) as pool:
                print(pool.apply(parent), flush=True)
                time.sleep(60)
    """
    path = tmp_path / "killed.py"
    path.write_text("\n".join(line[8:] for line in text.splitlines()), encoding="utf-8")
    process = subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, text=True)
    server = int(process.stdout.readline())
    assert is_alive(server)
    process.kill()
    process.communicate(timeout=SOON)
    until(lambda: not is_alive(server))


def test_nothing_of_the_order_is_left_in_the_environment():
    parent_of_child()
    answers = ctx.SimpleQueue()
    run(ctx, children.environment, answers)
    assert _fork_server._ORDER not in os.environ and _fork_server._ORDER not in answers.get()


@pytest.mark.parametrize("count", [8])
def test_many_at_once(count):
    answers = ctx.SimpleQueue()
    processes = [ctx.Process(target=children.parent, args=(answers,)) for _ in range(count)]
    for process in processes:
        process.start()
    assert len({answers.get() for _ in processes}) == 1
    for process in processes:
        process.join(SOON)
        assert process.exitcode == 0
        process.close()
