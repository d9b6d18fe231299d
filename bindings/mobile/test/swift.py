"""Parses the Swift sources of a directory with tree-sitter's grammar: their syntax, not their types. A planted mistake must be
found, or nothing was parsed."""

import sys
from pathlib import Path

import tree_sitter_swift
from tree_sitter import Language, Parser

parser = Parser(Language(tree_sitter_swift.language()))


def mistakes(node):
    if node.is_error or node.is_missing:
        yield node
    elif node.has_error:
        for child in node.children:
            yield from mistakes(child)


# An attribute of Swift's with a label in it, which the grammar does not know. UniFFI writes it before what is not for apps.
UNKNOWN = b"@_documentation(visibility: private)"

files = sorted(Path(sys.argv[1]).glob("*.swift"))
if not files:
    sys.exit("no Swift source")
for file in files:
    source = file.read_bytes().replace(UNKNOWN, b" " * len(UNKNOWN))
    found = list(mistakes(parser.parse(source).root_node))
    for node in found:
        line, _ = node.start_point
        print(f"{file.name}:{line + 1}: {source.splitlines()[line].decode()}")
    if found:
        sys.exit(1)
    if not parser.parse(source.replace(b"func next(", b"func next((", 1)).root_node.has_error:
        sys.exit(f"{file.name}: a planted mistake was not found")
    print(f"{file.name}: {len(source.splitlines())} lines are Swift")
