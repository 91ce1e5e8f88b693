"""Whose fault a failing codec is: the picture's."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import DmsrError, UndecodableImage


@contextmanager
def picture_at_fault(format: str) -> Iterator[None]:
    """Turn whatever a codec raises into UndecodableImage.

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
        raise UndecodableImage(f"The {format.upper()} data is damaged, cut off or contradicts itself.") from fault
