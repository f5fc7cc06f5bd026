"""Files appear whole or not at all: write beside, then rename. A failure to write is one error."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""What the system says where a disk takes no more: always about writing, whoever meets it."""
PROBE_BYTES = 64 * 2**10


class WriteError(OSError):
    """A file could not be written; nothing of it is left.

    Attributes
    ----------
    filename : str
    errno : int
    strerror : str
        What the system said, such as "No space left on device".
    """

    def __str__(self) -> str:
        return f"cannot write {self.filename}: {self.strerror}"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` on success.

    The parent folder is made if needed. If the block raises, nothing is left behind; if the
    process is killed, only a file whose name begins with ``.part-`` is, and nobody reads those.
    The temporary name keeps the suffix of `path`, for writers that choose a format by it.

    Raises
    ------
    WriteError
        If the file cannot be written, whatever the writer in the block makes of that.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=path.suffix)
        os.close(handle)
    part = Path(name)
    try:
        try:
            yield part
        except WriteError:  # of another file, written within the block
            raise
        except Exception as error:
            refused = _refusal(error, part)
            if refused is None:
                raise
            raise WriteError(refused, os.strerror(refused), str(path)) from error
        with writing(path):
            settle(part)
            # mkstemp makes files private; give the result the mode that open() would give.
            umask = os.umask(0)
            os.umask(umask)
            part.chmod(0o666 & ~umask)
            os.replace(part, path)
    finally:
        with suppress(OSError):  # a disk that was lost meanwhile must not hide what happened
            part.unlink(missing_ok=True)


def settle(part: Path) -> None:
    """Wait until what was written is on the disk, which may find only then that it is full."""
    with part.open("rb") as written:
        os.fsync(written.fileno())


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise every OSError of the block as a `WriteError` of `path`."""
    try:
        yield
    except (WriteError, BrokenPipeError):
        raise
    except OSError as error:
        number = error.errno or errno.EIO
        raise WriteError(number, error.strerror or str(error), str(path)) from error


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def _refusal(error: Exception, part: Path) -> int | None:
    """Why the system refused to write, as an error number; None if `error` is about other things.

    Writers report a full disk each in a class of its own: Python by an OSError, PyAV by a class
    with a number, safetensors by a message that ends in "(os error 28)", PyTorch by a
    RuntimeError that does not name the reason. For the last, a few more bytes are tried.
    """
    link: BaseException | None = error
    while link is not None:
        number = getattr(link, "errno", None)
        if isinstance(link, OSError) and link.filename in (str(part), part):
            return number or errno.EIO
        said = re.search(r"\(os error (\d+)\)", str(link))
        number = int(said[1]) if said else number
        if number in REFUSED:
            return number
        link = link.__cause__ or link.__context__
    return _probe(part)


def _probe(part: Path) -> int | None:
    """The error number for which the system takes no more bytes at the end of `part`."""
    try:
        with part.open("ab") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno
    return None
