#!/usr/bin/env python3
"""Draws the pictures of the documentation: light and dark in one file each.

    docs/pictures.py who-holds-what >docs/who-holds-what.svg        who holds what, and what goes to the next
    docs/pictures.py who-holds-what zh >docs/who-holds-what.zh.svg  the same, in Chinese
    docs/pictures.py review-life >docs/review-life.svg              a review's life with its dates
    docs/pictures.py before-after >docs/before-after.svg            what the gang sees, before and after
    docs/pictures.py warrant >docs/warrant.svg                      a warrant's way
"""
import html, sys

WORDS = {
    "title": ("Who holds what, and what goes from one to the next", "谁持有什么，彼此之间传递什么"),
    "device": ("The reviewer's device", "评价者的设备"),
    "device has": ("one seed, its own tokens", "一个种子，自己的令牌"),
    "orders": ("Order service", "订单服务"),
    "orders has": ("accounts, orders, the issuing key", "账户、订单、签发密钥"),
    "orders never": ("never: which review came from an order", "永远不知道：哪条评价来自哪个订单"),
    "reviews": ("Review service", "评价服务"),
    "reviews has": ("reviews, spent tokens, the issuing key", "评价、已用令牌、签发密钥"),
    "reviews never": ("never: the account or order behind one", "永远不知道：背后的账户或订单"),
    "trustees": ("Trustees, t of n", "受托人（n 人中的 t 人）"),
    "trustees has": ("one share of a key each, a budget", "每人一份密钥份额，以及额度"),
    "trustees never": ("never: an opening without a logged warrant", "永远不能：没有已登记的令状就揭示作者"),
    "public": ("Everybody", "所有人"),
    "public has": ("the ledgers, cosigned by witnesses", "由见证人共同签署的账本"),
    "public never": ("never: a name", "永远看不到：姓名"),
    "device>orders": ("asks for a token, for every order", "每个订单都索取令牌"),
    "device>reviews": ("a review with its token, no account", "评价与令牌，不带账户"),
    "orders>reviews": ("k who look alike", "k 个相似的顾客"),
    "reviews>public": ("what appears, changes, is removed", "发布、修改与删除"),
    "public>trustees": ("a logged warrant", "已登记的令状"),
    "trustees>orders": ("one review's wallet key", "一条评价的钱包公钥"),
}
STYLE = """.b{fill:#f4f1ea;stroke:#5b5446;stroke-width:1.5}.n{fill:#1d1a14;font-size:17px;font-weight:600}.s{fill:#1d1a14;font-size:13.5px}
.x{fill:#a1352a;font-size:12.5px}.l{fill:#5b5446;font-size:13px;font-style:italic}.e{stroke:#5b5446;stroke-width:1.5;fill:none;marker-end:url(#a)}
.k{fill:#5b5446}@media (prefers-color-scheme:dark){.b{fill:#24221d;stroke:#b9b09c}.n,.s{fill:#f4f1ea}.x{fill:#ef9a8d}.l,.k{fill:#b9b09c}
.e{stroke:#b9b09c}}"""
# What only the newer pictures have: good news, a ring around it, a thread that leads to somebody, a line without a head.
MORE = """.g{fill:#2f6b3a;font-size:12.5px}.r{fill:none;stroke:#2f6b3a;stroke-width:2;stroke-dasharray:6 4}.t{stroke:#a1352a;stroke-width:1.5;fill:none}
.m{stroke:#b9b09c;stroke-width:1.2;fill:none;stroke-dasharray:2 4}.w{stroke:#5b5446;stroke-width:2;fill:none}
@media (prefers-color-scheme:dark){.g{fill:#9fd3a8}.r{stroke:#9fd3a8}.t{stroke:#ef9a8d}.m{stroke:#5b5446}.w{stroke:#b9b09c}}"""


def text(kind, x, y, words, anchor="middle"):
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{html.escape(words)}</text>'


def box(x, y, width, height, lines):
    middle = x + width / 2
    words = "".join(text(kind, middle, y + 26 + 22 * at, line) for at, (kind, line) in enumerate(lines))
    return f'<rect class="b" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>' + words


def arrow(path):
    return f'<path class="e" d="{path}"/>'


def picture(title, height, parts, style=STYLE + MORE):
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {height}" role="img" aria-labelledby="t" font-family="system-ui, sans-serif">')
    print(f'<title id="t">{html.escape(title)}</title>\n<style>{style}</style>')
    print('<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
          '<path class="k" d="M0 0 8 4 0 8z"/></marker></defs>')
    print("\n".join(parts))
    print("</svg>")


def who_holds_what(language):
    boxes = {"device": (310, 16, 280, 62), "orders": (20, 170, 300, 88), "reviews": (580, 170, 300, 88),
             "trustees": (20, 350, 300, 88), "public": (580, 350, 300, 88)}
    # From, to, the path, where its words stand, and how they hang on that point.
    arrows = [("device", "orders", "M350 78L190 168", (246, 118), "end"), ("device", "reviews", "M550 78L710 168", (654, 118), "start"),
              ("orders", "reviews", "M320 214H578", (450, 206), "middle"), ("reviews", "public", "M730 258V348", (720, 308), "end"),
              ("public", "trustees", "M580 394H322", (450, 386), "middle"), ("trustees", "orders", "M170 350V260", (180, 308), "start")]
    say = lambda key: WORDS[key][language]
    parts = [arrow(path) + text("l", x, y, say(f"{source}>{target}"), anchor) for source, target, path, (x, y), anchor in arrows]
    for name, place in boxes.items():
        keys = [("n", name), ("s", f"{name} has"), ("x", f"{name} never")]
        parts.append(box(*place, [(kind, say(key)) for kind, key in keys if key in WORDS]))
    picture(say("title"), 454, parts, STYLE)


def review_life():
    """One order of a busy shop, on a daily grid with the rules' defaults."""
    # Day, date, what happens, what it means; above or below the line by turns.
    steps = [("2 May", "order delivered", "its numbers still ring"),
             ("3 May", "numbers end, for ever", "nobody can call the customer"),
             ("5 May", "hold of 2 days is over", "the device asks for its token"),
             ("17 May", "cohort of k is sealed", "the manifest says \"at least k\""),
             ("18 May", "review appears", "with the others', shuffled"),
             ("25 May", "next of four dates", "for those who write later"),
             ("Mondays", "author's edit shows", "on one of the next three")]
    parts = ['<path class="w" d="M30 150H870"/>']
    for at, (date, what, why) in enumerate(steps):
        x = 96 + at * 118
        up = at % 2 == 0
        parts.append(f'<circle class="k" cx="{x}" cy="150" r="6"/>')
        parts.append(f'<path class="m" d="M{x} {144 if up else 156}V{104 if up else 190}"/>')
        first = 56 if up else 206
        parts += [text("n", x, first, date), text("s", x, first + 20, what), text("l", x, first + 38, why)]
    parts.append(text("g", 30, 24, "On the device: the review may be written at any time. It is sent in the last 20 hours before a publication.", "start"))
    parts.append(text("g", 30, 284, "No date of the order, of the writing or of the sending is ever published: only the day of the boundary.", "start"))
    picture("A review's life, with its dates", 304, parts)


def before_after():
    """What somebody with the merchant's order list and the listing of reviews sees."""
    parts = []
    for left, title in [(20, "Before: stars and time"), (470, "After: a cohort of k = 10")]:
        parts.append(text("n", left + 205, 28, title))
        parts.append(text("l", left + 80, 54, "the shop's orders") + text("l", left + 330, 54, "reviews"))
    before = [("Li, 4 May 18:02", "4 May 18:40, 1 star"), ("Wang, 4 May 20:31", "4 May 21:15, 5 stars"),
              ("Zhao, 5 May 09:12", "5 May 11:03, 2 stars")]
    for at, (order, review) in enumerate(before):
        y = 84 + at * 76
        parts.append(box(20, y, 170, 44, [("s", order)]) + box(270, y, 160, 44, [("s", review)]))
        parts.append(f'<path class="t" d="M190 {y + 22}H270"/>')
    names = ["Li", "Wang", "Zhao", "Chen", "Liu", "Yang", "Wu", "Sun", "Ma", "Hu"]
    for at, name in enumerate(names):
        x, y = 480 + (at % 2) * 84, 84 + (at // 2) * 40
        parts.append(f'<rect class="b" x="{x}" y="{y}" width="76" height="30" rx="8"/>' + text("s", x + 38, y + 20, name))
    parts.append('<rect class="r" x="470" y="74" width="180" height="210" rx="10"/>')
    for at, stars in enumerate(["18 May, 1 star", "18 May, 5 stars", "18 May, 4 stars"]):
        y = 94 + at * 64
        parts.append(box(722, y, 156, 44, [("s", stars)]))
        for name in range(10):
            parts.append(f'<path class="m" d="M{650} {94 + name * 20}L722 {y + 22}"/>')
    parts.append(text("x", 225, 330, "67 in 100 first guesses are right, and the numbers still ring."))
    parts.append(text("g", 675, 330, "10 in 100 first guesses are right, and no number rings."))
    parts.append(text("l", 450, 356, "Measured on 10,000 real orders: examples/marketplace. The names are made up."))
    picture("What the gang sees, before and after", 370, parts)


def warrant():
    steps = [((20, 20, 260, 92), [("n", "1. Officers"), ("s", "k of m sign the warrant:"), ("s", "these reviews, until then")]),
             ((320, 20, 260, 92), [("n", "2. Openings ledger"), ("s", "a commitment, cosigned by"), ("s", "witnesses; no review, no name")]),
             ((620, 20, 260, 92), [("n", "3. Cooling-off"), ("s", "everybody sees that"), ("s", "something is asked for")]),
             ((620, 190, 260, 92), [("n", "4. Each trustee"), ("s", "checks warrant, evidence and"), ("s", "budget; logs its own entry")]),
             ((320, 190, 260, 92), [("n", "5. Ledger again"), ("s", "the entry counts in the budget;"), ("s", "beyond B it is void")]),
             ((20, 190, 260, 92), [("n", "6. t shares, sealed"), ("s", "to the warrant's recipient;"), ("s", "fewer than t tell nothing")]),
             ((20, 340, 260, 92), [("n", "7. Opening"), ("s", "one wallet key, and by the"), ("s", "logged binding its account")]),
             ((320, 340, 260, 92), [("n", "8. Disclosure"), ("s", "the warrant's text, after its"), ("s", "embargo; late ones are named")])]
    parts = [box(*place, lines) for place, lines in steps]
    parts += [arrow(path) for path in ["M280 66H318", "M580 66H618", "M750 112V188", "M620 236H582", "M320 236H282", "M150 282V338", "M280 386H318"]]
    parts.append(text("x", 600, 368, "Nobody opens beyond B reviews in a window:", "start"))
    parts.append(text("x", 600, 388, "not the platform, not all officers,", "start"))
    parts.append(text("x", 600, 408, "not fewer than t trustees.", "start"))
    picture("A warrant's way to an opening", 448, parts)


PICTURES = {"who-holds-what": lambda: who_holds_what(int(sys.argv[2:] == ["zh"])), "review-life": review_life,
            "before-after": before_after, "warrant": warrant}
if len(sys.argv) < 2 or sys.argv[1] not in PICTURES:
    sys.exit(__doc__)
PICTURES[sys.argv[1]]()
