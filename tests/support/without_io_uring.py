"""Runs a command where io_uring is forbidden, as container runtimes forbid it: `without_io_uring.py COMMAND ...`.

A seccomp filter of this process lets the three calls fail with EPERM; the command that takes its place, and all that it
starts, has it for good. No privilege is needed.
"""

import ctypes
import os
import struct
import sys

# The numbers are the same on all architectures that Linux got after 2011, and on x86.
FORBIDDEN = [425, 426, 427]  # io_uring_setup, io_uring_enter, io_uring_register
EPERM = 1

PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ERRNO = 0x0005_0000
SECCOMP_RET_ALLOW = 0x7FFF_0000

LOAD_WORD = 0x20
JUMP_IF_EQUAL = 0x15
RETURN = 0x06


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def instruction(code, true, false, value):
    return struct.pack("HBBI", code, true, false, value)


def forbid():
    # What is loaded is the number of the call, the first word of `struct seccomp_data`.
    code = [instruction(LOAD_WORD, 0, 0, 0)]
    for index, number in enumerate(FORBIDDEN):
        # To the last instruction but one, or on.
        code.append(instruction(JUMP_IF_EQUAL, len(FORBIDDEN) - index, 0, number))
    code.append(instruction(RETURN, 0, 0, SECCOMP_RET_ALLOW))
    code.append(instruction(RETURN, 0, 0, SECCOMP_RET_ERRNO | EPERM))
    text = ctypes.create_string_buffer(b"".join(code))
    program = Program(len(code), ctypes.cast(text, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    unused = ctypes.c_ulong(0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), unused, unused, unused) != 0:
        sys.exit(f"prctl(PR_SET_NO_NEW_PRIVS): {os.strerror(ctypes.get_errno())}")
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(program), unused, unused) != 0:
        sys.exit(f"prctl(PR_SET_SECCOMP): {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    forbid()
    os.execvp(sys.argv[1], sys.argv[1:])
