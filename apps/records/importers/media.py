"""Tell what a file is by its first bytes. Only what people attach to conversations; everything else is just a file."""

from __future__ import annotations

import mimetypes

SIGNATURE_BYTES = 32
OTHER = "application/octet-stream"
_AT_START = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"PK\x03\x04", "application/zip"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif", b"avif": "image/avif"}
_BRANDS |= {b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"qt  ": "video/quicktime"}


def media_type_of(head: bytes, name: str = "") -> str:
    """The media type by content, or by the name's ending for what has no signature (text, CSV, office files)."""
    for start, media_type in _AT_START:
        if head.startswith(start):
            if media_type == "application/zip":
                break  # office files are ZIPs: the ending says which
            return media_type
    if head.startswith(b"RIFF") and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0" and len(head) > 26:
        return "image/bmp"
    guessed = mimetypes.guess_type(name)[0] or OTHER
    return OTHER if guessed.startswith(("image/", "audio/", "video/")) and guessed != "image/svg+xml" else guessed


def is_picture(media_type: str) -> bool:
    """Pictures that show nothing but pixels: SVG is a document that can hold a script."""
    return media_type.startswith("image/") and media_type != "image/svg+xml"
