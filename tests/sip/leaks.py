"""Whether a number can be found in a SIP message, as it stands or behind an encoding that anybody undoes.

What is looked for are the last eight digits: they are the same in +86.., 0086.. and national form.
"""

import base64
import re
import urllib.parse

_URI = re.compile(rb"(?:sips?|tel):[^>;,\s\"]+")
_RUN = re.compile(rb"[A-Za-z0-9+/_=.\-]{8,}")
_HEXADECIMAL = re.compile(rb"(?:[0-9A-Fa-f]{2}){4,}")


def swapped(digits):
    """Telephony's packed form (TBCD): two digits an octet, the first one low."""
    padded = digits + "f" * (len(digits) % 2)
    return "".join(padded[i + 1] + padded[i] for i in range(0, len(padded), 2))


def _decoded(run):
    """What base64 makes of a run of letters, wherever in it the encoding began; alphabets and padding as they come."""
    plain = run.replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=+.")
    stock = run.rstrip(b"=-.").replace(b"-", b"+").replace(b"_", b"/")
    for text in {plain, stock}:
        for start in range(min(4, len(text))):
            part = re.sub(rb"[^A-Za-z0-9+/]", b"", text[start:])
            part = part[: len(part) // 4 * 4] if len(part) % 4 == 1 else part + b"=" * (-len(part) % 4)
            try:
                yield base64.b64decode(part)
            except ValueError:
                continue


def _xored(data, key):
    return bytes(byte ^ key[i] if i < len(key) else byte for i, byte in enumerate(data))


def _views(line, addresses):
    yield "as it stands", line
    yield "without separators", re.sub(rb"[ .()\-]", b"", line)
    yield "behind percent signs", urllib.parse.unquote_to_bytes(line)
    hidden = [("in base64", data) for run in set(_RUN.findall(line)) for data in _decoded(run)]
    hidden += [("in hexadecimal", bytes.fromhex(run.decode())) for run in set(_HEXADECIMAL.findall(line))]
    for how, data in hidden:
        yield how, data
        for address in addresses:
            yield how + ", XORed with an address of the message", _xored(data, address)


def find(message, number):
    """Where `number` is found in the bytes of `message`: a line for each of its lines that has it, none if none."""
    digits = re.sub(r"\D", "", number)
    tail = digits[-8:].encode()
    needles = {tail, tail[::-1]}
    needles |= {swapped(form).encode() for form in (digits, digits[2:], "0" + digits[2:])}
    # Whoever receives a message knows every address in it, so a parameter XORed with one hides nothing.
    addresses = set(_URI.findall(message))
    found = []
    for line in message.splitlines():
        for how, view in _views(line, addresses):
            if any(needle in view.lower() for needle in needles):
                found.append(f"{line[:100].decode(errors='replace')}   [{how}]")
                break
    return found
