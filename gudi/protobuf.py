"""The wire format of protocol buffers: the part that checkpoints and ONNX models use.

See https://protobuf.dev/programming-guides/encoding/. Parsing copies nothing: strings and messages
are returned as views of the data, which may be a quarter of a gigabyte long. Malformed messages
raise a `ValueError`.
"""

from __future__ import annotations

from collections.abc import Iterator

Bytes = bytes | memoryview

VARINT, FIXED_64, LENGTH_DELIMITED, FIXED_32 = 0, 1, 2, 5


def varint(data: Bytes, position: int) -> tuple[int, int]:
    """Return the base-128 number at `position`, and the position after it."""
    number = 0
    for count in range(10):
        if position + count >= len(data):
            break
        byte = data[position + count]
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number, position + count + 1
    raise ValueError("a number does not end")


def integer(message: Bytes, wanted: int) -> int:
    """Return the number in field `wanted`: the last one if it is repeated, 0 if it is missing."""
    found = 0
    for number, value in _fields(message):
        if number == wanted:
            if not isinstance(value, int):
                raise ValueError(f"field {wanted} is not a number")
            found = value
    return found


def chunks(message: Bytes, wanted: int) -> list[memoryview]:
    """Return all values of field `wanted`: strings, messages or packed numbers."""
    found = []
    for number, value in _fields(message):
        if number == wanted:
            if isinstance(value, int):
                raise ValueError(f"field {wanted} is a number")
            found.append(value)
    return found


def tensor_shape(message: Bytes) -> tuple[int, ...]:
    """Return the TensorShapeProto in field 2 of a message."""
    return tuple(integer(side, 1) for shape in chunks(message, 2) for side in chunks(shape, 2))


def _fields(message: Bytes) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and the value of each field of a message."""
    message = memoryview(message)
    position = 0
    while position < len(message):
        tag, position = varint(message, position)
        number, kind = tag >> 3, tag & 7
        value: int | memoryview
        if kind == VARINT:
            value, position = varint(message, position)
        elif kind == LENGTH_DELIMITED:
            size, position = varint(message, position)
            value, position = message[position : position + size], position + size
        elif kind in (FIXED_64, FIXED_32):
            size = 8 if kind == FIXED_64 else 4
            value = int.from_bytes(message[position : position + size], "little")
            position += size
        else:
            raise ValueError(f"a field has the unknown type {kind}")
        if position > len(message):
            raise ValueError("a field does not fit into its message")
        yield number, value


def encode_varint(value: int) -> bytes:
    """Return the base-128 form of a number that is not negative."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_integer(field: int, value: int) -> bytes:
    """Return a field with a number."""
    return encode_varint(field << 3 | VARINT) + encode_varint(value)


def encode_chunk(field: int, content: bytes) -> bytes:
    """Return a field with bytes or a message. A message is its fields, one after the other."""
    return encode_varint(field << 3 | LENGTH_DELIMITED) + encode_varint(len(content)) + content


def encode_text(field: int, text: str) -> bytes:
    """Return a field with text."""
    return encode_chunk(field, text.encode())
