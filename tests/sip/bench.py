"""Kamailio, the gateway example and sipp's phones, started and stopped; and calls between them."""

import hashlib
import http.client
import ipaddress
import itertools
import json
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import time

import leaks

HERE = pathlib.Path(__file__).resolve().parent
CONFIGURATION = HERE.parent.parent / "examples" / "gateway" / "kamailio.cfg"
LOOPBACK = str(ipaddress.ip_network("127.0.0.0/8")[1])

CUSTOMER = "+8613811112222"
OTHER_CUSTOMER = "+8613900554433"
COURIER = "+8613933334444"
MERCHANT = "+8613755556666"
STRANGER = "+8613577778888"
ANY_MERCHANT = "merchant-0"
SECRET = secrets.token_hex(32)
PEOPLE = [CUSTOMER, OTHER_CUSTOMER, COURIER, MERCHANT, STRANGER]


class Failure(Exception):
    """What did not hold."""


def require(condition, what):
    if not condition:
        raise Failure(what)


def free_port(kind=socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def stop(process):
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(condition, seconds, what):
    """Waits for something that another process does, and says what did not come."""
    end = time.monotonic() + seconds
    while not condition():
        require(time.monotonic() < end, f"{what} did not come within {seconds} s")
        time.sleep(0.02)


def write_secret(directory, digits=SECRET):
    """What both ends of the link have, as Kamailio includes it and the gateway reads it."""
    path = directory / "secret.cfg"
    path.write_text(f'#!substdef "!GATEWAY_SECRET!{digits}!g"\n')
    path.chmod(0o600)
    return path


def sealed(who, challenge, nonce, secret=SECRET):
    """A proof of one end of the link."""
    def digest(text):
        return hashlib.sha256(f"{secret} {text}".encode()).hexdigest()

    return digest(digest(f"{who} {challenge} {nonce}"))


class Gateway:
    """The example, with its demonstration control."""

    def __init__(self, program, directory, evapi_port, *more):
        self.http = free_port(socket.SOCK_STREAM)
        self.control = free_port(socket.SOCK_STREAM)
        self.log = directory / "gateway.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [program, "--listen", f"{LOOPBACK}:{self.http}", "--control", f"{LOOPBACK}:{self.control}",
                 "--kamailio", f"{LOOPBACK}:{evapi_port}", "--kamailio-secret", str(write_secret(directory)), "--store", "redb", "--directory", str(directory),
                 "--twilio-trusts", "messages", "--pool", "Beijing,+861069000000,8,numbers", "--pool", "alone,+861068000000,4", *more,
                 *([] if (directory / "phones.redb").exists() else ["--create"])],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def wait(self):
        until(self.is_healthy, 30, "the gateway's health")

    def is_healthy(self):
        require(self.process.poll() is None, f"the gateway ended:\n{self.log.read_text()}")
        try:
            return self._ask(self.http, "GET", "/health")[0] == 200
        except OSError:
            return False

    def _ask(self, port, method, path, body=None, kind="application/json"):
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
        try:
            connection.request(method, path, body, {"Content-Type": kind} if body is not None else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def post(self, path, body, kind="application/json"):
        return self._ask(self.http, "POST", path, body, kind)

    def tell(self, path, **command):
        status, answer = self._ask(self.control, "POST", path, json.dumps(command))
        require(status == 200, f"{path} was answered {status}: {answer.decode(errors='replace')}")
        return json.loads(answer)

    def bind(self, order, leg, hub_name, hub, customer, seconds=600, **more):
        """A number on a leg of an order of the merchant `hub_name`, or of any merchant on a courier's leg."""
        merchant, more = (hub_name, more) if leg == "merchant" else (ANY_MERCHANT, more | {"courier": hub_name})
        return self.tell("/bind", merchant=merchant, order=order, leg=leg, hub=hub, customer=customer,
                         seconds=seconds, **more)["number"]


class Kamailio:
    def __init__(self, directory, change=lambda text: text):
        self.directory = directory
        self.port = free_port()
        self.evapi = free_port(socket.SOCK_STREAM)
        # One address, two ports: the phones that dial, and those that are called.
        self.calling = free_port()
        self.called = free_port()
        text = change(CONFIGURATION.read_text())
        (directory / "kamailio.cfg").write_text(text)
        write_secret(directory)
        (directory / "site.cfg").write_text(
            "".join(f'#!substdef "!{name}!{value}!g"\n' for name, value in {
                "SIP_LISTEN": f"udp:{LOOPBACK}:{self.port}",
                "SIP_ADDRESS": f"{LOOPBACK}:{self.port}",
                "TRUNK_ADDRESS": LOOPBACK,
                "TRUNK_TARGET": f"{LOOPBACK}:{self.called}",
                "TRUNK_TRUST": "untrusted",
                "ATTESTATION_HEADER": "Attestation-Info",
                "VERDICT_WITHOUT_LEVEL": "full",
                "PRIVATE_CALLERS": "withheld",
                "EARLY_MEDIA": "stopped",
                "GATEWAY_LISTEN": f"{LOOPBACK}:{self.evapi}",
                "GATEWAY_ADDRESS": LOOPBACK,
            }.items()))
        self.log = directory / "kamailio.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["kamailio", "-f", str(directory.resolve() / "kamailio.cfg"), "-DD", "-E", "-Y", str(directory.resolve()), "-m", "32", "-M", "4"],
                cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def wait(self):
        until(self.answers, 30, "Kamailio's answer to OPTIONS")

    def answers(self):
        require(self.process.poll() is None, f"Kamailio ended:\n{self.log.read_text()}")
        return self.send(f"OPTIONS sip:{LOOPBACK} SIP/2.0", wait=0.2) is not None

    def send(self, first_line, extra="", wait=2.0, headers=None, body=""):
        """One datagram of our own making, and the final reply that comes back."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.bind((LOOPBACK, 0))
            phone.settimeout(wait)
            port = phone.getsockname()[1]
            method = first_line.split()[0]
            headers = headers or (
                f"Via: SIP/2.0/UDP {LOOPBACK}:{port};branch=z9hG4bK{port}{time.monotonic_ns()}\r\n"
                f"From: <sip:probe@carrier.example>;tag=1\r\nTo: <sip:x@platform.example>{{tag}}\r\n"
                f"Call-ID: {port}-{time.monotonic_ns()}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n"
                f"Contact: <sip:probe@{LOOPBACK}:{port}>\r\n")
            tag = ";tag=2" if "in-dialog" in extra else ""
            message = f"{first_line}\r\n{headers.format(tag=tag, port=port)}{extra}Content-Length: {len(body.encode())}\r\n\r\n{body}"
            phone.sendto(message.encode(), (LOOPBACK, self.port))
            try:
                while (reply := phone.recv(65535)).startswith(b"SIP/2.0 100 "):
                    pass
                return reply
            except (TimeoutError, ConnectionRefusedError):
                return None


_SEPARATOR = re.compile(rb"^-{40,} [^\n]*\n", re.MULTILINE)


def received(path):
    """The messages that sipp's trace says came in, in order."""
    if not path.exists():
        return []
    messages = []
    for part in _SEPARATOR.split(path.read_bytes()):
        head, _, rest = part.partition(b"\n\n")
        if b" received " in head:
            # A message that the scenario did not expect is written twice.
            messages.append(rest.split(b"\n-----------------------------------------------\nUnexpected")[0])
    return messages


class Phone:
    """One sipp with one scenario."""

    numbers = itertools.count(1)

    def __init__(self, kamailio, scenario, port, target=None):
        name = f"{next(self.numbers):03}"
        self.trace = kamailio.directory / f"{name}.trace"
        self.own = scenario.own
        path = kamailio.directory / f"{name}.xml"
        path.write_text(scenario.xml())
        command = ["sipp", "-sf", str(path), "-i", LOOPBACK, "-p", str(port), "-m", "1", "-nostdin", "-nd",
                   "-trace_msg", "-message_file", str(self.trace), "-trace_err", "-error_file",
                   str(kamailio.directory / f"{name}.errors"), "-timeout", "20", "-timeout_error"]
        if target:
            command.append(target)
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, cwd=kamailio.directory, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def finish(self, what):
        try:
            status = self.process.wait(25)
        except subprocess.TimeoutExpired:
            status = "no end"
        finally:
            stop(self.process)
        self.seconds = time.monotonic() - self.started
        self.messages = received(self.trace)
        self.ok = status == 0
        self.status = status
        if not self.ok and what:
            heard = "\n".join(message.decode(errors="replace").split("\n")[0] for message in self.messages)
            raise Failure(f"{what}: sipp ended with {status}; it had received\n{heard}")
        return self.messages


class Bench:
    """Kamailio and the gateway, and calls through them."""

    def __init__(self, program, directory, change=lambda text: text):
        self.program = program
        self.directory = directory
        self.found = []
        self.messages = 0
        self.gateway = None
        self.kamailio = Kamailio(directory, change)
        try:
            self.kamailio.wait()
            self.gateway = Gateway(program, directory, self.kamailio.evapi)
            self.gateway.wait()
            until(self.is_connected, 30, "the gateway's connection to Kamailio")
        except BaseException:
            self.close()
            raise

    def settled(self):
        """Connected, and not about to lose the connection that went through a pause."""
        return all(time.sleep(0.5) is None and self.is_connected() for _ in range(3))

    def is_connected(self):
        return b"503" not in (self.kamailio.send("INVITE sip:+999@platform.example SIP/2.0") or b"503")

    def close(self):
        if self.gateway:
            stop(self.gateway.process)
        stop(self.kamailio.process)

    def dial(self, caller, what, port=None):
        """A call that must not reach anybody: what the caller received."""
        phone = Phone(self.kamailio, caller, port or self.kamailio.calling, f"{LOOPBACK}:{self.kamailio.port}")
        messages = phone.finish(what)
        self.search(messages, [number for number in PEOPLE if number != phone.own], what)
        return messages

    def call(self, caller, callee, what, must_end_well=True):
        """A call between two phones; every message that one receives is searched for the other's number."""
        answering = Phone(self.kamailio, callee, self.kamailio.called)
        until(lambda: in_use(self.kamailio.called), 30, "the called phone's port")
        dialling = Phone(self.kamailio, caller, self.kamailio.calling, f"{LOOPBACK}:{self.kamailio.port}")
        try:
            came_back = dialling.finish(must_end_well and f"{what}, the caller")
            came_in = answering.finish(must_end_well and f"{what}, the callee")
        finally:
            stop(dialling.process)
            stop(answering.process)
        self.search(came_back, [callee.own], f"{what}, at the caller")
        self.search(came_in, [caller.own], f"{what}, at the callee")
        self.last_caller, self.last_callee = dialling, answering
        return came_back, came_in

    def search(self, messages, hidden, what):
        self.messages += len(messages)
        for message in messages:
            for number in hidden:
                for line in leaks.find(message, number):
                    self.found.append(f"{what}: {first_line(message)}: {line}")


def in_use(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def first_line(message):
    return message.split(b"\n", 1)[0].decode(errors="replace").strip()


def final(messages):
    """The last reply."""
    return [message for message in messages if message.startswith(b"SIP/2.0 ")][-1]


def unnamed(reply):
    """A reply without what differs between any two calls: Call-ID, tags and branches."""
    text = re.sub(rb"(?im)^Call-ID:.*$", b"Call-ID:", reply)
    return re.sub(rb"(tag|branch)=[^;\s>]+", rb"\1=", text).rstrip()
