"""Read the wire format of protocol buffers, as far as checkpoints use it.

https://protobuf.dev/programming-guides/encoding/. Nothing is copied: strings and messages come as
views of what they were found in, which may hold a quarter of a gigabyte.
"""

from __future__ import annotations

from collections.abc import Iterator

Bytes = bytes | memoryview


def varint(data: Bytes, position: int) -> tuple[int, int]:
    """Return the base-128 number at `position` and the position behind it.

    Raises:
        ValueError: it runs out of the data or of 64 bits.
    """
    number = 0
    for count in range(10):
        if position + count >= len(data):
            break
        byte = data[position + count]
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number, position + count + 1
    raise ValueError("a number that does not end")


def integer(message: Bytes, wanted: int) -> int:
    """Return the field `wanted`: its last value where it occurs twice, 0 where it does not."""
    values = [value for number, value in _fields(message) if number == wanted]
    if not all(isinstance(value, int) for value in values):
        raise ValueError(f"field {wanted} is no number")
    return values[-1] if values else 0


def chunks(message: Bytes, wanted: int) -> list[memoryview]:
    """Return all values of the field `wanted`: strings, messages or packed numbers."""
    values = [value for number, value in _fields(message) if number == wanted]
    if not all(isinstance(value, memoryview) for value in values):
        raise ValueError(f"field {wanted} is a number")
    return values


def _fields(message: Bytes) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the numbers and values of a message's fields."""
    message = memoryview(message)
    position = 0
    while position < len(message):
        tag, position = varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = varint(message, position)
        elif kind == 2:
            size, position = varint(message, position)
            value, position = message[position : position + size], position + size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value = int.from_bytes(message[position : position + size], "little")
            position += size
        else:
            raise ValueError(f"a field of unknown type {kind}")
        if position > len(message):
            raise ValueError("a field runs out of its message")
        yield number, value
