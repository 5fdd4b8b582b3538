"""Memory that is free."""
import os
from pathlib import Path


def memory_there():
    """Bytes of memory that are free for use, by the system and a container's limit; None where the system is silent."""
    free = [each for each in (_memory_of_system(), memory_of_container()) if each is not None]
    return min(free) if free else None


def memory_of_container(folder="/sys/fs/cgroup"):
    for limit, used in (("memory.max", "memory.current"),
                        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        try:
            numbers = [int(Path(folder, name).read_text()) for name in (limit, used)]
        except (OSError, ValueError):  # no such group, or no limit: "max"
            continue
        return max(0, numbers[0] - numbers[1])
    return None


def _memory_of_system():
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
