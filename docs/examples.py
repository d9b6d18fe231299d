"""Says which public items of a crate have no example.

    docs/examples.py MOST FILE

FILE is what `cargo rustdoc -- --output-format json --document-hidden-items` wrote. Every type, trait, free function and
macro needs an example of its own. Of the methods at most MOST may have none: there the type's example shows the use. What
is hidden counts for neither. It fails, and names the items, where more is missing.
"""

import json
import re
import sys

KINDS = ("struct", "enum", "union", "trait", "type_alias", "function", "macro", "proc_macro")
# A block that is compiled: one of text, say, is none.
COMPILED = re.compile(r"^\s*```(rust|no_run|should_panic|compile_fail|edition\d+|,|\s)*$")


def has_example(item):
    opened = False
    for line in (item["docs"] or "").splitlines():
        if line.strip().startswith("```"):
            if not opened and COMPILED.match(line):
                return True
            opened = not opened
    return False


def is_hidden(item):
    return "doc(hidden)" in json.dumps(item["attrs"]).replace(" ", "")


class Crate:
    def __init__(self, crate):
        self.index, self.root, self.seen = crate["index"], crate["root"], set()
        self.name = self.item(self.root)["name"]
        # Both are pairs of a path and a place.
        self.items, self.methods = [], []
        self.visit(self.root, [self.name])

    def item(self, key):
        return self.index.get(str(key))

    def shown(self, key):
        """The item, unless it is another crate's, which shows its own, or hidden."""
        item = self.item(key)
        return item if item and item["crate_id"] == 0 and not is_hidden(item) else None

    def visit(self, key, path):
        item = self.shown(key)
        if item is None or key in self.seen:
            return
        (kind, inner), = item["inner"].items()
        if kind == "use":
            # What a hidden module holds is shown where it is named again.
            if inner["id"] is not None and not inner["is_glob"]:
                self.visit(inner["id"], path + [inner["name"]])
            elif inner["id"] is not None:
                self.visit(inner["id"], path)
            return
        self.seen.add(key)
        if kind == "module":
            for child in inner["items"]:
                below = self.shown(child)
                if below and below["visibility"] == "public":
                    self.visit(child, path if "use" in below["inner"] else path + [below["name"]])
        elif kind in KINDS:
            name = "::".join(path)
            if not has_example(item):
                self.items.append((name, place(item)))
            for block in inner.get("impls", []) if isinstance(inner, dict) else []:
                self.visit_impl(self.item(block), name)

    def visit_impl(self, block, name):
        if block is None or block["inner"]["impl"]["trait"] is not None:
            return
        for child in block["inner"]["impl"]["items"]:
            method = self.shown(child)
            is_public = method and "function" in method["inner"] and method["visibility"] == "public"
            if is_public and not has_example(method):
                self.methods.append((f"{name}::{method['name']}", place(method)))


def place(item):
    span = item["span"]
    return f"{span['filename']}:{span['begin'][0]}" if span else "by a macro"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    most = int(sys.argv[1])
    with open(sys.argv[2], encoding="utf-8") as file:
        crate = Crate(json.load(file))
    print(f"{crate.name}: {len(crate.items)} items without an example, {len(crate.methods)} methods of at most {most}")
    named = crate.items + (crate.methods if len(crate.methods) > most else [])
    for name, where in sorted(named):
        print(f"  {where}: {name} has no example")
    sys.exit(1 if named else 0)


main()
