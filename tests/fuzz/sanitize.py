"""All Ops under AddressSanitizer and UBSan: ``python tests/fuzz/sanitize.py [N_INPUTS]``.

Runs `ops` in processes whose Theano compiles with both, one for each dtype, with nothing cached. Status 0 and a word
where the compiler hasn't got them.
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# -O1 compiles in half the time of -O2; -O3 is what the Ops ask for, and comes before it.
FLAGS = ["-fsanitize=address", "-fsanitize=undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-O1"]
OPTIONS = dict(ASAN_OPTIONS="detect_leaks=0:abort_on_error=0", UBSAN_OPTIONS="print_stacktrace=1",
               OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="1")


def library(compiler):
    """The sanitizer's library, that has to be loaded before Python's own; None where there is none."""
    if compiler is None:
        return None
    found = subprocess.run([compiler, "-print-file-name=libasan.so"], stdout=subprocess.PIPE,
                           universal_newlines=True).stdout.strip()
    return os.path.realpath(found) if os.path.isabs(found) else None


def main(n_inputs):
    compiler = shutil.which("g++")
    preloaded = library(compiler)
    if preloaded is None:
        print("skipped: no g++ with AddressSanitizer and UBSan")
        return 0
    with tempfile.TemporaryDirectory(prefix="sparse_ae-sanitize-") as folder:
        wrapper = Path(folder, "g++")
        wrapper.write_text('#!/bin/sh\nunset LD_PRELOAD\nexec "%s" "$@"\n' % compiler)  # the compiler isn't examined
        wrapper.chmod(0o755)
        running = []
        for dtype in ("float32", "float64"):
            flags = ["base_compiledir=" + str(Path(folder, dtype)), "cxx=" + str(wrapper),
                     "gcc.cxxflags=" + " ".join(FLAGS)]
            environment = dict(os.environ, LD_PRELOAD=preloaded, THEANO_FLAGS=",".join(flags), **OPTIONS)
            running.append(subprocess.Popen([sys.executable, str(HERE / "ops.py"), "0", str(n_inputs), dtype],
                                            stderr=subprocess.PIPE, universal_newlines=True, env=environment))
        failed = 0
        for process in running:
            said = process.communicate()[1]
            if process.returncode:
                failed += 1
                print(said[-6000:], file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 600))
