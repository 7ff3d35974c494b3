"""The stages of tools/gpu_check/gpu_check: which programs they run, and for how long."""
import glob
import os
import shutil
import site
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from children import NoDevice, Step, run_cases

OPS = "*Ops*-*OpsWidths*"
WIDTHS = "*OpsWidths*"
NETWORK = "Models/CudaGolden*:CudaMixedBatch*"
ENGINE = "CudaEngine*"
# Files of libraries that are used where they are found. The module opens cuBLASLt by exactly this name, which has the major version of
# the header that it was compiled with.
LIBRARIES = {"cublaslt": "libcublasLt.so.13", "nccl": "libnccl.so*"}


@dataclass
class Context:
    device: str          # "cuda" or "emulated"
    programs: list       # folders
    seeds: int
    workers: int         # programs at a time
    silence_max: float   # seconds that one may say nothing
    libraries: dict = field(default_factory=dict)

    def program(self, name):
        for folder in self.programs:
            if os.access(path := os.path.join(folder, name), os.X_OK):
                return path
        raise RuntimeError(f"expected the program {name} in {' or '.join(self.programs)}: build or pack it first (docs/cuda.md)")

    def environment(self):
        """Where the backend finds cuBLASLt, which is loaded by its name."""
        if "cublaslt" not in self.libraries:
            return {}
        folders = [os.path.dirname(self.libraries["cublaslt"]), os.environ.get("LD_LIBRARY_PATH", "")]
        return {"LD_LIBRARY_PATH": ":".join(filter(None, folders))}

    def step(self, name, kind, program, *arguments, **more):
        more = {"environment": self.environment(), "silence_max": self.silence_max} | more
        return Step(name, kind, [self.program(program), *arguments], **more)


def find_library(pattern):
    """A shared library of a Python package of NVIDIA's, or of the toolkit, where the loader would find it; None if there is none."""
    packages = [path for path in [*sys.path, *site.getsitepackages()] if path]
    if python := shutil.which("python3"):  # which may have other packages than the Python that runs this
        try:
            answer = subprocess.run([python, "-c", "import site; print('\\n'.join(site.getsitepackages()))"], capture_output=True,
                                    text=True, timeout=20, check=False)
            packages += answer.stdout.split("\n")
        except (OSError, subprocess.TimeoutExpired):
            pass
    for folder in [*(f"{package}/nvidia/*/lib" for package in packages if package), "/usr/local/cuda/lib64", "/usr/lib/x86_64-linux-gnu"]:
        if found := sorted(glob.glob(f"{folder}/{pattern}")):
            return found[-1]
    return None


def first_line(command):
    """What a tool of the machine says about it; why it says nothing, if so."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        return (answer.stdout or answer.stderr).strip().split("\n")[-1]
    except (OSError, subprocess.TimeoutExpired) as reason:
        return f"{type(reason).__name__}: {reason}"


def run_steps(context, steps, deadline, emit, known):
    """All steps, some at a time. Returns whether all came to an end in time."""
    def run(step):
        done = {case for name, case in known if name == step.name}
        return run_cases(step, deadline, lambda found: emit({"step": step.name} | found), done)

    with ThreadPoolExecutor(context.workers) as pool:
        return all([future.result() for future in [pool.submit(run, step) for step in steps]])


def facts(context, deadline, emit, known):
    query = "name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,temperature.gpu,power.draw,ecc.mode.current"
    emit({"case": "tools", "right": True, "nvidia_smi": first_line(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]),
          "nvcc": first_line(["nvcc", "--version"]), "compute_sanitizer": shutil.which("compute-sanitizer") or "not found",
          "ncu": shutil.which("ncu") or "not found", "libraries": context.libraries})
    if context.device == "emulated":
        emit({"case": "device", "right": True, "name": "emulated, of which there is nothing to measure"})
        return True
    arguments = ["--nccl", context.libraries["nccl"]] if "nccl" in context.libraries else []
    return run_steps(context, [context.step("facts", "lines", "gpu_facts", *arguments, lists_cases=False)], deadline, emit, known)


def wrappers(context, deadline, emit, known):
    seeds = 50 if context.device == "cuda" else 3
    step = context.step("wrappers", "lines", "gpu_wrappers", "--device", context.device, "--seeds", str(seeds))
    return run_steps(context, [step], deadline, emit, known)


def with_cublaslt(context, name, tests, emit):
    """A step of the tests that hold for products by cuBLASLt too: a row's bits may depend on how many are computed together."""
    if context.device == "emulated":
        return []
    if "cublaslt" not in context.libraries:
        emit({"case": name, "right": True, "skipped": f"no {LIBRARIES['cublaslt']} was found"})
        return []
    return [context.step(name, "gtest", "gpu_backend_cublaslt", filter=tests)]


def conformance(context, deadline, emit, known):
    on_gpu = context.device == "cuda"
    kernels = "gpu_kernels" if on_gpu else "gpu_kernels_emulated"
    count = 10 * context.seeds if on_gpu else context.seeds
    steps = [context.step(f"kernels from seed {first}", "lines", kernels, "--first-seed", str(first), "--seeds", str(min(50, count)))
             for first in range(1, count + 1, 50)]
    steps.append(context.step("widths", "gtest", "gpu_backend_own" if on_gpu else "gpu_widths_test", filter=WIDTHS))
    steps += with_cublaslt(context, "ops, cuBLASLt", "*OpsConformance*:*OpsGeneralRecords*:*OpsWidths*", emit)
    for seed in range(context.seeds):
        steps.append(context.step(f"ops, seed {seed}", "gtest", "gpu_backend_own" if on_gpu else "backend_cuda_ops_test",
                                  f"--gtest_random_seed={seed}", filter=OPS))
    return run_steps(context, steps, deadline, emit, known)


def require_device(context, deadline):
    """Raises NoDevice where tests would fail one by one."""
    probe = context.step("probe", "lines", "gpu_kernels", "--checks", "fill", "--seeds", "1", lists_cases=False)
    run_cases(probe, deadline, lambda _: None)


def golden(context, deadline, emit, known):
    on_gpu = context.device == "cuda"
    if on_gpu:
        require_device(context, deadline)
    steps = [context.step("golden", "gtest", "gpu_backend_own" if on_gpu else "cuda_golden_test", filter=NETWORK)]
    steps += with_cublaslt(context, "golden, cuBLASLt", "Models/CudaGolden*", emit)
    for run in range(3 if on_gpu else 1):  # a race may show in one of several
        steps.append(context.step(f"engine, run {run}", "gtest", "gpu_backend_own" if on_gpu else "cuda_engine_test", filter=ENGINE))
    return run_steps(context, steps, deadline, emit, known)


def sanitizer(context, deadline, emit, known):
    if context.device == "emulated":
        emit({"case": "sanitizer", "right": True, "skipped": "compute-sanitizer watches GPUs only; tests CudaWatched do it here"})
        return True
    require_device(context, deadline)
    tool = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin:/opt/nvidia/compute-sanitizer")
    if tool is None:
        emit({"case": "sanitizer", "right": True, "skipped": "no compute-sanitizer is installed"})
        return True
    if refusal := refuses(context, tool, deadline):
        emit({"case": "sanitizer", "right": True, "skipped": f"compute-sanitizer can't run here: {refusal}"})
        return True
    steps = []
    for name in ("memcheck", "racecheck", "initcheck", "synccheck"):
        step = context.step(name, "lines", "gpu_kernels", "--sanitizer", "1", "--seeds", "4", silence_max=2 * context.silence_max)
        step.prefix = [tool, "--tool", name, "--error-exitcode", "9", "--print-limit", "5"]
        steps.append(step)
    ops = context.step("memcheck of the backend", "gtest", "gpu_backend_own", filter="*OpsConformance*:*OpsGeneralRecords*",
                       silence_max=2 * context.silence_max)
    ops.prefix = [tool, "--tool", "memcheck", "--error-exitcode", "9", "--print-limit", "5"]
    return run_steps(context, [*steps, ops], deadline, emit, known)


def refuses(context, tool, deadline):
    """What compute-sanitizer prints where a sandbox keeps it from the device; nothing where it works."""
    step = context.step("probe", "lines", "gpu_kernels", "--sanitizer", "1", "--checks", "fill", "--seeds", "1", prefix=[tool],
                        lists_cases=False)
    probe = []
    try:
        run_cases(step, min(deadline, time.monotonic() + 90), probe.append)
    except NoDevice as reason:
        return str(reason)
    if any(found["case"] == "fill" and found["right"] for found in probe if "case" in found):
        return None
    return probe[0]["what"] if probe and "what" in probe[0] else "it ended without a result"


# Name, function, seconds that it may take.
STAGES = [("facts", facts, 60), ("wrappers", wrappers, 40), ("conformance", conformance, 170), ("golden", golden, 110),
          ("sanitizer", sanitizer, 200)]
