"""What the disk alone takes: plain reads and writes past the page cache, as much as a checked copy has to do.

`beside_two_reads` is what no copy can be faster than that writes once, reads its source a second time and reads the copy
back, all from one disk: both kinds at once, two requests of each under way. With a record of the source nothing is read
a second time: `beside_one_read`.
"""

import mmap
import os
import threading
import time

from support import BLOCK_BYTES, MIB, say


def limits(place, length_bytes):
    """Seconds to write, to read, and to write beside one and beside two reads, of `length_bytes`; nothing where the file
    system has no direct access."""
    length_bytes = max(BLOCK_BYTES, length_bytes // BLOCK_BYTES * BLOCK_BYTES)
    first, second = place / "limit-1", place / "limit-2"
    try:
        seconds = {"write": write(first, length_bytes), "read": read(first, length_bytes)}
        seconds["beside_one_read"] = write_beside(1, first, second, length_bytes)
        seconds["beside_two_reads"] = write_beside(2, first, second, length_bytes)
    except OSError as error:
        say(f"{place}: no direct access ({error.strerror}): the limit of the disk is not measured")
        return {}
    finally:
        for path in (first, second):
            path.unlink(missing_ok=True)
    words = ", ".join(f"{word.replace('_', ' ')} {value:.2f} s" for word, value in seconds.items())
    say(f"disk alone, {length_bytes // MIB} MiB: {words}")
    return seconds


def write(path, length_bytes):
    """Writes and flushes a file."""
    start = time.monotonic()
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_DIRECT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, length_bytes)
        in_two_threads(length_bytes, lambda buffer, offset: os.pwritev(descriptor, [buffer], offset))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return time.monotonic() - start


def read(path, length_bytes):
    """Reads a file."""
    start = time.monotonic()
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        in_two_threads(length_bytes, lambda buffer, offset: os.preadv(descriptor, [buffer], offset))
    finally:
        os.close(descriptor)
    return time.monotonic() - start


def write_beside(reads, source, target, length_bytes):
    """Writes one file while another is read so many times."""
    start = time.monotonic()
    failed = []

    def read_all():
        try:
            for _ in range(reads):
                read(source, length_bytes)
        except OSError as error:
            failed.append(error)

    reading = threading.Thread(target=read_all)
    reading.start()
    try:
        write(target, length_bytes)
    finally:
        reading.join()
    if failed:
        raise failed[0]
    return time.monotonic() - start


def in_two_threads(length_bytes, each):
    """Does something with every block, half of them in each of two threads, with aligned memory."""
    failed = []

    def work(first):
        buffer = mmap.mmap(-1, BLOCK_BYTES)
        # Random once: a disk that compresses, or drops zeros, must not look fast.
        buffer.write(os.urandom(BLOCK_BYTES))
        try:
            for offset in range(first, length_bytes, 2 * BLOCK_BYTES):
                if each(buffer, offset) != BLOCK_BYTES:
                    raise OSError(5, "short transfer")
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, BLOCK_BYTES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
