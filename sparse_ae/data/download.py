"""Files from the network: fetched once, verified, cached.

A file is downloaded by pooch, or as part of a package by pip, which knows the user's index, proxy and certificates. It
is checked against its published checksum before it enters the cache, and again whenever it is read from there.
"""
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from sparse_ae.runtime.progress import say
from sparse_ae.theano_compat import folders

# Seconds. A network that drops packets must not hold up the next source, or the error, for minutes.
_CONNECT_TIMEOUT, _READ_TIMEOUT, _PIP_TIMEOUT = 5, 30, 120


def cache_folder():
    """The folder that downloads are kept in: the environment variable SPARSE_AE_DATA, else the user's cache folder.

    Where there is none, and none can be made, a temporary one.

    Returns
    -------
    pathlib.Path
        It need not exist: the first download makes it.
    """
    return _cache_folder()[0]


def _cache_folder():
    """The same; and the user's own where a temporary one stands in for it, else None."""
    folder = os.environ.get("SPARSE_AE_DATA")
    if folder:
        return Path(folder).expanduser(), None
    import pooch
    folder = Path(pooch.os_cache("sparse_ae"))
    if not folder.is_dir() and not folders.can_be_made(str(folder)):
        return Path(folders.temporary("sparse_ae")), folder
    return folder, None


class Source(NamedTuple):
    """An address that a file may come from, and what pooch needs to fetch it.

    Attributes
    ----------
    label : str
        What messages call it.
    url : str
        Or whatever else `downloader` goes by.
    file_name : str
        In the cache.
    checksum : str
        The algorithm and the digest, such as "md5:0e33842e24a9c977be4e0107933c0723".
    downloader : callable
        Of the signature of pooch's: ``downloader(url, output_file, pooch_object)``.
    """

    label: str
    url: str
    file_name: str
    checksum: str
    downloader: Any


def over_http(url, output_file, pooch_object):
    """A pooch downloader that doesn't wait for ever."""
    import pooch
    over_http = pooch.HTTPDownloader(timeout=(_CONNECT_TIMEOUT, _READ_TIMEOUT), chunk_size=1 << 16)
    return over_http(url, output_file, pooch_object)


def fetch(sources, what, home, call):
    """A verified file: from the cache, else from the first source that delivers it.

    What is fetched to a temporary folder, since the user's own can't be written to, is told of on stderr.

    Parameters
    ----------
    sources : list of Source
    what, home, call : str
        For the message, where none does: what the file is, the page to fetch it from by hand, and the call that then
        reads it.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileNotFoundError
        If no source delivers it: the message says what was tried.
    """
    import pooch
    folder, users_own = _cache_folder()
    for source in sources:
        algorithm, digest = source.checksum.split(":")
        file = folder / source.file_name
        if file.is_file() and pooch.file_hash(str(file), alg=algorithm) == digest:
            return file

    failures = []
    for source in sources:
        try:
            with _without_info(pooch.get_logger()):
                path = pooch.retrieve(source.url, source.checksum, fname=source.file_name, path=folder,
                                      downloader=source.downloader)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            failures.append("  %s, %s: %s: %s" % (source.label, source.url, type(error).__name__, error))
            continue
        if users_own is not None:
            say("%s can't be written to: what is fetched is kept in %s. To keep it elsewhere: SPARSE_AE_DATA=FOLDER"
                % (users_own, folder))
        return Path(path)
    raise FileNotFoundError(
        "%s is not in the cache folder %s and could not be fetched. Tried:\n%s\n"
        "Download %s from %s by any other way and call %s. "
        "The environment variable SPARSE_AE_DATA names another cache folder."
        % (what, folder, "\n".join(failures), sources[0].file_name, home, call))


@contextlib.contextmanager
def _without_info(logger):
    """Keep pooch from announcing each download on stderr, and leave its logger as it was."""
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


def wheel_downloader(file_name, check):
    """A pooch downloader that asks pip for a wheel.

    Parameters
    ----------
    file_name : str
        Of the wheel.
    check : callable
        Given the wheel as a `zipfile.ZipFile`; raises if it isn't what is wanted.
    """

    def download(requirement, output_file, _):
        with tempfile.TemporaryDirectory(prefix="sparse_ae-") as folder:
            # Wheels only: building a source distribution would run its code.
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                       "--no-input", "--disable-pip-version-check", "--retries=1", "--timeout=15", "--dest", folder,
                       requirement]
            try:
                pip = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, timeout=_PIP_TIMEOUT)
            except subprocess.TimeoutExpired:
                raise OSError("pip download did not end within %d seconds" % _PIP_TIMEOUT) from None
            if pip.returncode != 0:
                said = pip.stdout.decode(errors="replace").strip().splitlines() or ["it said nothing"]
                errors = [line for line in said if line.startswith("ERROR")]
                raise OSError("pip download failed: %s" % " ".join(errors or said[-1:]))
            wheel = Path(folder, file_name)
            with zipfile.ZipFile(wheel) as archive:
                check(archive)
            shutil.copyfile(str(wheel), output_file)

    return download
