"""Sets the wall clock on for some processes, and for nothing else on this machine (x86-64, root).

Programs read the time by functions that the kernel maps into each of them (vdso(7)). In the private copy of each process these are
overwritten by others, which ask the kernel and add to its answer. As after settimeofday(2), monotonic clocks go on as before.
A program that is started later has the machine's own time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from waiting import until


def _code(seconds: int) -> dict[str, bytes]:
    """Machine code for each function: `syscall`, and the seconds are added to what a caller gets of CLOCK_REALTIME."""
    more = seconds.to_bytes(4, "little", signed=True)
    return {
        # eax = 228; syscall; if edi == 0 (CLOCK_REALTIME) and eax == 0: [rsi] += seconds; ret
        "__vdso_clock_gettime": b"\xb8\xe4\0\0\0\x0f\x05\x85\xff\x75\x0b\x85\xc0\x75\x07\x48\x81\x06" + more + b"\xc3",
        # eax = 96; syscall; if rdi: [rdi] += seconds; ret
        "__vdso_gettimeofday": b"\xb8\x60\0\0\0\x0f\x05\x48\x85\xff\x74\x07\x48\x81\x07" + more + b"\xc3",
        # eax = 201; syscall with 0; rax += seconds; if rdi: [rdi] = rax; ret
        "__vdso_time": b"\x57\x31\xff\xb8\xc9\0\0\0\x0f\x05\x5f\x48\x05" + more + b"\x48\x85\xff\x74\x03\x48\x89\x07\xc3",
    }


def set_on(pids: Iterable[int], seconds: int) -> int:
    """Set the clock of these processes on, of all at one moment; returns how many there were."""
    here = _vdso(os.getpid())
    functions = ctypes.CDLL("linux-vdso.so.1")
    writes = [(ctypes.cast(functions[name], ctypes.c_void_p).value - here[0], code) for name, code in _code(seconds).items()]
    stopped: list[int] = []
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
        for pid in stopped:
            _leave_the_functions(pid)
            start, _ = _vdso(pid)
            with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:  # noqa: PTH123 - no path of a file
                for offset, code in writes:
                    memory.seek(start + offset)
                    memory.write(code)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    return len(stopped)


def _vdso(pid: int) -> tuple[int, int]:
    line = next(each for each in Path(f"/proc/{pid}/maps").read_text().splitlines() if each.endswith("[vdso]"))
    start, _, end = line.split()[0].partition("-")
    return int(start, 16), int(end, 16)


def _leave_the_functions(pid: int) -> None:
    """Wait until each thread of a stopped process stands outside the functions; one that stands inside runs on for a moment."""
    start, end = _vdso(pid)

    def outside() -> bool:
        where = [(task / "syscall").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
        if all(words[0] != "running" and not start <= int(words[-1], 16) < end for words in where):
            return True
        if any(words[0] != "running" for words in where):
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGSTOP)
        return False

    until(outside)
