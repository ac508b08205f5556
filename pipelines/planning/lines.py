"""Where each key of a TOML document stands, so that an error can name its line.

`tomllib` gives values without places. This scanner walks a document that `tomllib` has already accepted,
so it only has to skip strings, comments and brackets rightly, never to judge them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

KeyPath = tuple[str, ...]

_BARE_END = ",]}\n#"
_SPACE = " \t\r\n"
_QUOTES = ('"""', "'''", '"', "'")
_ESCAPING = ('"""', '"')


@dataclass(slots=True)
class _Scanner:
    text: str
    at: int = 0
    lines: dict[KeyPath, int] = field(default_factory=dict)
    table_counts: dict[KeyPath, int] = field(default_factory=dict)

    def line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def skip_space(self, *, comments: bool = True) -> None:
        while self.peek() and (self.peek() in _SPACE or (comments and self.peek() == "#")):
            if self.peek() == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                self.at += 1

    def string(self) -> str:
        quote = next(mark for mark in _QUOTES if self.text.startswith(mark, self.at))
        start = self.at = self.at + len(quote)
        while not self.text.startswith(quote, self.at):
            self.at += 2 if self.peek() == "\\" and quote in _ESCAPING else 1
        value = self.text[start : self.at]
        self.at += len(quote)
        while len(quote) == 3 and self.peek() == quote[0]:
            self.at += 1  # a multi-line string may end with quotes of its own
        return value

    def key(self) -> KeyPath:
        parts = []
        while True:
            self.skip_space(comments=False)
            if self.peek() in "\"'":
                parts.append(self.string())
            else:
                start = self.at
                while self.peek().isalnum() or self.peek() in ("-", "_"):
                    self.at += 1
                parts.append(self.text[start : self.at])
            self.skip_space(comments=False)
            if self.peek() != ".":
                return tuple(parts)
            self.at += 1

    def record(self, path: KeyPath, line: int) -> None:
        for depth in range(1, len(path) + 1):
            self.lines.setdefault(path[:depth], line)

    def header(self) -> KeyPath:
        line = self.line()
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        path = self.key()
        self.at += 2 if is_array else 1
        self.record(path, line)
        if is_array:
            index = self.table_counts.get(path, 0)
            self.table_counts[path] = index + 1
            path = (*path, str(index))
            self.record(path, line)
        return path

    def pair(self, prefix: KeyPath) -> None:
        line = self.line()
        path = prefix + self.key()
        self.record(path, line)
        self.skip_space()
        self.at += 1  # the equals sign
        self.skip_space()
        self.value(path)

    def value(self, path: KeyPath) -> None:
        if self.peek() == "[":
            self.array(path)
        elif self.peek() == "{":
            self.inline_table(path)
        elif self.peek() in "\"'":
            self.string()
        else:
            while self.peek() and self.peek() not in _BARE_END:
                self.at += 1

    def array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        self.skip_space()
        while self.peek() != "]":
            self.record((*path, str(index)), self.line())
            self.value((*path, str(index)))
            index += 1
            self.skip_comma()
        self.at += 1

    def inline_table(self, path: KeyPath) -> None:
        self.at += 1
        self.skip_space()
        while self.peek() != "}":
            self.pair(path)
            self.skip_comma()
        self.at += 1

    def skip_comma(self) -> None:
        self.skip_space()
        if self.peek() == ",":
            self.at += 1
        self.skip_space()


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the 1-based line of every table, key and array element of a valid TOML document.

    Dotted keys, inline tables, quoted keys and arrays of tables are followed; an array element has its index
    as the last part of its path, such as ``("target", "point_mm", "2")``.
    """
    scanner = _Scanner(text.replace("\r\n", "\n"))
    prefix: KeyPath = ()
    scanner.skip_space()
    while scanner.peek():
        if scanner.peek() == "[":
            prefix = scanner.header()
        else:
            scanner.pair(prefix)
        scanner.skip_space()
    return scanner.lines
