# SPDX-License-Identifier: MIT
"""What bench/run runs of Python's pools: Tutti's Pool and executor beside the standard library's, two workers each; and
joblib's backends."""

import os

from cases import Side, rates
from cases_python import HERE, both, case, script

# What, as pools.py has it; how the table calls it; how many times the standard library's rate.
POOLS = [
    ("map", "Pool.map, chunksize 1", 20),
    ("imap", "Pool.imap", 20),
    ("imap_unordered", "Pool.imap_unordered", 20),
    ("async", "Pool.apply_async, then get", 25),
    ("apply", "Pool.apply, round trip", 50),
    ("apply_one", "Pool.apply, round trip, one CPU", 8),
    ("asleep", "Pool.apply, workers asleep", 3),
    ("trivial", "Pool.map, default chunks, trivial calls", 1),
    ("uneven", "Pool.map, default chunks, uneven calls", 1.3),
    ("array", "Pool.apply, 100 MB there and back", 15),
    ("submit", "executor, submit, then result", 30),
    ("result", "executor, submit().result()", 30),
    ("result_one", "executor, submit().result(), one CPU", 8),
]
# joblib's own backends, and how many times the rate of each.
JOBLIB = [("loky", 3), ("threading", 0.7)]
LIVES = [("fork", 2), ("forkserver", 5), ("spawn", 1)]
FORK_REASON = ("the floor is the row of two processes: two of the standard library's, with a byte there and back, and nothing "
               "else. Most of that are the pages that Python writes to after a fork, which the system copies one by one.")
PEERS = {"loky": "loky", "joblib": "joblib, loky", "mpire": "mpire", "pebble": "pebble", "multiprocess": "multiprocess",
         "mpi": "MPIPoolExecutor", "ray": "ray", "dask": "dask.distributed"}
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
AGAINST_PEERS = [("map", "Pool.map, chunksize 1"), ("apply", "Pool.apply, round trip")]


def peer(name, what):
    def command(setting, _number):
        run = [setting.python, "-B", os.path.join(HERE, "python", "pool_peers.py"), name, what]
        if name == "mpi":  # the first of three is the one that submits
            run = [os.path.join(os.path.dirname(setting.python), "mpiexec"), "-n", "3",
                   *run[:2], "-m", "mpi4py.futures", *run[2:]]
        return run, 0
    return Side(name, command)


def with_peers(what):
    """Ours, the standard library's, and the peers' in the same rounds."""
    words = {"map": "map", "apply": "result"}.get(what)
    return both("pools.py", what) + [peer(name, words) for name in PEERS if words]


def real(name, words, ours=(("-m", "tutti"), ()), theirs=()):
    """A program of examples/python from its start to its end, as `python -m tutti` runs it and as python does."""
    path = os.path.join(ROOT, "examples", "python", name)

    def side(of, before, after):
        def command(setting, _number):
            return [setting.python, "-B", *before, path, *words(), *after], 1
        return Side(of, command)
    return [side("tutti", *ours), side("standard", (), theirs)]


def texts():
    """Files of real text, enough of them for a second."""
    found = [os.path.join(folder, name) for folder, _, names in os.walk("/usr/share") for name in names]
    return [path for path in sorted(found) if os.path.isfile(path) and os.access(path, os.R_OK)][:5000]


PROGRAMS = {
    "words": ("words of 5,000 files", real("standard_word_count.py", lambda: ["-j", "2", *texts()])),
    "images": ("images of 1024 x 1024", real("image_pipeline.py", lambda: ["-n", "100", "-s", "1024"])),
    "grid": ("scikit-learn's grid search", real(
        "grid_search.py", lambda: ["--size", "1000"], ((), ("--backend", "tutti")), ("--backend", "loky"))),
}

CASES = [
    *(case(f"pool, {what}", 5, with_peers(what)) for what, _, _ in POOLS),
    *(case(f"pool, life, {method}", 5, both("pools.py", "life", method) +
           ([script("pools.py", "processes", "life", method)] if method == "fork" else [])) for method, _ in LIVES),
    *(case(f"program, {name}", 5, sides) for name, (_, sides) in PROGRAMS.items()),
    case("joblib", 5, [script("joblib_calls.py", side) for side in ("tutti", "loky", "threading")]),
]
ROWS = [
    *(rates("pools", name, f"python, pool, {what}", "tutti", "standard", "multiprocessing", need)
      for what, name, need in POOLS),
    *(rates("pools", name, f"python, pool, {what}", "tutti", side, against, None, required=False)
      for what, name in AGAINST_PEERS for side, against in PEERS.items()),
    *(rates("pools", f"Pool: start, one call, end, {method}", f"python, pool, life, {method}", "tutti", "standard",
            "multiprocessing", need, reason=FORK_REASON if method == "fork" else "") for method, need in LIVES),
    rates("pools", "the floor: two processes, fork", "python, pool, life, fork", "processes", "standard", "multiprocessing",
          2, required=False),
    *(rates("pools", what, f"python, program, {name}", "tutti", "standard", "loky" if name == "grid" else "multiprocessing", 1)
      for name, (what, _) in PROGRAMS.items()),
    *(rates("pools", "joblib, batches of one call", "python, joblib", "tutti", side, side, need) for side, need in JOBLIB),
]
