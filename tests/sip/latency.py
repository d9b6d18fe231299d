#!/usr/bin/env python3
"""How long the gateway takes to answer questions that come at a steady rate through evapi, as Kamailio asks them.

    tests/sip/latency.py PROGRAM [--rate CALLS] [--seconds SECONDS] [--p99 MILLISECONDS]

PROGRAM is the example `gateway`, built with --release. This program stands where Kamailio does: it takes the gateway's connection, sends
one question after the other at their times, whether the answers before came or not, and says of each call that was put through
that it has ended. One question in four is a stranger's. With --p99 it fails when the 99th percentile is above.
"""

import argparse
import json
import os
import pathlib
import selectors
import socket
import sys
import tempfile
import time

from bench import LOOPBACK, STRANGER, Failure, Gateway, require, sealed, stop

# A leg has at most 60 calls an hour, so the calls are spread.
CALLS_OF_A_LEG = 40
CHALLENGE = "ab" * 32


def netstring(payload):
    return b"%d:%s," % (len(payload), payload)


def question(number, caller, dialled):
    def coded(text):
        return text.encode().hex()

    return netstring(
        f"id={number}:1&channel=voice&trunk=untrusted&passed=full&private=withheld"
        f"&dialled={coded(f'sip:{dialled}@platform.example')}&asserted={coded(f'<sip:{caller}@carrier.example>')}"
        f"&from={coded('<sip:anonymous@carrier.example>')}&attestation={coded('A')}&privacy=".encode())


class Switch:
    """Kamailio's end of the connection."""

    def __init__(self, connection):
        self.connection = connection
        self.buffer = b""
        self.selector = selectors.DefaultSelector()
        connection.setblocking(False)
        self.selector.register(connection, selectors.EVENT_READ)
        self.answers = {}
        self.connected = 0

    def send(self, message):
        sent = self.connection.send(message)
        require(sent == len(message), "the gateway does not read")

    def hear(self, seconds):
        if not self.selector.select(max(seconds, 0)):
            return
        now = time.perf_counter()
        received = self.connection.recv(1 << 20)
        require(received, "the gateway hung up")
        self.buffer += received
        while b":" in self.buffer:
            length, _, rest = self.buffer.partition(b":")
            end = int(length)
            if len(rest) <= end:
                break
            payload, self.buffer = rest[:end], rest[end + 1:]
            answer = json.loads(payload)
            if "id" in answer:
                self.answers[int(answer["id"].split(":")[0])] = now
                if answer["route"] == "connect":
                    self.connected += 1
                    self.send(netstring(f"call={answer['call']}&progress=ended&status=487".encode()))
            elif "nonce" in answer:
                self.send(netstring(f"proof={sealed('proxy', CHALLENGE, answer['nonce'])}".encode()))
            elif "alive" in answer:
                self.send(netstring(b'{"alive":true}'))


def measure(program, directory, rate, seconds):
    with socket.create_server((LOOPBACK, 0)) as server:
        gateway = Gateway(program, directory, server.getsockname()[1])
        try:
            gateway.wait()
            legs = max(1, rate * seconds // CALLS_OF_A_LEG)
            callers = [f"+8613811{leg:06}" for leg in range(legs)]
            numbers = [gateway.bind(f"order-{leg}", "courier", f"courier-{leg}", f"+8613933{leg:06}", caller)
                       for leg, caller in enumerate(callers)]
            # Binding took its time: this connection is given up, and the gateway makes another.
            server.settimeout(5)
            while True:
                connection, _ = server.accept()
                # A question leaves at its time, whether the one before was acknowledged or not.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                switch = Switch(connection)
                try:
                    switch.send(netstring(f"challenge={CHALLENGE}".encode()))
                    began = time.perf_counter()
                    while time.perf_counter() - began < 2:
                        switch.hear(0.2)
                    break
                except (Failure, OSError):
                    connection.close()
            asked = {}
            start = time.perf_counter()
            for at in range(rate * seconds):
                due = start + at / rate
                while (left := due - time.perf_counter()) > 0:
                    switch.hear(left)
                leg = at % legs
                # From when it should have been asked: waiting here counts.
                asked[at] = due
                switch.send(question(at, STRANGER if at % 4 == 3 else callers[leg], numbers[leg]))
            end = time.perf_counter() + 2
            while len(switch.answers) < len(asked) and time.perf_counter() < end:
                switch.hear(0.1)
            connection.close()
        finally:
            stop(gateway.process)
    times = sorted((switch.answers[at] - due) * 1000 for at, due in asked.items() if at in switch.answers)
    require(times, "no answer at all")
    return times, len(asked), switch.connected


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("program", help="the built example `gateway`")
    arguments.add_argument("--rate", type=int, default=1000, help="questions a second")
    arguments.add_argument("--seconds", type=int, default=20)
    arguments.add_argument("--p99", type=float, help="fail above so many milliseconds")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        times, asked, connected = measure(given.program, pathlib.Path(directory), given.rate, given.seconds)

    def percentile(part):
        return times[min(len(times) - 1, int(len(times) * part))]

    print(f"{asked} questions at {given.rate} a second, {len(times)} answered, {connected} put through: "
          f"median {percentile(0.5):.2f} ms, 99th percentile {percentile(0.99):.2f} ms, longest {times[-1]:.1f} ms; "
          f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    return 1 if given.p99 and (percentile(0.99) > given.p99 or len(times) < asked) else 0


if __name__ == "__main__":
    sys.exit(main())
