"""Writes manifests.json: cohort manifests (kinds 10 and 11), from the protocol's text alone.

It shares nothing with the Rust code, and runs with Python's standard library:

    python3 tests/vectors/manifests.py > tests/vectors/manifests.json
"""

import hashlib
import json

# RFC 8032, section 5.1: Ed25519.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
BASE_Y = 4 * pow(5, P - 2, P) % P


def recover_x(y, sign):
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert (x * x - square) % P == 0
    return P - x if x & 1 != sign else x


BASE = (recover_x(BASE_Y, 0), BASE_Y)


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, P - 2, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, P - 2, P) % P
    return x, y


def multiply(scalar, point):
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def encode_point(point):
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def secret_scalar(seed):
    wide = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(wide[:32], "little")
    return scalar & (1 << 254) - 8 | 1 << 254, wide[32:]


def public_key(seed):
    return encode_point(multiply(secret_scalar(seed)[0], BASE))


def challenge(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L


def sign(seed, message):
    scalar, prefix = secret_scalar(seed)
    nonce = challenge(prefix, message)
    point = encode_point(multiply(nonce, BASE))
    answer = (nonce + challenge(point, public_key(seed), message) * scalar) % L
    return point + answer.to_bytes(32, "little")


# The protocol.
def le(number, length):
    return number.to_bytes(length, "little")


def frame(part):
    return le(len(part), 8) + part


def signed_bytes(message, label="manifest"):
    return frame(b"unjoin/v1") + frame(label.encode()) + frame(message)


DAY = 86_400
MONDAY = 19_723 * DAY  # 2024-01-01T00:00:00Z
SEED = bytes(range(32))


def body(case, count=None):
    merchant = case["merchant"]
    scope = case["key_id"] + le(len(merchant), 2) + merchant + le(case["cohort"], 8)
    dates = case["publications"]
    count = len(dates) if count is None else count
    dates = b"".join(le(date, 8) for date in dates)
    return scope + case["escrow_id"] + le(case["at_least"], 4) + le(count, 1) + dates


def manifest(case, version=1, kind=10, **other):
    return bytes([version, kind]) + body(case, **other)


def signed(case, seed=SEED, label="manifest", version=1, kind=11, **other):
    signature = sign(seed, signed_bytes(manifest(case, **other), label))
    return bytes([version, kind]) + body(case, **other) + signature


def case(merchant, cohort, at_least, publications, number):
    digest = lambda what: hashlib.sha256(f"{what} {number}".encode()).digest()
    return {
        "merchant": merchant,
        "cohort": cohort,
        "at_least": at_least,
        "publications": publications,
        "key_id": digest("key id"),
        "escrow_id": digest("escrow id"),
    }


def rule(first):
    return [first + days * DAY for days in (0, 7, 28, 56)]


CASES = [
    case(b"lamps.example", 0x5EED, 10, rule(MONDAY), 0),
    case(b"m", 0, 1, rule(MONDAY + DAY), 1),
    case(bytes(range(64)), 2**64 - 1, 2**32 - 1, rule(MONDAY)[:3], 2),
    case("Bäckerei".encode(), 7, 20, rule(MONDAY)[:2], 3),
    case(b"\0", 1, 10, [MONDAY], 4),
    # Any rising dates are read; whether they lie on a grid is for those who know the grid.
    case(b"edges", 1, 10, [0, 1, 2**63, 2**64 - 1], 5),
]


def refused():
    good = CASES[0]
    change = lambda **fields: {**good, **fields}
    first, second, third, fourth = good["publications"]
    dates = {
        "no publication": [],
        "five publications": good["publications"] + [fourth + DAY],
        "two publications at once": [first, first],
        "three, the last two at once": [first, second, second],
        "falling": [second, first],
        "the last before the first": [second, third, fourth, first],
    }
    bad = [(reason, change(publications=dates), {}) for reason, dates in dates.items()]
    bad += [
        ("promises nobody", change(at_least=0), {}),
        ("an empty merchant", change(merchant=b""), {}),
        ("a merchant of 65 bytes", change(merchant=b"m" * 65), {}),
        ("more publications counted than there are", good, {"count": 5}),
        ("fewer publications counted than there are", good, {"count": 3}),
        ("a count of 255", good, {"count": 255}),
        ("a count of nothing before four publications", good, {"count": 0}),
    ]
    for reason, fields, other in bad:
        yield reason, 10, "parse", manifest(fields, **other)
        yield reason, 11, "parse", signed(fields, **other)
    for kind, wire in ((10, manifest(good)), (11, signed(good))):
        yield "the last byte is missing", kind, "parse", wire[:-1]
        yield "a byte follows", kind, "parse", wire + b"\0"
        yield "only version and kind", kind, "parse", wire[:2]
        yield "another version", kind, "parse", b"\2" + wire[1:]
        yield "another kind", kind, "parse", bytes([1, 21 - kind]) + wire[2:]
    yield "another key's signature", 11, "verify", signed(good, seed=bytes(32))
    yield "signed as a receipt", 11, "verify", signed(good, label="receipt")
    yield "signed without the frames", 11, "verify", signed(good)[:-64] + sign(SEED, manifest(good))
    yield "the signature of another manifest", 11, "verify", signed(good)[:-64] + signed(CASES[1])[-64:]
    yield "signed with its kind", 11, "verify", signed(good)[:-64] + sign(SEED, signed_bytes(signed(good)[:-64]))
    late = signed(change(publications=rule(MONDAY + DAY)))
    yield "a day later than what was signed", 11, "verify", late[:-64] + signed(good)[-64:]
    more = int.from_bytes(signed(good)[-32:], "little") + L
    yield "S is not reduced", 11, "verify", signed(good)[:-32] + le(more, 32)


def hexed(case):
    return {key: value.hex() if isinstance(value, bytes) else value for key, value in case.items()}


def main():
    # RFC 8032, 7.1, TEST 1: the signatures here are the standard's.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert sign(seed, b"").hex().startswith("e5564300c360ac729086e2cc806e828a")
    manifests = [
        {
            **hexed(case),
            "cohort": str(case["cohort"]),
            "publications": [str(date) for date in case["publications"]],
            "wire": manifest(case).hex(),
            "signed": signed_bytes(manifest(case)).hex(),
            "signed_wire": signed(case).hex(),
        }
        for case in CASES
    ]
    negative = [
        {"id": f"manifest-{number}", "kind": kind, "reason": reason, "stage": stage, "wire": wire.hex()}
        for number, (reason, kind, stage, wire) in enumerate(refused(), 1)
    ]
    keys = {"platform_seed": SEED.hex(), "platform_key": public_key(SEED).hex()}
    file = {"protocol": "unjoin/v1", **keys, "manifests": manifests, "negative": negative}
    print(json.dumps(file, indent=1, ensure_ascii=True))


main()
