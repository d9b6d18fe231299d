"""The device in Python, called line by line: see remote.mjs."""

import json
import sys
import time

import unjoin

OBJECTS = {}


def object_of(value, **more):
    number = len(OBJECTS) + 1
    OBJECTS[number] = value
    return {"object": [type(value).__name__, number], **more}


def word(value):
    """An enum's name, as the package for browsers has it."""
    return value.name.lower().replace("_", "-")


def data(value):
    return {"hex": value.hex()}


def optional(value, shown=lambda value: value):
    return None if value is None else shown(value)


def action(value):
    shown = {"number": value.number, "at": value.at}
    if value.request is not None:
        shown["request"] = {"carriesAccount": value.carries_account, **request(value.request)}
    return shown


def request(value):
    if value.is_nonce():
        return {"kind": "nonce"}
    if value.is_enrol():
        return {"kind": "enrol", "nonce": data(value.nonce), "enrolment": data(value.enrolment)}
    if value.is_offer():
        return {"kind": "offer", "merchant": value.merchant, "handle": value.handle}
    if value.is_grant():
        return {"kind": "grant", "request": data(value.request)}
    if value.is_manifests():
        return {"kind": "manifests", "since": value.since}
    if value.is_published():
        return {"kind": "published", "boundary": value.boundary, "merchant": value.merchant}
    return {"kind": "door", "message": data(value.message)}


def status(value):
    return {
        "handle": value.handle, "stage": word(value.stage), "at": value.at,
        "words": value.words, "wordsZh": value.words_zh,
        "stars": value.stars, "text": value.text, "receipt": optional(value.receipt, data),
        "promise": optional(value.promise, word),
        "promiseWords": value.promise_words, "promiseWordsZh": value.promise_words_zh,
    }


def draft(value):
    warnings = [{"kind": word(w.kind), "start": w.start, "end": w.end, "passage": w.passage} for w in value.warnings]
    return {"warnings": warnings, "crowd": value.crowd, "appears": value.appears}


def bundle(value):
    return {"manifests": list(map(data, value.manifests)), "keys": list(map(data, value.keys)), "others": list(map(data, value.others))}


def raw(text):
    return b"" if text == "-" else bytes.fromhex(text)


def string(text):
    return raw(text).decode()


def items(read):
    return lambda text: [read(item) for item in text[1:].split(",") if item]


def thing(text):
    return OBJECTS[int(text[1:])]


def answer(value):
    return {"status": value.status, "body": data(value.body), "message": data(value.message)}


GRIDS = {"daily": unjoin.Grid.DAILY, "weekly": unjoin.Grid.WEEKLY}
Device, Door, Trust = unjoin.Device, unjoin.Door, unjoin.Trust
# What each call takes, what it calls, and how its answer is shown.
CALLS = {
    "Trust.new": ([string, int, lambda text: GRIDS[string(text)]], Trust, object_of),
    "Trust.pinTrustees": ([thing, items(string), int], Trust.pin_trustees, None),
    "Trust.pinIssuerKey": ([thing, string, raw], Trust.pin_issuer_key, None),
    "Trust.pinLedger": ([thing, string, items(string), int, int, int], Trust.pin_ledger, None),
    "Trust.requireLedger": ([thing], Trust.require_ledger, None),
    "Device.create": ([raw, string, string, thing], Device.create, object_of),
    "Device.restore": ([raw, string, string, thing], Device.restore, object_of),
    "Device.restoreBackup": ([raw, string, string, string, thing], Device.restore_backup, object_of),
    "Device.restoreCode": ([string, string, string, thing], Device.restore_code, object_of),
    "Device.open": ([raw, raw, thing], Device.open, object_of),
    "Device.seal": ([thing, raw], Device.seal, data),
    "Device.backUp": ([thing, string], Device.back_up, data),
    "Device.recoveryCode": ([thing], Device.recovery_code, str),
    "Device.accountUsed": ([thing, int], Device.account_used, None),
    "Device.orderEligible": ([thing, string, string, int], Device.order_eligible, None),
    "Device.forget": ([thing, string], Device.forget, None),
    "Device.next": ([thing, int], Device.next, lambda value: list(map(action, value))),
    "Device.handle": ([thing, int, raw, int], Device.handle, None),
    "Device.handleManifests": ([thing, int, items(raw), int], Device.handle_manifests, None),
    "Device.handlePublished": ([thing, int, items(raw), int], Device.handle_published, None),
    "Device.handleRefused": ([thing, int, string, int], Device.handle_refused, None),
    "Device.handleLost": ([thing, int, int], Device.handle_lost, None),
    "Device.draftReview": ([thing, string, int, string, items(string), int], Device.draft_review, draft),
    "Device.writeReview": ([thing, string, int, string, int], Device.write_review, None),
    "Device.editReview": ([thing, string, int, string, int], Device.edit_review, None),
    "Device.withdrawReview": ([thing, string, int], Device.withdraw_review, None),
    "Device.reviews": ([thing, int], Device.reviews, lambda value: list(map(status, value))),
    "Door.new": ([thing, string], Door, object_of),
    "Door.pin": ([thing, raw], Door.pin, None),
    "Door.admit": ([thing, raw, int], Door.admit, None),
    "Door.entries": ([thing], Door.entries, lambda value: list(map(data, value))),
    "Door.shardBits": ([thing, int], Door.shard_bits, int),
    "Door.seal": ([thing, raw, int], Door.seal, lambda value: object_of(value, body=data(value.body()))),
    "SealedQuestion.open": ([thing, raw], unjoin.SealedQuestion.open, answer),
    "bundleQuestion": ([int, int, int], unjoin.bundle_question, data),
    "shardOfMerchant": ([string, int], unjoin.shard_of_merchant, int),
    "piecesOfBundle": ([raw], unjoin.pieces_of_bundle, int),
    "joinBundle": ([items(raw)], unjoin.join_bundle, bundle),
}


def run(method, given):
    if method.endswith(".free"):
        OBJECTS[int(given[0][1:])] = None
        return None, 0
    reads, call, shown = CALLS[method]
    arguments = [read(text) for read, text in zip(reads, given, strict=True)]
    begun = time.perf_counter_ns()
    value = call(*arguments)
    took = time.perf_counter_ns() - begun
    return (None if shown is None else shown(value)), took


for line in sys.stdin:
    method, *given = line.split()
    try:
        value, took = run(method, given)
        said = {"ok": value, "ns": took}
    except unjoin.UnjoinError.Refused as error:
        said = {"error": {"code": error.code, "retryable": error.retryable, "reason": error.reason}}
    except Exception as error:  # what is no error of the package's
        said = {"trap": f"{type(error).__name__}: {error}"}
    print(json.dumps(said), flush=True)
