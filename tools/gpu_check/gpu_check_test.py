#!/usr/bin/env python3
"""Tests gpu_check with programs that are right, wrong, crash, hang, lose the device or take too long. Needs no GPU."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

GPU_CHECK = pathlib.Path(__file__).resolve().parent / "gpu_check"

# Does with each case what `cases` of behaviour.json next to it says, and notes it in the file `log`, with the
# folder where a program finds cuBLASLt.
FAKE = r'''#!@PYTHON@ -ES
import json, os, pathlib, signal, sys, time
here = pathlib.Path(__file__).resolve().parent
name = pathlib.Path(__file__).name
cases = json.loads((here / "behaviour.json").read_text())[name.replace("cublaslt", "own")]
arguments = sys.argv[1:]
is_gtest = name.startswith("gpu_backend")
if is_gtest:
    options = dict(argument[2:].split("=", 1) for argument in arguments if "=" in argument)
    wanted = options["gtest_filter"].split(":")
    if "--gtest_list_tests" in arguments:
        print("Running main() from gtest_main.cc\nSuite.  # TypeParam = none")
        print("\n".join("  " + case.split(".")[1] for case in cases if "CudaEngine*" not in wanted))
        sys.exit()
else:
    options = dict(zip((argument[2:] for argument in arguments[::2]), arguments[1::2]))
    wanted = options.get("checks", ",".join(cases)).split(",")
    if "list" in options:
        print("\n".join(cases))
        sys.exit()
failed, errors = False, []
for case in [case for case in cases if case in wanted]:
    does = cases[case]
    with (here / "log").open("a") as log:
        folder = " " + os.environ["LD_LIBRARY_PATH"].split(":")[0] if "cublaslt" in name else ""
        log.write(f"{name} {case}{folder}\n")
    if is_gtest:
        print(f"[ RUN      ] {case}", flush=True)
    if does == "no device":
        print(json.dumps({"no_device": "none is there"}), flush=True)
        sys.exit(3)
    if does == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if does == "lost":
        print(json.dumps({"failure": "cudaMemcpyAsync: an illegal address"}), flush=True)
        sys.exit(1)
    if does == "hang":
        time.sleep(600)
    if does.startswith("slow"):
        time.sleep(float(does.split()[1]))
    is_right = does != "wrong"
    failed = failed or not is_right
    if is_gtest:
        if not is_right:
            print("expected 1, found 2")
        print(f"[       OK ] {case} (1 ms)" if is_right else f"[  FAILED  ] {case}, where GetParam() = 3 (1 ms)", flush=True)
        errors.append({"name": case.split(".")[1], "relative_error": "2.5e-3"})
        if not is_right:
            for other in wanted[wanted.index(case) + 1:]:
                print(f"[ RUN      ] {other}\n[  SKIPPED ] {other} (0 ms)")
            break
    else:
        print(json.dumps({"case": case, "right": is_right}), flush=True)
if is_gtest:
    pathlib.Path(options["gtest_output"][5:]).write_text(json.dumps({"testsuites": [{"name": "Suite", "testsuite": errors}]}))
sys.exit(7 if "end" in cases and not failed else failed)
'''.replace("@PYTHON@", sys.executable)

# Runs a program as compute-sanitizer does: `tools` of behaviour.json says what it finds.
SANITIZER = r"""#!@PYTHON@ -ES
import json, pathlib, subprocess, sys
tools = json.loads((pathlib.Path(__file__).resolve().parent / "behaviour.json").read_text())["tools"]
arguments = sys.argv[1:]
tool = arguments[arguments.index("--tool") + 1] if "--tool" in arguments else "memcheck"
command = next(index for index, argument in enumerate(arguments) if argument.startswith("/"))
print("========= COMPUTE-SANITIZER", flush=True)
if tools == "refused":
    print("========= Error: Device not supported", flush=True)
    sys.exit(255)
code = subprocess.run(arguments[command:], check=False).returncode
found = tools.get(tool)
print(f"========= ERROR: {found}" if found else "========= ERROR SUMMARY: 0 errors", flush=True)
sys.exit(9 if found and "--error-exitcode" in arguments else code)
""".replace("@PYTHON@", sys.executable)


def read(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""  # of a process that has ended


def wait_until(is_so):
    end = time.monotonic() + 20
    while not is_so():
        if time.monotonic() > end:
            raise AssertionError("it did not become so within 20 s")
        time.sleep(0.05)


class GpuCheck(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)
        for name in ("gpu_facts", "gpu_wrappers", "gpu_kernels", "gpu_backend_own", "gpu_backend_cublaslt"):
            (self.path / name).write_text(FAKE)
            (self.path / name).chmod(0o755)
        self.behave()

    def behave(self, **programs):
        everything = {"gpu_facts": {"device": "right"}, "gpu_wrappers": {"mma": "right", "shuffle": "right", "ballot": "right"},
                      "gpu_kernels": {"fill": "right"}, "gpu_backend_own": {"Suite.A": "right", "Suite.B/cuda": "right"}}
        (self.path / "behaviour.json").write_text(json.dumps(everything | programs))

    def run_check(self, *arguments, **environment):
        """Exit code and what was printed. Fills self.lines with the results, and self.log with the cases that ran."""
        (self.path / "log").write_text("")
        answer = subprocess.run([sys.executable, str(GPU_CHECK), "--programs", str(self.path),
                                 "--out", str(self.path / "out/results.jsonl"), "--silence", "20", "--seeds", "2", *arguments],
                                capture_output=True, text=True, timeout=60, check=False,
                                env={**os.environ, "PATH": f"{self.path}:{os.environ['PATH']}"} | environment)
        self.assertEqual(answer.stderr, "")
        self.lines = [json.loads(line) for line in (self.path / "out/results.jsonl").read_text().splitlines()]
        self.log = (self.path / "log").read_text().splitlines()
        return answer.returncode, answer.stdout

    def results(self, stage):
        return {(line.get("step"), line["case"]): line for line in self.lines if line.get("stage") == stage and "case" in line}

    def summary(self, stage):
        return [line for line in self.lines if line.get("stage") == stage and "done" in line][-1]

    def test_all_right(self):
        code, output = self.run_check("--until", "3")
        self.assertEqual(code, 0, output)
        self.assertEqual([line["stage"] for line in self.lines if line.get("done")], ["facts", "wrappers", "conformance", "golden"])
        self.assertEqual(set(self.results("wrappers")), {("wrappers", case) for case in ("mma", "shuffle", "ballot")})
        # Kernels, widths, ops of two seeds, and ops with cuBLASLt or that there is none.
        self.assertIn(self.summary("conformance")["cases"], (1 + 2 + 2 * 2 + 2, 1 + 2 + 2 * 2 + 1))
        self.assertIn({"Suite.A": 2.5e-3, "Suite.B/cuda": 2.5e-3}, [line.get("relative_errors") for line in self.lines])

    def test_finds_the_cublaslt_that_the_module_opens(self):
        files = [self.path / f"packages{major}/nvidia/cublas/lib/libcublasLt.so.{major}" for major in (12, 13)]
        for file in files:
            file.parent.mkdir(parents=True)
            file.touch()
        packages = ":".join(str(self.path / f"packages{major}") for major in (12, 13))
        code, output = self.run_check("--only", "facts,conformance", PYTHONPATH=packages)
        self.assertEqual(code, 0, output)
        self.assertEqual(self.results("facts")[(None, "tools")]["libraries"]["cublaslt"], str(files[1]))
        self.assertIn(f"gpu_backend_cublaslt Suite.A {files[1].parent}", self.log)

    def test_goes_on_behind_what_crashes_hangs_or_loses_the_device(self):
        self.behave(gpu_wrappers={"a": "right", "b": "crash", "c": "wrong", "d": "lost", "e": "hang", "f": "right"})
        code, output = self.run_check("--only", "wrappers", "--silence", "3")
        self.assertEqual(code, 1)
        found = {case: line for (_, case), line in self.results("wrappers").items()}
        self.assertEqual({case: line["right"] for case, line in found.items()},
                         {"a": True, "b": False, "c": False, "d": False, "e": False, "f": True})
        self.assertIn("SIGSEGV", found["b"]["what"])
        self.assertIn("an illegal address", found["d"]["what"])
        self.assertIn("no answer within 3 s", found["e"]["what"])
        self.assertEqual(len(self.log), 6, "each case ran once")
        self.assertTrue(self.summary("wrappers")["done"])
        self.assertIn("4 wrong", output)

    def test_goes_on_behind_a_failed_test(self):
        self.behave(gpu_backend_own={"Suite.A": "wrong", "Suite.B": "right", "Suite.C": "crash", "Suite.D": "right"})
        code, _ = self.run_check("--only", "golden")
        self.assertEqual(code, 1)
        found = {case: line for (step, case), line in self.results("golden").items() if step == "golden"}
        self.assertEqual({case: line["right"] for case, line in found.items()},
                         {"Suite.A": False, "Suite.B": True, "Suite.C": False, "Suite.D": True})
        self.assertEqual(found["Suite.A"]["what"], "expected 1, found 2")

    def test_notices_a_program_that_ends_wrong_after_right_cases(self):
        self.behave(gpu_wrappers={"a": "right", "end": "right"})
        code, _ = self.run_check("--only", "wrappers")
        self.assertEqual(code, 1)
        self.assertIn("exit code 7", self.results("wrappers")[("wrappers", "end of wrappers")]["what"])

    def test_the_budget_ends_it_and_a_later_run_goes_on(self):
        self.behave(gpu_wrappers={"a": "right", "b": "slow 60", "c": "right"})
        begin = time.monotonic()
        code, output = self.run_check("--from", "1", "--until", "golden", "--budget", "3")
        self.assertLess(time.monotonic() - begin, 30)
        self.assertEqual(code, 2, output)
        self.assertFalse(self.summary("wrappers")["done"])
        self.assertEqual(self.summary("golden")["what"], "no time was left")
        self.behave(gpu_wrappers={"a": "right", "b": "right", "c": "right"})
        code, output = self.run_check("--from", "1", "--until", "golden")
        self.assertEqual(code, 0, output)
        self.assertEqual([line for line in self.log if line.startswith("gpu_wrappers")], ["gpu_wrappers b", "gpu_wrappers c"])
        code, _ = self.run_check("--from", "1", "--until", "golden")
        self.assertEqual((code, self.log), (0, []), "everything was done")

    def test_remembers_that_an_earlier_run_was_wrong(self):
        self.behave(gpu_wrappers={"a": "wrong"})
        self.assertEqual(self.run_check("--only", "1")[0], 1)
        self.behave(gpu_wrappers={"a": "right"})
        self.assertEqual(self.run_check("--only", "1")[0], 1)
        self.assertEqual(self.log, [])

    def test_a_case_that_was_wrong_once_stays_wrong(self):
        self.behave(gpu_wrappers={"a": "wrong", "b": "slow 60"})
        self.assertEqual(self.run_check("--only", "1", "--budget", "3")[0], 1)
        self.behave(gpu_wrappers={"a": "right", "b": "right"})
        code, output = self.run_check("--only", "1")
        self.assertEqual(code, 1)
        self.assertIn("wrong in an earlier run: wrappers: a", output)

    def test_more_seeds_and_other_commits_run_again(self):
        self.assertEqual(self.run_check("--only", "2", "--seeds", "1")[0], 0)
        self.assertEqual(self.run_check("--only", "2", "--seeds", "1")[0], 0)
        self.assertEqual(self.log, [])
        self.assertEqual(self.run_check("--only", "2", "--seeds", "2")[0], 0)
        self.assertNotEqual(self.log, [])
        results = self.path / "out/results.jsonl"
        results.write_text("".join(json.dumps(line | {"machine": line["machine"] | {"commit": "another"}} if "machine" in line else line) + "\n"
                                   for line in self.lines))
        self.assertEqual(self.run_check("--only", "2", "--seeds", "1")[0], 0)
        self.assertNotEqual(self.log, [])

    def test_refuses_options_that_mean_nothing(self):
        for arguments in (["--seeds", "0"], ["--workers", "0"], ["--silence", "0"], ["--budget", "-3"], ["--from", "3", "--until", "1"],
                          ["--out", str(self.path)]):
            answer = subprocess.run([sys.executable, str(GPU_CHECK), *arguments], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(answer.returncode, 2)
            self.assertIn(f"error: {arguments[0]}: expected", answer.stderr)

    def test_tells_why_there_is_no_device(self):
        self.behave(gpu_facts={"device": "no device"}, gpu_kernels={"fill": "no device"})
        for stages in ("0", "golden"):
            code, output = self.run_check("--only", stages)
            self.assertEqual((code, output), (3, "no device: none is there\n"))

    def test_a_line_that_was_cut_off_is_no_hindrance(self):
        self.run_check("--only", "1")
        with (self.path / "out/results.jsonl").open("a") as file:
            file.write('{"stage": "facts", "do')
        answer = subprocess.run([sys.executable, str(GPU_CHECK), "--programs", str(self.path), "--only", "0,1",
                                 "--out", str(self.path / "out/results.jsonl")], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((answer.returncode, answer.stderr), (0, ""))
        for line in (self.path / "out/results.jsonl").read_text().splitlines():
            json.loads(line)

    def test_leaves_no_program_behind_when_it_is_stopped(self):
        self.behave(gpu_wrappers={"a": "hang"})
        check = subprocess.Popen([sys.executable, str(GPU_CHECK), "--programs", str(self.path), "--only", "1"], stdout=subprocess.DEVNULL)
        hanging = f"{self.path}/gpu_wrappers\0--device"
        running = lambda: [path for path in pathlib.Path("/proc").glob("[0-9]*/cmdline") if hanging in read(path)]  # noqa: E731
        wait_until(running)
        check.terminate()
        self.assertEqual(check.wait(timeout=20), 2)
        wait_until(lambda: not running())

    def install_sanitizer(self, tools):
        (self.path / "compute-sanitizer").write_text(SANITIZER)
        (self.path / "compute-sanitizer").chmod(0o755)
        self.behave(tools=tools)

    def test_runs_every_tool_of_the_sanitizer(self):
        self.install_sanitizer({})
        code, output = self.run_check("--only", "sanitizer")
        self.assertEqual(code, 0, output)
        self.assertEqual({step for step, _ in self.results("sanitizer")},
                         {"memcheck", "racecheck", "initcheck", "synccheck", "memcheck of the backend"})

    def test_tells_what_the_sanitizer_found(self):
        self.install_sanitizer({"racecheck": "a race of two threads"})
        code, _ = self.run_check("--only", "sanitizer")
        self.assertEqual(code, 1)
        wrong = [line for line in self.results("sanitizer").values() if not line["right"]]
        self.assertEqual([line["step"] for line in wrong], ["racecheck"])
        self.assertIn("a race of two threads", wrong[0]["what"])

    def test_goes_on_where_the_sanitizer_is_refused(self):
        self.install_sanitizer("refused")
        code, output = self.run_check("--only", "sanitizer")
        self.assertEqual(code, 0, output)
        self.assertIn("Device not supported", self.results("sanitizer")[(None, "sanitizer")]["skipped"])

    def test_names_a_program_that_is_missing(self):
        (self.path / "gpu_wrappers").unlink()
        code, output = self.run_check("--until", "1")
        self.assertEqual(code, 1)
        self.assertIn("expected the program gpu_wrappers in", output)


if __name__ == "__main__":
    unittest.main()
