#!/usr/bin/env python3
"""Virtual numbers on a real SIP path: Kamailio with examples/gateway/kamailio.cfg, the gateway example, and sipp as
the carrier's phones on both sides.

    tests/sip/check.py PROGRAM [--keep DIRECTORY] [--only WORD]

PROGRAM is the built example `gateway`. Every SIP message that either side receives is searched for the other side's
number (leaks.py), Kamailio's and the gateway's logs for every number. At the end leaks are planted, by taking rules
out of kamailio.cfg one at a time, and each must be found.

Needs kamailio, kamailio-extra-modules, kamailio-json-modules and sip-tester of Debian. Everything runs on the
loopback interface, on ports that are free.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import json
import pathlib
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import urllib.parse
import xml.etree.ElementTree

import leaks
from bench import (
    ANY_MERCHANT, COURIER, CUSTOMER, LOOPBACK, MERCHANT, OTHER_CUSTOMER, PEOPLE, STRANGER, Bench, Failure, Gateway,
    Phone, final, first_line, free_port, in_use, received, require, sealed, stop, unnamed, until)
from scenarios import SDP, Callee, Caller

# The cases. Each says in its name what holds.


def a_courier_and_a_customer_reach_each_other(bench):
    number = bench.gateway.bind("order-1", "courier", "courier-1", COURIER, CUSTOMER)
    for caller, callee in ((CUSTOMER, COURIER), (COURIER, CUSTOMER)):
        # Whoever dialled hangs up; whoever was called does. Both change the call and send tones in between.
        bench.call(
            Caller(caller, number).invite().answered().wait(100).reinvite(2)
            .request("INFO", 3, body="Signal=5\nDuration=160\n", kind="application/dtmf-relay").bye(4),
            Callee(callee).rings().answers().hears("INVITE", SDP).hears("INFO").hears("BYE"),
            "whoever dialled hangs up")
        bench.call(
            Caller(caller, number).invite().answered().hears("INVITE", SDP).hears("BYE"),
            Callee(callee).rings().answers().wait(100).reinvite(11).bye(12),
            "whoever was called hangs up")
    return number


def what_the_callee_sees_is_the_virtual_number(bench):
    number = bench.gateway.bind("order-1", "courier", "courier-1", COURIER, CUSTOMER)
    _, came_in = bench.call(
        Caller(CUSTOMER, number, extra="Route: <sip:elsewhere.example;lr>\n").invite().answered().bye(2),
        Callee(COURIER).rings().answers().hears("BYE"), "a call")
    invite = came_in[0].decode()
    require("elsewhere" not in invite, "the caller's Route arrived")
    for header in ("From", "To", "Contact", "P-Asserted-Identity"):
        line = re.search(rf"(?m)^{header}: (.*)$", invite)
        require(line and number in line.group(1), f"{header} of the callee's INVITE does not show the virtual number")


def numbers_are_read_in_every_prefix_form(bench):
    number = bench.gateway.bind("order-1", "courier", "courier-1", COURIER, CUSTOMER)
    national = number.removeprefix("+86")
    for dialled, asserted in (("0086" + national, "0" + CUSTOMER[3:]), ("0" + national, "00" + CUSTOMER[1:])):
        bench.call(
            Caller(CUSTOMER, dialled, asserted=asserted).invite().answered().bye(2),
            Callee(COURIER).rings().answers().hears("BYE"), "another form of the number")


def who_calls_and_how_far_it_is_vouched_for_is_what_the_trunk_says(bench):
    number = bench.gateway.bind("order-19", "courier", "courier-19", COURIER, CUSTOMER)
    level, local = "Attestation-Info: A\n", CUSTOMER[3:]

    def verdict(verstat):
        return f"<sip:{CUSTOMER};verstat={verstat}@carrier.example;user=phone>"

    for asserted, extra, passes in (
        (verdict("TN-Validation-Passed"), "", True),
        (verdict("TN-Validation-Passed-A"), "", True),
        (verdict("TN-Validation-Passed"), level, True),
        (verdict("TN-Validation-Failed"), level, False),
        (verdict("No-TN-Validation"), level, False),
        (verdict("TN-Validation-Passed-C"), level, False),
        (f"<sip:{CUSTOMER}@carrier.example>", level + "Attestation-Info: C\n", False),
        (f"<sip:{CUSTOMER}@carrier.example>", "", False),
        (f"<tel:{local};phone-context=+86>", level, True),
        (f"<tel:{local};phone-context=+1>", level, False),
        (f"<sip:{local};phone-context=+1@carrier.example;user=phone>", level, False),
        (f"<sip:alice@ims.example>, <tel:{CUSTOMER}>", level, True),
        (f'"<tel:{CUSTOMER}>" <sip:{STRANGER}@carrier.example>', level, False),
        (f"<sip:{CUSTOMER}@carrier.example>, <tel:{STRANGER}>", level, False),
        (f"<sip:{CUSTOMER}@carrier.example>", level + "Privacy: none\nPrivacy: id\n", False),
        (f"<sip:{CUSTOMER}@carrier.example>", level + "Privacy: none\n", True),
    ):
        caller = Caller(CUSTOMER, number, asserted=None, attestation=None,
                        extra=f"P-Asserted-Identity: {asserted}\n{extra}")
        if passes:
            bench.call(caller.invite().answered().bye(2), Callee(COURIER).rings().answers().hears("BYE"), asserted + extra)
        else:
            bench.dial(caller.invite().refused(480), asserted + extra)


def what_a_type_says_besides_does_not_pass(bench):
    number = bench.gateway.bind("order-20", "courier", "courier-20", COURIER, CUSTOMER)
    bench.call(
        Caller(CUSTOMER, number, kind='application/sdp;x="138-1111-2222"').invite().answered().bye(2),
        Callee(COURIER).rings().answers().hears("BYE"), "a type with a parameter")
    # Of a body that does not pass nothing is left, its type neither; nor of one of a type that passes, if no line of it does.
    for kind, body in (('application/x-note;x="138-1111-2222"', "call {own}"), ("application/isup", "packed 31181111222"),
                       ('application/dtmf-relay;x="138-1111-2222"', "call {own}"), ("application/sdp", "i={own}"),
                       ("text/plain", "call {own}"), ("multipart/mixed;boundary=a", "--a\n\n{own}\n--a--")):
        _, came_in = bench.call(
            Caller(CUSTOMER, number).invite().answered().request("INFO", 2, body=body, kind=kind).bye(3),
            Callee(COURIER).rings().answers().hears("INFO").hears("BYE"), f"a body of {kind}")
        told = [message for message in came_in if message.startswith(b"INFO")]
        require(told and b"Content-Type" not in told[0] and told[0].endswith(b"\n\n"), f"of {kind} came {told}")


def a_body_whose_length_is_not_told_does_not_pass(bench):
    """Over UDP a body is what follows, whatever Content-Length says or if nothing does. The number is in it in forms that the last
    gate does not see."""
    number = bench.gateway.bind("order-32", "courier", "courier-32", COURIER, CUSTOMER)

    def untold(scenario, length):
        plain = re.compile("(?m)^(s=|i=|u=|e=|p=|a=ssrc:1|o=).*\n")
        scenario.steps = [plain.sub("", step.replace("Content-Length: [len]\n", length)) if "[len]" in step else step
                          for step in scenario.steps]
        return scenario

    for whose, length in (("reply", ""), ("reply", "Content-Length: 0\n"), ("request", ""), ("request", "Content-Length: 0\n")):
        calling, called = Caller(CUSTOMER, number).invite().ringing(), Callee(COURIER).rings().answers()
        callee = Phone(bench.kamailio, untold(called, length) if whose == "reply" else called, bench.kamailio.called)
        until(lambda: in_use(bench.kamailio.called), 30, "the called phone's port")
        caller = Phone(bench.kamailio, untold(calling, length) if whose == "request" else calling, bench.kamailio.calling,
                       f"{LOOPBACK}:{bench.kamailio.port}")
        time.sleep(1.5)
        stop(caller.process)
        stop(callee.process)
        at_caller, at_callee = received(caller.trace), received(callee.trace)
        bench.search(at_caller, [COURIER], f"a {whose} without its length, at the caller")
        bench.search(at_callee, [CUSTOMER], f"a {whose} without its length, at the callee")
        if whose == "reply":
            require(any(message.startswith(b"SIP/2.0 180 ") for message in at_caller), "it did not ring")
            require(not any(message.startswith(b"SIP/2.0 200 ") for message in at_caller), "such a reply passed")
        else:
            require(not at_callee, "such a request passed")


def a_party_whose_last_digits_are_the_numbers_is_called_like_others(bench):
    """The last gate looks for a hidden number whole, and not in the virtual one."""
    number = bench.gateway.bind("order-21", "courier", "courier-twin", COURIER, CUSTOMER)
    directory = bench.directory / "twin"
    directory.mkdir()
    # The same pool key: the same courier draws the same number.
    shutil.copy(bench.directory / "demonstration-pool-key", directory)
    twins = Bench(bench.program, directory)
    try:
        twin = "+861381" + number[-7:]
        again = twins.gateway.bind("order-1", "courier", "courier-twin", COURIER, twin)
        require(again == number, "another number was drawn")
        for caller, callee in ((twin, COURIER), (COURIER, twin)):
            twins.call(Caller(caller, number).invite().answered().bye(2),
                       Callee(callee).rings().answers().hears("BYE"), "a twin")
        bench.found += twins.found
    finally:
        twins.close()


def a_merchant_is_refused_until_a_ticket_opens_it(bench):
    number = bench.gateway.bind("order-2", "merchant", "merchant-1", MERCHANT, CUSTOMER)
    bench.call(
        Caller(CUSTOMER, number).invite().answered().bye(2),
        Callee(MERCHANT).rings().answers().hears("BYE"), "the customer calls the merchant")
    bench.dial(Caller(MERCHANT, number).invite().refused(480), "the merchant without a ticket")
    bench.gateway.tell("/ticket", merchant="merchant-1", order="order-2", seconds=600)
    bench.call(
        Caller(MERCHANT, number).invite().answered().bye(2),
        Callee(CUSTOMER).rings().answers().hears("BYE"), "the merchant with a ticket")


def every_refusal_is_the_same(bench):
    """Byte for byte but for Call-ID, tags and branches. The phones write the same From, so that nothing else of
    theirs differs, and the trunk asserts who they are."""
    live = bench.gateway.bind("order-3", "courier", "courier-3", COURIER, CUSTOMER)
    closed = bench.gateway.bind("order-4", "merchant", "merchant-4", MERCHANT, CUSTOMER)
    released = bench.gateway.bind("order-5", "courier", "courier-5", COURIER, CUSTOMER)
    bench.gateway.tell("/release", merchant=ANY_MERCHANT, order="order-5", leg="courier")
    killed = bench.gateway.bind("order-6", "merchant", "merchant-6", MERCHANT, CUSTOMER)
    bench.gateway.tell("/kill", merchant="merchant-6")
    expired = bench.gateway.bind("order-7", "courier", "courier-7", COURIER, CUSTOMER, seconds=1)
    time.sleep(1.1)
    unknown = live[:-4] + "%04d" % ((int(live[-4:]) + 5000) % 10000)
    cases = {
        "a stranger": (live, dict(asserted=STRANGER)),
        "an expired number": (expired, dict(asserted=CUSTOMER)),
        "a withheld caller": (live, dict(asserted=None)),
        "a caller who asks for privacy": (live, dict(asserted=CUSTOMER, extra="Privacy: id\n")),
        "a caller whom nobody vouches for": (live, dict(asserted=CUSTOMER, attestation=None)),
        "a caller whose verification failed": (live, dict(
            asserted=None, extra=f"P-Asserted-Identity: <sip:{CUSTOMER};verstat=TN-Validation-Failed@carrier.example>\n")),
        "a caller with the lowest attestation": (live, dict(asserted=CUSTOMER, attestation="C")),
        "a released number": (released, dict(asserted=CUSTOMER)),
        "a closed direction": (closed, dict(asserted=MERCHANT)),
        "a merchant who was cut off": (killed, dict(asserted=CUSTOMER)),
        "a number that serves nobody": (unknown, dict(asserted=CUSTOMER)),
        "a number that is no virtual number": ("+8613011110000", dict(asserted=CUSTOMER)),
        "a word instead of a number": ("operator", dict(asserted=CUSTOMER)),
        "a body that is not SDP": (live, dict(asserted=CUSTOMER, body="ISUP {own}", kind="application/isup")),
        "a quotation mark for a caller": (live, dict(asserted='138%22,%22x')),
    }
    answers = {}
    for what, (dialled, more) in cases.items():
        # Both parties' own To differs with what they dial; the caller knows what he dialled.
        port = free_port()
        messages = bench.dial(Caller("0", dialled, **more).invite().refused(480), what, port)
        require([first_line(message).split()[1] for message in messages] == ["100", "480"],
                f"{what} got {[first_line(message) for message in messages]}")
        reply = unnamed(final(messages))
        reply = reply.replace(dialled.encode(), b"DIALLED").replace(b":%d" % port, b":PORT")
        answers[what] = reply
    require(len(set(answers.values())) == 1, "the refusals differ:\n" + "\n".join(
        f"{what}: {reply!r}" for what, reply in answers.items()))


def a_merchant_is_cut_off_at_once(bench):
    number = bench.gateway.bind("order-8", "merchant", "merchant-8", MERCHANT, CUSTOMER)
    bench.call(
        Caller(CUSTOMER, number).invite().answered().bye(2),
        Callee(MERCHANT).rings().answers().hears("BYE"), "before")
    bench.gateway.tell("/kill", merchant="merchant-8")
    bench.dial(Caller(CUSTOMER, number).invite().refused(480), "after")


def a_call_ends_within_two_seconds_of_what_allowed_it(bench):
    """While they talk both sides get a BYE; while it rings the callee gets a CANCEL, and the caller the one refusal."""
    courier = dict(merchant=ANY_MERCHANT, leg="courier")
    for order in ("order-22", "order-23"):
        for rings in (False, True):
            name = order + ("r" if rings else "")
            number = bench.gateway.bind(name, "courier", "courier-" + name, COURIER, CUSTOMER)
            ended = []

            def end(name=name, what=order):
                time.sleep(1)
                if what == "order-22":
                    bench.gateway.tell("/release", order=name, **courier)
                else:
                    bench.gateway.tell("/close", merchant=ANY_MERCHANT, order=name)
                ended.append(time.monotonic())

            thread = threading.Thread(target=end)
            thread.start()
            if rings:
                bench.call(Caller(CUSTOMER, number).invite().refused(480), Callee(COURIER).rings().is_cancelled(), name)
            else:
                bench.call(Caller(CUSTOMER, number).invite().answered().hears("BYE"),
                           Callee(COURIER).rings().answers().hears("BYE"), name)
            over = time.monotonic()
            thread.join()
            require(over - ended[0] <= 2, f"{name}: over {over - ended[0]:.1f} s later")
    number = bench.gateway.bind("order-24", "merchant", "merchant-24", MERCHANT, CUSTOMER)
    bench.gateway.tell("/ticket", merchant="merchant-24", order="order-24", seconds=3)
    begun = time.monotonic()
    bench.call(Caller(MERCHANT, number).invite().answered().hears("BYE"),
               Callee(CUSTOMER).rings().answers().hears("BYE"), "a ticket that ends")
    require(time.monotonic() - begun <= 5, "a merchant's call went on beyond the ticket")
    thread = threading.Timer(1, lambda: bench.gateway.tell("/kill", merchant="merchant-24"))
    thread.start()
    bench.call(Caller(CUSTOMER, number).invite().answered().hears("BYE"),
               Callee(MERCHANT).rings().answers().hears("BYE"), "a merchant who is cut off")
    thread.join()


def replied(status, request):
    """A callee's reply to this request."""
    fields = [line for line in request.decode().split("\r\n") if line.split(":")[0] in ("Via", "From", "Call-ID", "CSeq")]
    to = re.search(r"(?m)^To: [^\r]*", request.decode()).group(0)
    return "\r\n".join([f"SIP/2.0 {status}", *fields, f"{to};tag=9", "Content-Length: 0", "", ""]).encode()


def a_text_arrives_once_and_nothing_else_of_it(bench):
    number = bench.gateway.bind("order-26", "courier", "courier-26", COURIER, CUSTOMER)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as callee:
        callee.bind((LOOPBACK, bench.kamailio.called))
        callee.settimeout(1)
        transactions = set()

        def arrived():
            with contextlib.suppress(TimeoutError):
                while True:
                    message, sender = callee.recvfrom(65535)
                    # One that was sent again before our answer came is the same.
                    branch = re.search(rb"branch=([^;\s]+)", message).group(1)
                    if branch not in transactions:
                        break
                transactions.add(branch)
                callee.sendto(replied("200 " + COURIER, message), sender)
                return message
            return None

        def sent(text, call_id, kind="text/plain", asserted=CUSTOMER):
            headers = (
                f"Via: SIP/2.0/UDP {LOOPBACK}:{{port}};branch=z9hG4bK{time.monotonic_ns()}\r\n"
                f"From: <sip:{CUSTOMER}@carrier.example>;tag=1\r\nTo: <sip:{number}@platform.example>\r\n"
                f"Call-ID: {call_id}\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nSubject: {CUSTOMER}\r\n"
                f"P-Asserted-Identity: <sip:{asserted}@carrier.example>\r\nAttestation-Info: A\r\n"
                f"Content-Type: {kind}\r\n")
            answer = bench.kamailio.send(f"MESSAGE sip:{number}@platform.example SIP/2.0", headers=headers, body=text)
            bench.search([answer], [COURIER], "a text, at the sender")
            return answer.split()[1].decode()

        text = "好" * 300
        require(sent(text, f"{CUSTOMER}-1") == "202", "a text was refused")
        message = arrived()
        require(message and message.decode().endswith(text), "the text did not arrive whole")
        bench.search([message], [CUSTOMER], "a text, at the callee")
        require(number.encode() in message, "it does not show the number")
        again = (sent(text, f"{CUSTOMER}-1"), arrived())
        require(again == ("202", None), f"a text arrived twice: {again}")
        for what, (words, more) in {"an opt-out": ("stop", {}), "more than a message can have": ("x" * 1301, {}), "a stranger": ("hello", {"asserted": STRANGER}),
                                    "parts of a text": ("x", {"kind": "application/vnd.3gpp.sms"})}.items():
            require(sent(words, what.replace(" ", ""), **more) == "480" and arrived() is None, what)


def what_a_network_plays_before_the_answer_is_stopped(bench):
    """A provisional reply arrives without its session, so that nobody hears the announcement; with site.cfg's other word it
    arrives with one, and the answer's session arrives either way."""
    def sessions(of):
        number = of.gateway.bind("order-30", "courier", "courier-30", COURIER, CUSTOMER)
        came_back, _ = of.call(
            Caller(CUSTOMER, number).invite().progressed().answered().bye(2),
            Callee(COURIER).plays().answers().hears("BYE"), "early media")
        return {status: any(b"m=audio" in message for message in came_back if message.startswith(f"SIP/2.0 {status} ".encode()))
                for status in (183, 200)}

    found = sessions(bench)
    require(found == {183: False, 200: True}, f"early media passed: {found}")
    directory = bench.directory / "early"
    directory.mkdir()
    passing = Bench(bench.program, directory, lambda text: text.replace("early_media=s:EARLY_MEDIA", "early_media=s:passed"))
    try:
        found = sessions(passing)
        require(found == {183: True, 200: True}, f"early media that was asked for did not pass: {found}")
        bench.found += passing.found
    finally:
        passing.close()


def a_phone_that_diverts_to_the_number_is_no_endless_loop(bench):
    """The trunk asserts whoever diverts, so X rings the other party, who diverts too: it ends at the number's calls at once. A trunk
    that asserts the number itself is refused at the first turn."""
    number = bench.gateway.bind("order-31", "courier", "courier-31", COURIER, CUSTOMER)

    def dials(asserted, wait=0.5):
        answer = bench.kamailio.send(
            f"INVITE sip:{number}@platform.example SIP/2.0",
            f"P-Asserted-Identity: <sip:{asserted}@carrier.example>\r\nAttestation-Info: A\r\n", wait=wait)
        return answer and int(answer.split()[1])

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as network:
        network.bind((LOOPBACK, bench.kamailio.called))
        network.settimeout(1)
        require(dials(number) == 480, "the number itself as its caller")
        require(dials(CUSTOMER) is None, "the customer's call was answered")
        rung, last, calls = [], None, {}
        with contextlib.suppress(TimeoutError):
            while len(rung) < 20:
                message, sender = network.recvfrom(65535)
                call = re.search(rb"(?m)^Call-ID: (.*)$", message).group(1)
                if message.startswith(b"INVITE") and call not in calls:
                    calls[call] = (message, sender)
                    rung.append(re.match(r"INVITE sip:([^@]*)@", message.decode()).group(1))
                    last = dials(rung[-1])
        for message, sender in calls.values():
            network.sendto(replied("486 Busy Here", message), sender)
        require((rung, last) == ([COURIER, CUSTOMER] * 2, 480), f"it rang {rung}, and then {last}")


def a_number_carries_few_calls_at_once(bench):
    number = bench.gateway.bind("order-25", "courier", "courier-25", COURIER, CUSTOMER)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as callee:
        callee.bind((LOOPBACK, bench.kamailio.called))
        callee.settimeout(1)
        for _ in range(12):
            bench.kamailio.send(f"INVITE sip:{number}@platform.example SIP/2.0",
                                f"P-Asserted-Identity: <sip:{CUSTOMER}@carrier.example>\r\nAttestation-Info: A\r\n", wait=0.02)
        calls = {}
        with contextlib.suppress(TimeoutError):
            while True:
                message, sender = callee.recvfrom(65535)
                if message.startswith(b"INVITE"):
                    calls[re.search(rb"(?m)^Call-ID: (.*)$", message).group(1)] = (message, sender)
        # Nobody is to be called again and again while the next case listens here.
        for message, sender in calls.values():
            callee.sendto(replied("486 Busy Here", message), sender)
        require(len(calls) == 4, f"{len(calls)} of 12 calls at once")


def a_call_ends_with_its_binding(bench):
    """However long it rang, and though a re-INVITE comes in between; both sides are told without a leak."""
    number = bench.gateway.bind("order-9", "courier", "courier-9", COURIER, CUSTOMER, seconds=5)
    begun = time.monotonic()
    came_back, came_in = bench.call(
        Caller(CUSTOMER, number).invite().answered().wait(500).reinvite(2).hears("BYE"),
        Callee(COURIER).rings(1500).answers().hears("INVITE", SDP).hears("BYE"), "a call across the end")
    lasted = time.monotonic() - begun
    require(3 <= lasted <= 6.5, f"a call over a binding of 5 s lasted {lasted:.1f} s")
    require(came_back[-1].startswith(b"BYE ") and came_in[-1].startswith(b"BYE "), "not both sides got a BYE")
    bench.dial(Caller(CUSTOMER, number).invite().refused(480), "after the end")
    number = bench.gateway.bind("order-17", "courier", "courier-17", COURIER, CUSTOMER, seconds=2)
    bench.call(
        Caller(CUSTOMER, number).invite().refused(480),
        Callee(COURIER).rings().is_cancelled(), "a phone that rings beyond the end")


def a_slow_answer_delays_no_other_call(bench):
    """One call waits, and more questions than Kamailio has processes (children=4); another call is answered at once."""
    slow = bench.gateway.bind("order-10", "courier", "courier-10", COURIER, CUSTOMER)
    fast = bench.gateway.bind("order-11", "courier", "courier-11", COURIER, OTHER_CUSTOMER)
    bench.gateway.tell("/delay", number=slow, milliseconds=1200)
    waiting = Phone(bench.kamailio, Caller(CUSTOMER, slow).invite().ringing().cancel(), bench.kamailio.calling,
                    f"{LOOPBACK}:{bench.kamailio.port}")
    slow_callee = Phone(bench.kamailio, Callee(COURIER).rings().is_cancelled(), bench.kamailio.called)
    until(lambda: waiting.trace.exists() and received(waiting.trace), 2, "100 Trying of the slow call")
    for _ in range(12):
        bench.kamailio.send(f"INVITE sip:{slow}@platform.example SIP/2.0",
                            f"P-Asserted-Identity: <sip:{STRANGER}@carrier.example>\r\nAttestation-Info: A\r\n", wait=0.01)
    # Refused, so that the slow call's own callee can have the port; the gateway is asked all the same.
    other = Phone(bench.kamailio, Caller(STRANGER, fast).invite().refused(480), free_port(),
                  f"{LOOPBACK}:{bench.kamailio.port}")
    other.finish("the other call")
    still_waiting = [first_line(message).split()[1] for message in received(waiting.trace)]
    waiting.finish("the slow call")
    slow_callee.finish("the slow call's callee")
    bench.gateway.tell("/delay", number=slow, milliseconds=0)
    require(still_waiting == ["100"], f"the slow call was not waiting any more: {still_waiting}")
    require(other.seconds < 1.0, f"the other call's answer took {other.seconds:.2f} s")
    bench.search(waiting.messages, [COURIER], "the slow call, at the caller")
    bench.search(slow_callee.messages, [CUSTOMER], "the slow call, at the callee")


def a_call_given_up_before_the_answer_reaches_nobody(bench):
    number = bench.gateway.bind("order-18", "courier", "courier-18", COURIER, CUSTOMER)
    bench.gateway.tell("/delay", number=number, milliseconds=600)
    callee = Phone(bench.kamailio, Callee(COURIER).rings(), bench.kamailio.called)
    try:
        bench.dial(Caller(CUSTOMER, number).invite().wait(200).cancel(), "a call given up")
        time.sleep(0.8)
    finally:
        stop(callee.process)
        bench.gateway.tell("/delay", number=number, milliseconds=0)
    require(not received(callee.trace), "the callee's phone rang")


def what_goes_wrong_at_the_callee_tells_nothing(bench):
    number = bench.gateway.bind("order-12", "courier", "courier-12", COURIER, CUSTOMER)
    for status, expected, extra in (
        (f"486 {COURIER} is busy", 486, ""),
        (f"603 {COURIER} declines", 480, ""),
        ("302 Moved", 480, f"Contact: <sip:{COURIER}@elsewhere.example>\n"),
        (f"404 No {COURIER} here", 480, f"Error-Info: <sip:{COURIER}@elsewhere.example>\n"),
    ):
        bench.call(
            Caller(CUSTOMER, number).invite().refused(expected),
            Callee(COURIER).rings().declines(status, extra), f"the callee's {status[:3]}")
    bench.call(
        Caller(CUSTOMER, number).invite().ringing().cancel(),
        Callee(COURIER).rings().is_cancelled(), "a call given up")


def within_a_call_only_its_own_requests_pass(bench):
    number = bench.gateway.bind("order-13", "courier", "courier-13", COURIER, CUSTOMER)
    bench.call(
        Caller(CUSTOMER, number).invite().answered().request("REFER", 2, code=405)
        .request("MESSAGE", 3, code=405, body="call me at {own}", kind="text/plain").bye(4),
        Callee(COURIER).rings().answers().hears("BYE"), "a transfer and a message")
    # Somebody who knows how such a request looks, and no call.
    route = f"Route: <sip:{LOOPBACK}:{bench.kamailio.port};lr;did=1a2.3b4>\r\nX: in-dialog\r\n"
    for method in ("BYE", "INVITE", "INFO"):
        answer = bench.kamailio.send(f"{method} sip:{COURIER}@{LOOPBACK}:{bench.kamailio.called} SIP/2.0", route)
        require(answer and b" 481 " in answer.split(b"\r\n")[0], f"a forged {method} got {answer}")


def a_late_reply_is_not_forwarded(bench):
    """A 200 repeated after its transaction ended would go where its second Via points, as it is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.bind((LOOPBACK, 0))
        caller.settimeout(1)
        headers = (
            f"Via: SIP/2.0/UDP {LOOPBACK}:{bench.kamailio.port};branch=z9hG4bKgone.0\r\n"
            f"Via: SIP/2.0/UDP {LOOPBACK}:{caller.getsockname()[1]};branch=z9hG4bKlate\r\n"
            "From: <sip:a@carrier.example>;tag=1\r\nTo: <sip:x@platform.example>;tag=2\r\n"
            f"Call-ID: late\r\nCSeq: 1 INVITE\r\nContact: <sip:{COURIER}@carrier.example>\r\n")
        bench.kamailio.send("SIP/2.0 200 OK", wait=0.3, headers=headers)
        try:
            arrived = caller.recv(65535)
        except TimeoutError:
            return
        raise Failure(f"a late reply arrived: {arrived[:80]}")


def what_a_proxy_cannot_rewrite_stops_the_call(bench):
    """Call-ID and tags belong to the phones. If one holds a hidden number the last gate sends nothing."""
    number = bench.gateway.bind("order-14", "courier", "courier-14", COURIER, CUSTOMER)
    callee = Phone(bench.kamailio, Callee(COURIER).rings(), bench.kamailio.called)
    for telling in (CUSTOMER, "138-1111-2222", "(138)1111.2222"):
        bench.dial(Caller(CUSTOMER, number, call_id=f"{telling}///[call_id]").invite().refused(480), "a telling Call-ID")
    stop(callee.process)
    require(not received(callee.trace), "the callee received a Call-ID with the caller's number")
    callee = Phone(bench.kamailio, Callee(COURIER, tag=f"{COURIER}").rings(), bench.kamailio.called)
    caller = Phone(bench.kamailio, Caller(CUSTOMER, number).invite().ringing(), bench.kamailio.calling,
                   f"{LOOPBACK}:{bench.kamailio.port}")
    until(lambda: "stopped" in bench.kamailio.log.read_text(), 3, "the last gate's line")
    time.sleep(0.3)
    stop(caller.process)
    stop(callee.process)
    bench.search(received(caller.trace), [COURIER], "a telling tag, at the caller")


def without_the_gateway_there_is_no_call(bench):
    """503 in bounded time while it hangs, at once when it is known to be silent or gone; and it recovers."""
    number = bench.gateway.bind("order-15", "courier", "courier-15", COURIER, CUSTOMER)

    def refused_within(least, most, what):
        phone = Phone(bench.kamailio, Caller(CUSTOMER, number).invite().refused(503), free_port(),
                      f"{LOOPBACK}:{bench.kamailio.port}")
        phone.finish(what)
        require(least <= phone.seconds <= most, f"{what}: 503 after {phone.seconds:.2f} s")
        bench.search(phone.messages, [COURIER], what)

    bench.gateway.process.send_signal(signal.SIGSTOP)
    refused_within(1.0, 3.0, "a gateway that hangs")
    time.sleep(4)
    refused_within(0.0, 0.8, "a gateway that has hung for a while")
    bench.gateway.process.send_signal(signal.SIGCONT)
    until(bench.settled, 8, "the gateway after its pause")
    bench.call(
        Caller(CUSTOMER, number).invite().answered().bye(2),
        Callee(COURIER).rings().answers().hears("BYE"), "after the pause")
    stop(bench.gateway.process)
    refused_within(0.0, 0.8, "a gateway that is gone")
    bench.gateway = Gateway(bench.program, bench.directory, bench.kamailio.evapi)
    bench.gateway.wait()
    until(bench.is_connected, 8, "the gateway after a restart")
    bench.call(
        Caller(CUSTOMER, number).invite().answered().bye(2),
        Callee(COURIER).rings().answers().hears("BYE"), "after a restart")


def a_number_comes_from_the_pool_that_is_named_or_its_fallback(bench):
    def bind(order, pool):
        return bench.gateway.bind(order, "courier", "courier-28", COURIER, CUSTOMER, pool=pool)

    numbers = [bind(f"order-28-{at}", "Beijing") for at in range(3)]
    # Two in a slice, and then the fallback's.
    require([number[:6] for number in numbers] == ["+86106", "+86106", "+86170"], f"{numbers}")
    bench.call(Caller(CUSTOMER, numbers[0]).invite().answered().bye(2),
               Callee(COURIER).rings().answers().hears("BYE"), "a number of a city")
    require(bind("order-29-1", "alone").startswith("+861068"), "another pool's number")
    for pool, code in (("alone", "pool_exhausted"), ("Shanghai", "unknown_pool")):
        try:
            raise AssertionError(bind(f"order-29-{pool}", pool))
        except Failure as failure:
            require(code in str(failure), f"{pool}: {failure}")


def said(link, message=None):
    """What comes on a link after this was said: its payloads, until it is closed or silent."""
    if message is not None:
        link.sendall(f"{len(message)}:{message},".encode())
    received = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while part := link.recv(65535):
            received += part
    return received.decode()


def whoever_has_not_the_secret_of_the_link_hears_no_caller(bench):
    """A process that opens evapi and speaks as the gateway does gets no question; one in Kamailio's place gets no answer."""
    number = bench.gateway.bind("order-27", "courier", "courier-27", COURIER, CUSTOMER)
    alive, nonce = json.dumps({"alive": True}), "ab" * 32
    for what in ("alive", "no proof", "another secret", "a proof of another challenge", "the proxy's own proof"):
        with socket.create_connection((LOOPBACK, bench.kamailio.evapi)) as link:
            link.settimeout(0.5)
            challenge = re.search("challenge=([0-9a-f]{64})", said(link)).group(1)
            proof = {"no proof": "", "another secret": sealed("gateway", challenge, nonce, "0" * 64),
                     "a proof of another challenge": sealed("gateway", nonce, nonce),
                     "the proxy's own proof": sealed("proxy", challenge, nonce)}.get(what)
            heard = said(link, alive if proof is None else json.dumps({"nonce": nonce, "proof": proof}))
            # It was closed; whatever is said all the same, the next call's question goes to the gateway.
            with contextlib.suppress(OSError):
                heard += said(link, alive)
            bench.call(Caller(CUSTOMER, number).invite().answered().bye(2),
                       Callee(COURIER).rings().answers().hears("BYE"), what)
            with contextlib.suppress(OSError):
                heard += said(link)
            require(heard == "", f"{what}: heard {heard[:80]}")
    with socket.create_server((LOOPBACK, 0)) as impostor:
        directory = bench.directory / "impostor"
        directory.mkdir()
        gateway = Gateway(bench.program, directory, impostor.getsockname()[1])
        try:
            link, _ = impostor.accept()
            with link:
                link.settimeout(0.5)
                heard = said(link, f"challenge={nonce}")
                require('"proof"' in heard, "no hello")
                theirs = re.search('"nonce":"([0-9a-f]{64})"', heard).group(1)
                wrong = sealed("proxy", nonce, theirs, "0" * 64)
                require(said(link, f"proof={wrong}") == "", "a proxy without the secret was spoken to")
                with contextlib.suppress(OSError):
                    require(said(link, "id=1:1&channel=voice") == "", "and was answered")
        finally:
            stop(gateway.process)


def other_switches_get_their_documents(bench):
    """HTTP: JSON, FreeSWITCH and TwiML are read by other parsers than ours; one refusal, and errors that say nothing."""
    number = bench.gateway.bind("order-16", "courier", "courier-16", COURIER, CUSTOMER)
    question = {"id": "q-1", "caller": CUSTOMER, "dialled": number, "channel": "voice", "attestation": "full",
                "trunk": "untrusted"}
    status, answer = bench.gateway.post("/route", json.dumps(question))
    answer = json.loads(answer)
    longest, call = answer.pop("max_duration", 0), answer.pop("call", "")
    require(re.fullmatch("[0-9a-f]{32}", call), "the call's name")
    require(status == 200 and 590 <= longest <= 600, f"{status}, at most {longest} s")
    require(answer == {"id": "q-1", "route": "connect", "callee": COURIER, "show": number}, "the answer in JSON")

    form = "application/x-www-form-urlencoded"
    hidden = {"Caller-Privacy-Hide-Number": "true"}
    for context in ("virtual", "<\"&'>\t\x01"):
        call = {"section": "dialplan", "Caller-Context": context, "Caller-Caller-ID-Number": CUSTOMER,
                "Caller-Destination-Number": number, "variable_attestation": "full"}
        for fields, expected in ((call, "bridge"), (call | hidden, "respond")):
            status, answer = bench.gateway.post("/freeswitch", urllib.parse.urlencode(fields), form)
            document = xml.etree.ElementTree.fromstring(answer)
            require(status == 200 and document.get("type") == "freeswitch/xml", "not FreeSWITCH's document")
            found = document.find("./section[@name='dialplan']/context")
            require(found.get("name") == context.replace("\x01", "\ufffd"), "another context came back")
            actions = [action.get("application") for action in found.findall("./extension/condition/action")]
            require(actions[-1] == "respond" and (expected in actions), f"{actions} without {expected}")
            require(("bridge" in actions) == (expected == "bridge"), "a refusal has a bridge")

    call = {"CallSid": "CA1", "From": CUSTOMER, "To": number, "StirVerstat": "TN-Validation-Passed-A"}
    _, answer = bench.gateway.post("/twilio/call", urllib.parse.urlencode(call), form)
    dial = xml.etree.ElementTree.fromstring(answer).find("Dial")
    require(dial.get("callerId") == number and dial.find("Number").text == COURIER, "TwiML for a call")
    text = "I'm <here> & \"there\"\n]]>"
    # As Twilio sends it: without a verdict.
    message = {"ToCountry": "CN", "SmsMessageSid": "SM1", "NumMedia": "0", "SmsSid": "SM1", "SmsStatus": "received",
               "Body": text, "FromCountry": "CN", "To": number, "NumSegments": "1", "MessageSid": "SM1",
               "AccountSid": "AC1", "From": CUSTOMER, "ApiVersion": "2010-04-01"}
    _, answer = bench.gateway.post("/twilio/message", urllib.parse.urlencode(message), form)
    passed = xml.etree.ElementTree.fromstring(answer).find("Message")
    require(passed.get("from") == number and passed.find("Body").text == text, "TwiML for a message")
    for what, change in (("again", {}), ("a picture", {"Body": "", "NumMedia": "1", "MessageSid": "SM2"}),
                         ("an opt-out", {"Body": "Stop", "MessageSid": "SM3"})):
        _, answer = bench.gateway.post("/twilio/message", urllib.parse.urlencode(message | change), form)
        require(len(xml.etree.ElementTree.fromstring(answer)) == 0, f"a message was sent: {what}")
    for length, status in ((1600, 200), (1601, 400)):
        answer = bench.gateway.post(
            "/twilio/message", urllib.parse.urlencode(message | {"Body": "好" * length, "MessageSid": f"SM{length}"}), form)
        require((answer[0], b"<Message" in answer[1]) == (status, status == 200), f"{length} characters: {answer[0]}")

    refusals = {
        path: {bench.gateway.post(path, encode(fields | change), kind)[1] for change in changes}
        for path, kind, encode, fields, changes in (
            ("/route", "application/json", json.dumps, question,
             ({"caller": STRANGER}, {"caller": None}, {"attestation": "none"}, {"dialled": "operator"})),
            ("/twilio/call", form, urllib.parse.urlencode, call,
             ({"From": STRANGER}, {"From": "anonymous"}, {"StirVerstat": ""}, {"To": "operator"})),
        )
    }
    for path, answers in refusals.items():
        require(len(answers) == 1, f"{path} has {len(answers)} refusals")
    for path, body, expected in (
        ("/route", "", 400), ("/route", json.dumps(CUSTOMER), 400), ("/route", json.dumps(question | {"more": CUSTOMER}), 400),
        ("/route", " " * 1025, 413), ("/freeswitch", "", 400), ("/twilio/call", urllib.parse.urlencode(message), 400),
    ):
        status, answer = bench.gateway.post(path, body)
        require(status == expected and not leaks.find(answer, CUSTOMER), f"{path} answered {status} to what it cannot read")


def whoever_connects_and_says_nothing_is_cut_off(bench):
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection((LOOPBACK, bench.gateway.http))) for _ in range(50)]
        idle[0].sendall(b"POST /route HTTP/1.1\r\nHost:")
        time.sleep(3)
        for connection in idle:
            connection.settimeout(0.5)
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(4096):
                    pass
    require(bench.gateway.is_healthy(), "the gateway does not answer")


def no_log_has_a_number(bench):
    for log in (bench.kamailio.log, bench.gateway.log):
        text = log.read_bytes()
        for number in PEOPLE:
            require(not leaks.find(text, number), f"{log.name} has a number in it")


def the_search_sees_through_encodings(_):
    digits, address = CUSTOMER[1:], "sip:+8617000000001@platform.example"
    secret = f"sip:{CUSTOMER}@carrier.example"
    xored = bytes(a ^ b for a, b in zip(secret.encode(), address.encode()))
    for hidden in (
        CUSTOMER, "0138 1111 2222", "(0138) 1111-2222", digits[::-1], leaks.swapped(digits), digits.encode().hex(),
        urllib.parse.quote(digits).replace("1", "%31"), base64.b64encode(secret.encode()).decode(),
        "x" + base64.b64encode(secret.encode()).decode(), base64.urlsafe_b64encode(xored).decode().rstrip("="),
        base64.b64encode(xored).decode().replace("=", "-"), xored.hex(),
    ):
        message = f"INVITE {address} SIP/2.0\r\nRecord-Route: <sip:proxy.example;lr;p={hidden}>\r\n\r\n"
        require(leaks.find(message.encode(), CUSTOMER), f"not found: {hidden}")
        require(not leaks.find(message.encode(), STRANGER), f"found what is not there: {hidden}")


CASES = [
    the_search_sees_through_encodings,
    a_courier_and_a_customer_reach_each_other,
    what_the_callee_sees_is_the_virtual_number,
    numbers_are_read_in_every_prefix_form,
    who_calls_and_how_far_it_is_vouched_for_is_what_the_trunk_says,
    what_a_type_says_besides_does_not_pass,
    a_body_whose_length_is_not_told_does_not_pass,
    a_party_whose_last_digits_are_the_numbers_is_called_like_others,
    a_merchant_is_refused_until_a_ticket_opens_it,
    every_refusal_is_the_same,
    a_merchant_is_cut_off_at_once,
    a_call_ends_with_its_binding,
    a_call_ends_within_two_seconds_of_what_allowed_it,
    what_a_network_plays_before_the_answer_is_stopped,
    a_number_carries_few_calls_at_once,
    a_phone_that_diverts_to_the_number_is_no_endless_loop,
    a_text_arrives_once_and_nothing_else_of_it,
    a_slow_answer_delays_no_other_call,
    a_call_given_up_before_the_answer_reaches_nobody,
    what_goes_wrong_at_the_callee_tells_nothing,
    within_a_call_only_its_own_requests_pass,
    a_late_reply_is_not_forwarded,
    what_a_proxy_cannot_rewrite_stops_the_call,
    other_switches_get_their_documents,
    whoever_connects_and_says_nothing_is_cut_off,
    a_number_comes_from_the_pool_that_is_named_or_its_fallback,
    whoever_has_not_the_secret_of_the_link_hears_no_caller,
    without_the_gateway_there_is_no_call,
    no_log_has_a_number,
]

# Rules of kamailio.cfg to take out, one at a time: text and what stands for it. The last gate is open for all of
# them, or it would hide that they are needed.
GATE = ("    if ($var(sent) =~ $var(hidden)) {", "    if (0) {")
PLANTED = {
    "the numbers travel in Record-Route parameters": [('"restore_dlg", 1', '"restore_dlg", 0')],
    "Contact passes": [('    if (is_present_hf("Contact")) {', "    if (0) {")],
    "headers pass that nobody named": [('    keep_hf("', '    if (0) keep_hf("')],
    "the session's owner passes": [('            $var(line) = "o=- " +', '            if (0) $var(line) = "o=- " +')],
    "the session's name passes": [('            $var(line) = "s=-";', "            $var(line) = $var(line);")],
    "the session's lines pass that nobody named": [('            $var(line) = "";\n', "            $var(line) = $var(line);\n")],
    "the session's type passes with its parameters": [
        ('set_body("$var(passed)", "application/sdp")', 'set_body("$var(passed)", "$cT")')],
    "values of named headers pass": [
        ('    if (!($hdr(Session-Expires) =~', "    if (0 && !($hdr(Session-Expires) =~")],
    "From stays": [("    uac_replace_from(", "    if (0) uac_replace_from(")],
    "To's display name stays": [("    uac_replace_to(", "    if (0) uac_replace_to(")],
    "reason phrases pass": [('change_reply_status("$rs", "OK")', "$var(nothing) = 0")],
    "the BYE at the end has the first From": [('        subst_hf("From"', '        if (0) subst_hf("From"')],
}


def planted(program, directory, name, changes):
    """What the search finds once a rule is taken out. Calls may fail over it; finding nothing is the failure."""

    def change(text):
        for old, new in [*changes, GATE]:
            require(text.count(old) == 1, f"{name}: kamailio.cfg has {text.count(old)} times: {old}")
            text = text.replace(old, new)
        return text

    bench = Bench(program, directory, change)
    try:
        number = bench.gateway.bind("order-1", "courier", "courier-1", COURIER, CUSTOMER,
                                    seconds=2 if "end" in name else 600)
        if "end" in name:
            bench.call(
                Caller(CUSTOMER, number).invite().answered().hears("BYE"),
                Callee(COURIER).rings().answers().hears("BYE"), "planted", must_end_well=False)
        else:
            typed = 'application/sdp;x="138-1111-2222"'
            bench.call(
                Caller(CUSTOMER, number, kind=typed).invite().answered().bye(2),
                Callee(COURIER).rings().answers().hears("BYE"), "planted", must_end_well=False)
        return bench.found
    finally:
        bench.close()


def outcome_of(program, directory, named):
    """Whether a planted leak was found, in how many seconds, and a line about it."""
    begun = time.monotonic()
    directory.mkdir()
    try:
        found = planted(program, directory, *named)
        outcome = f"found: {found[0]}" if found else "NOT FOUND"
    except Failure as failure:
        found, outcome = [], f"FAILED\n{failure}"
    return bool(found), time.monotonic() - begun, outcome


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("program", help="the built example `gateway`")
    arguments.add_argument("--keep", type=pathlib.Path, help="leave configurations, traces and logs in this directory")
    arguments.add_argument("--only", default="", help="cases and planted leaks whose name has this in it")
    given = arguments.parse_args()
    failed = 0
    with contextlib.ExitStack() as stack:
        directory = given.keep or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "cases").mkdir(parents=True)
        started = time.monotonic()
        bench = Bench(given.program, directory / "cases")
        stack.callback(bench.close)
        for case in CASES:
            name = case.__name__.replace("_", " ")
            if given.only not in name:
                continue
            begun = time.monotonic()
            try:
                case(bench)
                outcome = "ok"
            except Failure as failure:
                outcome = f"FAILED\n{failure}"
                failed += 1
            for line in bench.found:
                outcome += f"\nLEAK {line}"
            failed += len(bench.found)
            bench.found = []
            print(f"{name:<60} {time.monotonic() - begun:5.1f} s  {outcome}", flush=True)
        bench.close()
        chosen = {name: changes for name, changes in PLANTED.items() if given.only in name}
        with concurrent.futures.ThreadPoolExecutor(4) as several:
            outcomes = several.map(
                lambda at: outcome_of(given.program, directory / f"planted-{at[0]}", at[1]), enumerate(chosen.items()))
            for name, (is_found, seconds, outcome) in zip(chosen, outcomes):
                failed += not is_found
                print(f"planted: {name:<51} {seconds:5.1f} s  {outcome}", flush=True)
        print(f"{bench.messages} messages searched, {failed} failures, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
