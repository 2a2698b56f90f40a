#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the benchmarks side by side and prints one table.

A case is a set of sides that are run in turn, round after round: ours, the limit, a peer, ours, ...
A machine changes its speed from second to second, so only numbers of the same round are compared; a
row of the table shows the median of its rounds' ratios. What is run stands in cases.py and cases_python.py.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import cases
import cases_pools
import cases_python

SIDE_SECONDS = 90
CASES = cases.CASES + cases_python.CASES + cases_pools.CASES
ROWS = cases.ROWS + cases_python.ROWS + cases_pools.ROWS
GROUPS = list(dict.fromkeys(row.group for row in ROWS))


class Failed(Exception):
    """A side that could not be measured, and why."""


def parse(text):
    """`key value` lines; CPU lists stay text."""
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        found[key] = value if key in ("from", "to") else float(value)
    return found


def run_program(command):
    if not os.access(command[0], os.X_OK):
        raise Failed(f"{os.path.basename(command[0])} is not here")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SIDE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no end within {SIDE_SECONDS} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise Failed(said[-1])
    return parse(done.stdout)


def run_commands(command, inputs):
    """A program that starts `inputs` commands, one for each line of its input: commands a second."""
    begin = time.perf_counter()
    try:
        done = subprocess.run(command, input="".join(f"{n}\n" for n in range(inputs)), stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, timeout=SIDE_SECONDS, check=False)
    except FileNotFoundError as error:
        raise Failed(f"{os.path.basename(command[0])} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no end within {SIDE_SECONDS} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise Failed(said[-1])
    return {"rate": inputs / (time.perf_counter() - begin), "from": ",".join(map(str, sorted(os.sched_getaffinity(0))))}


def run_side(side, setting, number):
    command, inputs = side.command(setting, number)
    return run_commands(command, inputs) if inputs else run_program(command)


def run_case(case, setting):
    """{side: [what it reported, a round each]}, and {side: why it failed}."""
    results = {side.name: [] for side in case.sides}
    failures = {}
    for number in range(case.quick_rounds if setting.quick else case.rounds):
        for side in case.sides:
            if side.name in failures:
                continue
            try:
                results[side.name].append(run_side(side, setting, number))
            except Failed as error:
                failures[side.name] = str(error)
    return {"results": results, "failures": failures}


def series(measured, value):
    return [one[value.key] * value.factor for one in measured[value.case]["results"][value.side]]


def judge(row, measured):
    """The row's numbers. `ratio` is what stands against the requirement: a ratio, or a plain value."""
    line = {"group": row.group, "what": row.what, "against": row.against, "need": row.need, "sense": row.sense,
            "unit": row.unit, "reason": row.reason}
    for value in filter(None, (row.ours, row.theirs)):
        failed = measured[value.case]["failures"].get(value.side)
        if failed:
            verdict = "NOT met" if value is row.ours else "not measured"
            return line | {"verdict": verdict if row.required else "-", "note": failed}
    ours = series(measured, row.ours)
    theirs = series(measured, row.theirs) if row.theirs else None
    over = (lambda a, b: a - b) if row.difference else (lambda a, b: a / b)
    ratios = [over(a, b) for a, b in zip(ours, theirs)] if theirs else ours
    ratio = max(ratios) if row.worst else statistics.median(ratios)
    met = row.need is None or (ratio >= row.need if row.sense == ">=" else ratio <= row.need)
    line |= {"ours": statistics.median(ours), "theirs": statistics.median(theirs) if theirs else None, "ratio": ratio,
             "least": min(ratios), "most": max(ratios), "rounds": len(ratios),
             "cpus": cpus_of(row.ours, measured), "their_cpus": cpus_of(row.theirs, measured) if theirs else None}
    return line | {"verdict": ("met" if met else "NOT met") if row.required else "-"}


def cpus_of(value, measured):
    """On which CPUs a side was seen: `0>1` from CPU 0 to CPU 1."""
    seen = {"from": set(), "to": set()}
    for one in measured[value.case]["results"][value.side]:
        for end, cpus in seen.items():
            cpus.update(filter(None, one.get(end, "").split(",")))
    return ">".join(",".join(sorted(cpus)) for cpus in seen.values() if cpus)


def number(value):
    """Four digits at most, with a letter for thousands."""
    for least, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= least:
            return f"{value / {'G': 1e9, 'M': 1e6, 'k': 1e3}[letter]:.3g}{letter}"
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def cells(line):
    bound = "reported" if line["need"] is None else {">=": "at least ", "<=": "at most "}[line["sense"]] + f"{line['need']:g}"
    if "ratio" not in line:
        return [line["what"], line["against"], "", "", bound, "see below", line["verdict"], ""]
    measured = f"{number(line['ratio'])} ({number(line['least'])}-{number(line['most'])})"
    theirs = number(line["theirs"]) if line["theirs"] is not None else ""
    cpus = line["cpus"] + (f"; {line['their_cpus']}" if line["their_cpus"] else "")
    return [line["what"], line["against"], f"{number(line['ours'])} {line['unit']}", theirs, bound, measured,
            line["verdict"], cpus]


HEAD = ["what", "against", "ours", "theirs", "required", "measured (min-max)", "", "CPUs: ours; theirs"]


def print_table(lines):
    rows = [HEAD] + [cells(line) for line in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    previous = None
    for row, line in zip(rows, [None] + lines):
        if line and line["group"] != previous:
            print()
            previous = line["group"]
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print_notes(lines)


def print_notes(lines):
    """Why a row has no numbers, or is not met; then the sum."""
    print()
    for line in lines:
        why = line.get("note") or (line["reason"] if line["verdict"] == "NOT met" else "")
        if why:
            print(f"{line['what']}, {line['against']}: {why}")
    required = [line for line in lines if line["verdict"] != "-"]
    met = sum(line["verdict"] == "met" for line in required)
    print(f"{met} of {len(required)} requirements met; "
          f"{sum(line['verdict'] == 'not measured' for line in required)} not measured (a peer is missing).")


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def settle_on_cpus():
    """Two CPUs are enough for every case, and the same two for every side."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cpus)
    print(f"{processor()}, Linux {platform.release()}; everything runs on CPUs {', '.join(map(str, cpus))} "
          f"(load before: {os.getloadavg()[0]:.2f})")
    if len(cpus) < 2:
        print("Only one CPU may be used here: what is said to run on two runs on one.")


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description="Runs benchmarks beside their limits and peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these groups: " + ", ".join(GROUPS))
    parser.add_argument("--json", metavar="FILE", help="write all numbers of all rounds there")
    parser.add_argument("--quick", action="store_true", help="a smoke run: too short for numbers to be quoted")
    parser.add_argument("--programs", metavar="FOLDER", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--command", metavar="FILE", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", metavar="FILE", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in options.names:
        if name not in GROUPS:
            parser.error(f"no group is called '{name}'; there are {', '.join(GROUPS)}")
    return options


def main():
    options = arguments()
    setting = cases.Setting(options.programs, options.command, options.python, options.quick)
    rows = [row for row in ROWS if not options.names or row.group in options.names]
    needed = {value.case for row in rows for value in (row.ours, row.theirs) if value}
    settle_on_cpus()
    if options.quick:
        os.environ["TUTTI_BENCH_QUICK"] = "1"  # for the Python sides
        print("A smoke run: too short for its numbers to be quoted.")
    measured = {}
    begin = time.monotonic()
    for case in CASES:
        if case.name in needed:
            print(f"[{time.monotonic() - begin:4.0f} s] {case.name}", file=sys.stderr)
            measured[case.name] = run_case(case, setting)
    lines = [judge(row, measured) for row in rows]
    print_table(lines)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"table": lines, "cases": measured, "quick": options.quick}, file, indent=1)
    return 1 if any(line["verdict"] == "NOT met" and "note" in line for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
