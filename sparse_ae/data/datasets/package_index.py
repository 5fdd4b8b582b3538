"""MovieLens 100K from the package index, where GroupLens can't be reached: the copy in the wheel of RecBole 1.2.1.

It has the lines of `u.data`, unchanged and in order, below a header; a film's title and year are columns of their own.
"""
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENT, WHEEL = "recbole==1.2.1", "recbole-1.2.1-py3-none-any.whl"
CHECKSUM = "sha256:9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"

HEADER = b"user_id:token"
_SECONDS = 120  # a network that drops packets must not hold up the error


def download(requirement, output_file, _):
    """A pooch downloader that asks pip, which knows the user's index, proxy and certificates."""
    with tempfile.TemporaryDirectory(prefix="sparse_ae-") as folder:
        # Wheels only: building a source distribution would run its code.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-input",
                   "--disable-pip-version-check", "--retries=1", "--timeout=15", "--dest", folder, requirement]
        try:
            pip = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise OSError("pip download did not end within %d seconds" % _SECONDS) from None
        if pip.returncode != 0:
            said = pip.stdout.decode(errors="replace").strip().splitlines() or ["no message"]
            errors = [line for line in said if line.startswith("ERROR")]
            raise OSError("pip download failed: %s" % " ".join(errors or said[-1:]))
        shutil.copyfile(str(Path(folder, WHEEL)), output_file)
