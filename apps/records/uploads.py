"""Files on their way in and out of the reader. What lies on a disk in the clear has no name there.

An uploaded file is received by the ASGI server as a whole before a view runs; what does not fit into memory goes into a
temporary file. Such files are opened and unlinked at once, so that no kill leaves one behind: the kernel frees them with
the process. Django's own handler would leave a named one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

_DESCRIPTORS = Path("/proc/self/fd")  # Linux: opens an unlinked file anew, with a place of its own


class UnlinkedUploadHandler(FileUploadHandler):
    """Receives a file that is too large for memory into a temporary file without a name."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.file = UploadedFile(
            tempfile.TemporaryFile(),  # noqa: SIM115 - closed with the request
            self.file_name,
            self.content_type,
            0,
            self.charset,
            self.content_type_extra,
        )

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.file.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile:
        self.file.seek(0)
        self.file.size = file_size
        return self.file

    def upload_interrupted(self) -> None:
        if hasattr(self, "file"):
            self.file.close()


@contextmanager
def spooled(chunks: Iterable[bytes]) -> Iterator[Path]:
    """Write chunks into a temporary file for readers that need a path; it has no name in any folder on Linux.

    Elsewhere it has one for as long as it is needed, in a folder that only this user can open.
    """
    if not _DESCRIPTORS.is_dir():
        with tempfile.TemporaryDirectory(prefix="habeas-") as folder:
            path = Path(folder) / "import"
            with path.open("wb") as named:
                for chunk in chunks:
                    named.write(chunk)
            yield path
        return
    with tempfile.TemporaryFile() as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        yield _DESCRIPTORS / str(file.fileno())
