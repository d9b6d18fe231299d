#!/usr/bin/env python3
"""Draws who holds what, and the one thing that goes from each to the next.

    docs/who-holds-what.py [zh] >docs/who-holds-what.svg      light and dark in one picture; zh: the words in Chinese
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
BOXES = {"device": (310, 16, 280, 62), "orders": (20, 170, 300, 88), "reviews": (580, 170, 300, 88),
         "trustees": (20, 350, 300, 88), "public": (580, 350, 300, 88)}
# From, to, the path, where its words stand, and how they hang on that point.
ARROWS = [("device", "orders", "M350 78L190 168", (246, 118), "end"), ("device", "reviews", "M550 78L710 168", (654, 118), "start"),
          ("orders", "reviews", "M320 214H578", (450, 206), "middle"), ("reviews", "public", "M730 258V348", (720, 308), "end"),
          ("public", "trustees", "M580 394H322", (450, 386), "middle"), ("trustees", "orders", "M170 350V260", (180, 308), "start")]


def main():
    language = 1 if sys.argv[1:] == ["zh"] else 0
    say = lambda key: html.escape(WORDS[key][language])
    text = lambda kind, x, y, key, anchor="middle": f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{say(key)}</text>'
    print('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 454" role="img" aria-labelledby="t" font-family="system-ui, sans-serif">')
    print(f'<title id="t">{say("title")}</title>\n<style>{STYLE}</style>')
    print('<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
          '<path class="k" d="M0 0 8 4 0 8z"/></marker></defs>')
    for source, target, path, (x, y), anchor in ARROWS:
        print(f'<path class="e" d="{path}"/>' + text("l", x, y, f"{source}>{target}", anchor))
    for name, (x, y, width, height) in BOXES.items():
        lines = [("n", name), ("s", f"{name} has"), ("x", f"{name} never")]
        print(f'<rect class="b" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>' + "".join(
            text(kind, x + width // 2, y + 26 + 24 * at, key) for at, (kind, key) in enumerate(lines) if key in WORDS))
    print("</svg>")


main()
