"""sipp scenarios for both sides of a trunk, composed step by step.

Every message that a phone sends here writes the phone's own number wherever real ones have been seen to: display
names, Contact, identity headers, User-Agent, Subject, reason phrases, and the o=, s=, i=, u=, e= and p= lines of
the SDP. Whatever of it arrives at the other side is a leak.
"""

import base64
import xml.sax.saxutils

SDP = """v=0
o={own} 53655765 2353687637 IN IP4 [local_ip]
s=call of {own}
i={own}
u=sip:{own}@phone.example
e={own}@phone.example
p={own}
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0 101
i={spaced}
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ssrc:1 cname:{spaced}@phone
a=ssrc:2 cname:{base64}
a=x-owner:{escaped}
a=sendrecv
"""


def told(text, own):
    """`text` with the number that a phone writes into it, as phones do: plain, with separators, encoded."""
    digits = own[-11:]
    spaced = f"{digits[:3]}-{digits[3:7]}-{digits[7:]}"
    return text.format(own=own, spaced=spaced, base64=base64.b64encode(f"sip:{own}".encode()).decode(),
                       escaped="".join(f"%{ord(digit):02X}" for digit in digits))


# What a phone or its network adds to requests and replies.
TELLTALE = """User-Agent: phone {own}
Remote-Party-ID: "{own}" <sip:{own}@carrier.example>;party=calling
P-Preferred-Identity: <sip:{own}@carrier.example>
History-Info: <sip:{own}@carrier.example>;index=1
Diversion: <sip:{own}@carrier.example>;reason=unconditional
Call-Info: <sip:{own}@carrier.example>
Reply-To: <sip:{own}@carrier.example>
Subject: {own}
Organization: {own}
Warning: 399 carrier.example "{own}"
Reason: SIP;cause=200;text="{own}"
Supported: timer, x-{spaced}
Session-Expires: 1800;x={spaced}
Accept: application/x-{spaced}
Allow: INVITE, ACK, BYE, X{spaced}
"""

CONTACT = 'Contact: "{own}" <sip:{own}@[local_ip]:[local_port]>;+sip.instance="<urn:tel:{own}>"\n'


# Milliseconds that a phone's network takes at least.
TRIP = 20


def _send(text, retransmit=True):
    text = text.replace("<![CDATA[", "").strip("\n") + "\n"
    attribute = ' retrans="500"' if retransmit else ""
    return f"<send{attribute}><![CDATA[\n\n{text}\n]]></send>\n"


def _with_body(headers, body="", kind="application/sdp"):
    if not body:
        return headers + "Content-Length: 0\n\n"
    return headers + f"Content-Type: {kind}\nContent-Length: [len]\n\n{body}"


def _receive(what, **attributes):
    more = "".join(f" {name}={xml.sax.saxutils.quoteattr(str(value))}" for name, value in attributes.items())
    if what[0].isdigit():
        return f'<recv response="{what}"{more}></recv>\n'
    return f'<recv request="{what}"{more}></recv>\n'


def _scenario(name, steps):
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{name}">\n{"".join(steps)}</scenario>\n'


def pause(milliseconds):
    return f'<pause milliseconds="{milliseconds}"/>\n'


class Caller:
    """A phone that dials. `own` is what it writes everywhere, `asserted` what its network vouches for."""

    def __init__(self, own, dialled, *, asserted="own", written=None, attestation="A", extra="", body=SDP,
                 kind="application/sdp", call_id="[call_id]"):
        self.own = own
        self.dialled = dialled
        self.extra = extra
        if asserted == "own":
            asserted = own
        if asserted:
            self.extra += f'P-Asserted-Identity: "{asserted}" <sip:{asserted}@carrier.example>\n'
        if attestation:
            self.extra += f"Attestation-Info: {attestation}\n"
        self.written = own if written is None else written
        self.body = body
        self.kind = kind
        self.call_id = call_id
        self.steps = []

    def _headers(self, method, number, target, *, to_tag=True, vouched=False, routes=True):
        headers = (
            f"{method} {target} SIP/2.0\n"
            "Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\n"
            f'From: "{self.written}" <sip:{self.written}@carrier.example>;tag=[pid]F[call_number]\n'
            f'To: "friend of {self.written}" <sip:{self.dialled}@platform.example>'
            + ("[peer_tag_param]" if to_tag else "") + "\n"
            + ("[routes]\n" if routes else "")
            + f"Call-ID: {self.call_id}\nCSeq: {number} {method}\nMax-Forwards: 70\n"
        )
        headers += CONTACT.format(own=self.written) + told(TELLTALE, self.written)
        return headers + (self.extra if vouched else "")

    def invite(self):
        headers = self._headers(
            "INVITE", 1, f"sip:{self.dialled}@[remote_ip]:[remote_port]", to_tag=False, vouched=True, routes=False)
        self.steps.append(_send(_with_body(headers, told(self.body, self.written), self.kind)))
        self.steps.append(_receive("100", timeout=5000))
        return self

    def ringing(self):
        self.steps.append(_receive("180", timeout=5000))
        return self

    def progressed(self):
        self.steps.append(_receive("183", timeout=5000))
        return self

    def answered(self):
        self.steps.append(_receive("180", optional="true"))
        self.steps.append(_receive("200", rrs="true", timeout=8000))
        self.steps.append(_send(_with_body(self._headers("ACK", 1, "[next_url]")), retransmit=False))
        return self

    def _of_the_invite(self, headers):
        """CANCEL and the ACK of a refusal bear the branch of the INVITE, which is the first step."""
        return headers.replace("branch=[branch]", f"branch=[branch-{len(self.steps)}]")

    def refused(self, code):
        self.steps.append(_receive("180", optional="true"))
        self.steps.append(_receive(str(code), timeout=8000))
        headers = self._headers("ACK", 1, f"sip:{self.dialled}@[remote_ip]:[remote_port]", routes=False)
        self.steps.append(_send(_with_body(self._of_the_invite(headers)), retransmit=False))
        return self

    def request(self, method, number, code=200, body="", kind="application/sdp", acknowledge=False):
        headers = self._headers(method, number, "[next_url]")
        self.steps.append(_send(_with_body(headers, told(body, self.written), kind)))
        self.steps.append(_receive("100", optional="true"))
        self.steps.append(_receive(str(code), timeout=5000))
        if acknowledge:
            self.steps.append(_send(_with_body(self._headers("ACK", number, "[next_url]")), retransmit=False))
        return self

    def reinvite(self, number):
        return self.request("INVITE", number, body=SDP, acknowledge=True)

    def cancel(self):
        headers = self._headers("CANCEL", 1, f"sip:{self.dialled}@[remote_ip]:[remote_port]", to_tag=False, routes=False)
        self.steps.append(_send(_with_body(self._of_the_invite(headers))))
        self.steps.append(_receive("200"))
        return self.refused(487)

    def bye(self, number):
        return self.request("BYE", number)

    def hears(self, method, body=""):
        """The other side's request within the call, answered."""
        self.steps.append(_receive(method, timeout=12000))
        self.steps.append(pause(TRIP))
        self.steps.append(_send(_reply("200 OK", self.written, body, first=False), retransmit=False))
        if method == "INVITE":
            self.steps.append(_receive("ACK"))
        return self

    def wait(self, milliseconds):
        self.steps.append(pause(milliseconds))
        return self

    def xml(self):
        return _scenario("caller", self.steps)


def _reply(status, own, body="", *, first, tag="[pid]T[call_number]"):
    reply = (
        f"SIP/2.0 {status}\n[last_Via:]\n[last_From:]\n[last_To:]" + (f";tag={tag}" if first else "")
        + "\n[last_Call-ID:]\n[last_CSeq:]\n[last_Record-Route:]\n"
        + CONTACT.format(own=own)
        + f'P-Asserted-Identity: "{own}" <sip:{own}@carrier.example>\nServer: phone {own}\n'
        + told(TELLTALE, own)
    )
    return _with_body(reply, told(body, own))


class Callee:
    """A phone that is called."""

    def __init__(self, own, tag="[pid]T[call_number]"):
        self.own = own
        self.tag = tag
        # What it needs to speak first within the call.
        self.steps = [
            '<recv request="INVITE" rrs="true" timeout="15000"><action>'
            '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="1"/>'
            '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="2"/>'
            "</action></recv>\n"
        ]
        self.speaks = False

    def rings(self, milliseconds=0):
        self.steps.append(_send(_reply(f"180 {self.own} rings", self.own, first=True, tag=self.tag), retransmit=False))
        if milliseconds:
            self.steps.append(pause(milliseconds))
        return self

    def plays(self):
        """The callee's network speaks before anybody answers: a provisional reply with a session of its own, and a type that tells."""
        reply = _reply(f"183 {self.own}", self.own, SDP, first=True, tag=self.tag)
        typed = told('Content-Type: application/sdp;x="{spaced}"', self.own)
        self.steps.append(_send(reply.replace("Content-Type: application/sdp", typed), retransmit=False))
        return self

    def answers(self):
        self.steps.append(_send(_reply(f"200 {self.own} speaks", self.own, SDP, first=True, tag=self.tag)))
        self.steps.append(_receive("ACK", timeout=8000))
        return self

    def declines(self, status, extra=""):
        reply = _reply(status, self.own, first=True, tag=self.tag)
        self.steps.append(_send(reply.replace("Content-Length", extra + "Content-Length")))
        self.steps.append(_receive("ACK"))
        return self

    def hears(self, method, body=""):
        self.steps.append(_receive(method, timeout=12000))
        self.steps.append(pause(TRIP))
        self.steps.append(_send(_reply(f"200 {self.own}", self.own, body, first=False), retransmit=False))
        if method == "INVITE":
            self.steps.append(_receive("ACK"))
        return self

    def is_cancelled(self):
        self.steps.append(_receive("CANCEL", timeout=8000))
        self.steps.append(_send(_reply("200 OK", self.own, first=False), retransmit=False))
        terminated = _reply("487 Request Terminated", self.own, first=True, tag=self.tag)
        self.steps.append(_send(terminated.replace("[last_CSeq:]", "CSeq: 1 INVITE")))
        self.steps.append(_receive("ACK"))
        return self

    def _headers(self, method, number):
        self.speaks = True
        return (
            f"{method} [next_url] SIP/2.0\n"
            "Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\n"
            f"From: [$2];tag={self.tag}\nTo: [$1]\n[routes]\nCall-ID: [call_id]\n"
            f"CSeq: {number} {method}\nMax-Forwards: 70\n"
            + CONTACT.format(own=self.own) + told(TELLTALE, self.own)
        )

    def request(self, method, number, code=200, body="", acknowledge=False):
        self.steps.append(_send(_with_body(self._headers(method, number), told(body, self.own))))
        self.steps.append(_receive("100", optional="true"))
        self.steps.append(_receive(str(code), timeout=5000))
        if acknowledge:
            self.steps.append(_send(_with_body(self._headers("ACK", number)), retransmit=False))
        return self

    def reinvite(self, number):
        return self.request("INVITE", number, body=SDP, acknowledge=True)

    def bye(self, number):
        return self.request("BYE", number)

    def wait(self, milliseconds):
        self.steps.append(pause(milliseconds))
        return self

    def xml(self):
        steps = self.steps if self.speaks else self.steps + ['<Reference variables="1,2"/>\n']
        return _scenario("callee", steps)
