"""Folders to write to when the user's own can't be written to: a service's home, a container's, a cluster's."""

import atexit
import os
import shutil
import stat
import tempfile


def can_be_made(folder):
    """Whether a folder can be written to, or could if it were made; nothing is made to see."""
    folder = _existing(folder)
    return os.path.isdir(folder) and os.access(folder, os.R_OK | os.W_OK | os.X_OK)


def is_without_exec(folder):
    """Whether a folder is, or would be, on a mount from which no compiled code can be loaded."""
    return bool(os.statvfs(_existing(folder)).f_flag & getattr(os, "ST_NOEXEC", 0)) if hasattr(os, "statvfs") else False


def fault_of(folder):
    """Say why compiled code can't be kept in a folder; None if it can."""
    if not can_be_made(folder):
        return "%s can't be written to" % folder
    return "%s is on a mount without exec" % folder if is_without_exec(folder) else None


def _existing(folder):
    """The folder, or the first above it that is there."""
    while not os.path.lexists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return folder


def temporary(name):
    """A temporary folder that no other user can write to: this user's, or this process's if another made its name."""
    user = os.getuid() if hasattr(os, "getuid") else "me"  # on Windows the temporary folder itself is the user's
    folder = os.path.join(tempfile.gettempdir(), "%s-of-%s" % (name, user))
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or user != "me" and (found.st_uid != user or found.st_mode & 0o022):
            folder = tempfile.mkdtemp(prefix=name + "-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
