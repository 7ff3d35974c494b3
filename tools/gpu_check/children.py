"""Runs programs that check many cases one after another, and goes on behind a case at which one crashes, hangs or loses the device.

A program of kind "lines" prints a JSON object on each line. With `--list 1` it prints the names of its cases; `--checks a,b` chooses some.
Each case that ends gives {"case": NAME, "right": true or false, ...}; {"failure": TEXT} is about the case that is running;
{"no_device": REASON} ends the program. A program of kind "gtest" is one of googletest.
"""
import json
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

TEXT_MAX = 2000   # characters of what a case printed that are kept
NAMES_MAX = 100_000  # characters of the names of cases on one command line


class NoDevice(Exception):
    pass


@dataclass
class Step:
    """One program with its arguments; `name` tells it from the others of its stage."""
    name: str
    kind: str  # "lines" or "gtest"
    command: list
    filter: str = "*"  # of a gtest
    environment: dict = field(default_factory=dict)
    silence_max: float = 60  # seconds that the program may say nothing
    prefix: list = field(default_factory=list)  # a tool that runs the command
    lists_cases: bool = True  # or it runs once, whatever it prints


class Child:
    """A process in a group of its own, whose lines are read until it ends or time is up."""

    live = set()  # the groups

    def __init__(self, command, environment, silence_max, deadline):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        process_group=0, env={**os.environ, **environment})
        self.live.add(self.process.pid)
        self.silence_max, self.deadline = silence_max, deadline
        self.end = None  # why it ended, if not by itself

    def lines(self):
        selector = selectors.DefaultSelector()
        selector.register(self.process.stdout, selectors.EVENT_READ)
        pending = b""
        while True:
            left = self.deadline - time.monotonic()
            if left <= 0 or not selector.select(min(left, self.silence_max)):
                self.end = "out of time" if left <= self.silence_max else f"no answer within {self.silence_max:g} s"
                break
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                break
            *whole, pending = (pending + piece).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
        if pending:
            yield pending.decode(errors="replace")
        self.finish()

    def finish(self):
        """Ends what is left of its group; a process that the device's driver holds may outlive that."""
        try:
            self.process.wait(timeout=0 if self.end else 5)
        except subprocess.TimeoutExpired:
            self.end = self.end or "closed its output and went on"
        self.kill(self.process.pid)
        self.live.discard(self.process.pid)
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.end = f"{self.end}, and cannot be killed"
        self.process.stdout.close()

    @staticmethod
    def kill(group):
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass

    @classmethod
    def kill_all(cls):
        for group in list(cls.live):
            cls.kill(group)

    def how_it_ended(self):
        if self.end:
            return self.end
        code = self.process.returncode
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def list_cases(step, deadline):
    """None if that took too long."""
    arguments = ["--list", "1"] if step.kind == "lines" else ["--gtest_list_tests", f"--gtest_filter={step.filter}"]
    child = Child([*step.command, *arguments], step.environment, step.silence_max, deadline)
    cases, suite = [], ""
    for line in child.lines():
        if step.kind == "lines":
            cases.append(line.strip())
        elif re.match(r"\S+\.$|\S+\.  # ", line):
            suite = line.split()[0]
        elif line.startswith("  ") and suite:
            cases.append(suite + line.split()[0])
    if child.end == "out of time":
        return None
    if child.process.returncode != 0:
        raise RuntimeError(f"{step.command[0]} does not list its cases: {child.how_it_ended()}")
    return cases


def explanation(reports, text):
    """What compute-sanitizer reported, or else the end of what the program printed."""
    return "\n".join(reports)[:TEXT_MAX] if reports else text.strip()[-TEXT_MAX:]


def read_lines(child, emit):
    """Of a program of kind "lines". Returns an explanation of how it ended."""
    text, reports = "", []
    for line in child.lines():
        if line.startswith("========="):
            reports.append(line)
            continue
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            text += line + "\n"
        elif "no_device" in found:
            raise NoDevice(found["no_device"])
        elif "case" in found:
            emit({"right": True} | found)
            text = ""
        else:
            text += found.get("failure", line) + "\n"
    return explanation(reports, text)


def read_gtest(child, emit):
    """The same of a gtest with --gtest_fail_fast, which calls everything behind a failure skipped."""
    text, reports, running, begin, has_failed = "", [], None, 0.0, False
    for line in child.lines():
        if line.startswith("========="):
            reports.append(line)
        if has_failed:
            continue
        if line.startswith("[ RUN      ] "):
            text, running, begin = "", line[13:].strip(), time.monotonic()
        elif running and (match := re.match(r"\[ +(OK|FAILED|SKIPPED) +\] (\S+?)(,| \()", line)) and match[2] == running:
            has_failed = match[1] == "FAILED"
            found = {"case": running, "right": not has_failed, "seconds": round(time.monotonic() - begin, 3)}
            if match[1] != "OK":
                found["what" if has_failed else "skipped"] = text.strip()[:TEXT_MAX]
            emit(found)
            text, running = "", None
        else:
            text += line + "\n"
    return explanation(reports, text)


def recorded_errors(report):
    """{case: largest relative error} of a report by googletest; nothing if it crashed."""
    try:
        with open(report, encoding="utf-8") as file:
            suites = json.load(file)["testsuites"]
    except (OSError, ValueError, KeyError):
        return {}
    return {f"{suite['name']}.{case['name']}": float(case["relative_error"])
            for suite in suites for case in suite["testsuite"] if "relative_error" in case}


def run_cases(step, deadline, emit, known=frozenset()):
    """Calls emit({"case", "right", ...}) for each case but those of `known`, and emit({"relative_errors": {case: error}}) for those that
    record one. Returns whether all came to an end in time."""
    listed = list_cases(step, deadline) if step.lists_cases else ["all"]
    if listed is None:
        return False
    remaining = [case for case in listed if case not in known]
    while remaining:
        if time.monotonic() >= deadline:
            return False
        batch, length = [], 0
        for case in remaining:
            length += len(case) + 1
            if length > NAMES_MAX:
                break
            batch.append(case)
        seen = []

        def note(found):
            seen.append(found)
            emit(found)

        with tempfile.TemporaryDirectory() as folder:
            report = os.path.join(folder, "report.json")
            if not step.lists_cases:
                arguments = []
            elif step.kind == "lines":
                arguments = ["--checks", ",".join(batch)]
            else:  # a device that has failed once answers no more, so that the next case takes a new process
                arguments = ["--gtest_filter=" + ":".join(batch), "--gtest_fail_fast", f"--gtest_output=json:{report}"]
            child = Child([*step.prefix, *step.command, *arguments], step.environment, step.silence_max, deadline)
            text = (read_lines if step.kind == "lines" else read_gtest)(child, note)
            if errors := recorded_errors(report):
                emit({"relative_errors": errors})
        ended = {found["case"] for found in seen} if step.lists_cases else {"all"}
        remaining = [case for case in remaining if case not in ended]
        unanswered = [case for case in batch if case not in ended]
        is_out_of_time = child.end == "out of time"
        if unanswered and is_out_of_time:
            return False
        code = child.process.returncode
        is_right = all(found["right"] for found in seen)
        if is_right and not unanswered and (child.end or code):
            emit({"case": f"end of {step.name}", "right": False, "what": f"{child.how_it_ended()}: {text}"})
            return not is_out_of_time
        if unanswered and not (step.kind == "gtest" and not is_right and code == 1):
            emit({"case": unanswered[0], "right": False, "what": f"{child.how_it_ended()}: {text}"})
            remaining.remove(unanswered[0])
    return True
