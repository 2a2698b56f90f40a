# SPDX-License-Identifier: MIT
"""What bench/run runs of Python's pools: Tutti's Pool and executor beside the standard library's, two workers each."""

from cases import rates
from cases_python import both, case

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
LIVES = [("fork", 2), ("forkserver", 5), ("spawn", 1)]

CASES = [
    *(case(f"pool, {what}", 5, both("pools.py", what)) for what, _, _ in POOLS),
    *(case(f"pool, life, {method}", 5, both("pools.py", "life", method)) for method, _ in LIVES),
]
ROWS = [
    *(rates("pools", name, f"python, pool, {what}", "tutti", "standard", "multiprocessing", need)
      for what, name, need in POOLS),
    *(rates("pools", f"Pool: start, one call, end, {method}", f"python, pool, life, {method}", "tutti", "standard",
            "multiprocessing", need) for method, need in LIVES),
]
