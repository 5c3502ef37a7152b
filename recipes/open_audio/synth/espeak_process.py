"""Speak with the library of espeak-ng in a process of its own, which begins in the same state for every recording.

The library keeps random numbers and the ends of sounds from one text to the next, so that what it says depends on what
it said before. This file is run as a program. It reads a request as JSON from its input, and writes a line of JSON and
then the samples, as 16-bit numbers of the machine.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import sys
from typing import Any

# Numbers of speak_lib.h, the header of the library.
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 1, 2, 0x8000
_CHARACTERS, _UTF8 = 1, 1
_END_OF_LIST, _PHONEME = 0, 7


class _Name(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Name),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def speak(library: Any, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """Speak the parts of a text.

    Args:
        request: ``voice``, ``parameters`` (pairs of espeak-ng's number of a parameter and its value), ``parts``.

    Returns:
        ``rate_hz``, ``data`` (folder of the voices), and ``events`` of each part: type, time in ms, name; and the
        samples of each part. Or an ``error``, and no samples.
    """
    samples: list[bytes] = []
    events: list[tuple[int, int, str]] = []

    @_Callback
    def take(sound: Any, count: int, given: Any) -> int:
        if sound and count > 0:
            samples.append(ctypes.string_at(sound, 2 * count))
        number = 0
        while given[number].type != _END_OF_LIST:
            event = given[number]
            events.append((event.type, event.audio_position, event.id.string.decode("utf-8", "ignore")))
            number += 1
        return 0

    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT)
    if rate_hz <= 0:
        return {"error": "espeak-ng cannot be started: its data are missing"}, []
    data = ctypes.c_char_p()
    library.espeak_Info.restype = ctypes.c_char_p
    library.espeak_Info(ctypes.byref(data))
    library.espeak_SetSynthCallback(take)
    answer: dict[str, Any] = {"rate_hz": rate_hz, "data": (data.value or b"").decode(), "events": []}
    if not request["parts"]:
        return answer, []
    if library.espeak_SetVoiceByName(request["voice"].encode()):
        return {"error": f"espeak-ng has no voice {request['voice']!r}"}, []
    for parameter, value in request["parameters"]:
        library.espeak_SetParameter(parameter, value, 0)
    parts = []
    for text in request["parts"]:
        samples.clear()
        events.clear()
        content = text.encode() + b"\0"
        if library.espeak_Synth(content, len(content), 0, _CHARACTERS, 0, _UTF8, None, None):
            return {"error": f"espeak-ng fails on {text!r:.100}"}, []
        # A name shares its place with numbers, which other events have there.
        answer["events"].append([(kind, ms, name if kind == _PHONEME else "") for kind, ms, name in events])
        parts.append(b"".join(samples))
    return answer, parts


def _main() -> int:
    request = json.load(sys.stdin)
    name = ctypes.util.find_library("espeak-ng")
    answer: dict[str, Any] = {"error": "espeak-ng is not installed"}
    parts: list[bytes] = []
    if name is not None:
        answer, parts = speak(ctypes.CDLL(name), request)
    answer["bytes"] = [len(part) for part in parts]
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + b"".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
