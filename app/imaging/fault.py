"""Whose fault a failing codec is: the picture's."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import DmsrError, UndecodableImage, UnsupportedImage

# What Pillow says of files that may be sound, but whose kind it does not know.
_UNKNOWN_KIND = re.compile("unsupported|not supported|unknown pixel mode", re.IGNORECASE)


@contextmanager
def picture_at_fault(format: str) -> Iterator[None]:
    """Turn whatever a codec raises into UndecodableImage, or UnsupportedImage for a kind that it does not know.

    On crafted bytes Pillow raises OSError, SyntaxError, ValueError, struct.error, MemoryError and more. Its messages
    may quote the file, so they stay in the cause, for the log.
    """
    try:
        yield
    except DmsrError:
        raise
    except MemoryError as fault:
        raise UndecodableImage(
            f"Decoding the {format.upper()} takes more memory than there is for a picture of its size."
        ) from fault
    except Exception as fault:
        if _UNKNOWN_KIND.search(str(fault)):
            raise UnsupportedImage(
                f"The {format.upper()} holds its pixels in a way that is not read here. Save it in grey or RGB with 8 "
                "bits a channel, or as PNG."
            ) from fault
        raise UndecodableImage(f"The {format.upper()} data is damaged, cut off or contradicts itself.") from fault
