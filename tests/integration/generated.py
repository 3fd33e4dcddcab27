"""Dockerfiles that nobody would write, from a seed: most are refused, many are not."""

from __future__ import annotations

import random

_NAMES = ("a", "b", "x", "Y", "scratch", "alpine")
_VARIABLES = ("A", "B", "Z", "TARGETARCH", "BUILDPLATFORM", "TARGETPLATFORM", "TARGETSTAGE")
_MODIFIERS = (
    *("", ":-a", ":-", ":-$B", ":-${A:-q}", "-d", ":+p", "+p", ":?e"),
    *("%-*", "%.*", "%%*.", "%?", "#*-", "##*-", "#?", "#v", "/a/b", "/./", "/*/x", "//a/b"),
)
_OTHERS = (
    *("USER a", "WORKDIR /w", "CMD x", "EXPOSE 8", "LABEL a=b", 'SHELL ["x"]', "ENTRYPOINT x"),
    *("# c", "", "   # FROM z", "#"),
)
_RUNS = (
    *("true", "x && \\\n y", "<<EOF\nFROM q\nONBUILD RUN <<X\nEOF", "cat <<-E >f\n\tx\n\tE"),
    *('["x","<<EOF"]', 'echo "<<EOF"', '<<"E" cat\n$A\nE', '["x"'),
)
_FIRST = ("# syntax=a/b:1", "# escape=\\", "# check=skip=all", "#!/x", "#  SYNTAX = b c")
_PLATFORMS = ("$BUILDPLATFORM", "linux/s390x", "arm64", "linux", "linux/arm/v6")
_SOURCES = ("0", "1", "+1", "img:3", "$A", "r.test/z")


class Generator:
    """Makes Dockerfiles; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def dockerfile(self) -> str:
        """The next one."""
        lines = [self._pick(_FIRST)] if self._random.random() < 0.3 else []
        lines += [self._arg() for _ in range(self._random.randrange(3))]
        lines.append(f"FROM {self._base()}{self._pick(('', f' AS {self._pick(_NAMES)}'))}")
        lines += [self._instruction() for _ in range(self._random.randrange(9))]
        mark = self._pick(("", "", "", "\ufeff"))
        return mark + self._pick(("\n", "\n", "\r\n")).join(lines) + self._pick(("\n", "", "\n\n"))

    def _pick(self, choices: tuple[str, ...]) -> str:
        return self._random.choice(choices)

    def _instruction(self) -> str:
        kinds = (self._from, self._copy, self._copy, self._mount, self._add, self._add)
        more = (self._arg, self._env, self._run, self._onbuild, self._other)
        return self._random.choice(kinds + more)()

    def _word(self, word: str) -> str:
        return self._pick((word, word, word.lower(), word.capitalize())) + self._gap()

    def _gap(self) -> str:
        return self._pick((" ", " ", " ", "\t", " \\\n ", " \\\n# c\n ", " \\\n\n "))

    def _variable(self) -> str:
        name = self._pick(_VARIABLES)
        return self._pick((f"${name}", f"\\${name}", f"${{{name}{self._pick(_MODIFIERS)}}}"))

    def _value(self) -> str:
        variable = self._variable()
        plain = ("1", "a", "a-b.c", "v1.2.3", '"q"', "'s'", "", "a\\ b")
        return self._pick((*plain, variable, f"{variable}-x", f'"{variable}"', f"'{variable}'"))

    def _base(self) -> str:
        variable = self._variable()
        digest = f"img@sha256:{'a' * 64}"
        some = (variable, f"img:{variable}", f"img{variable}", "r.test/i:1", '"img"', digest, "0")
        return self._pick((*_NAMES, *some))

    def _source(self) -> str:
        return self._pick((*_NAMES, *_SOURCES))

    def _from(self) -> str:
        platform = self._pick(("", f"--platform={self._pick((*_PLATFORMS, self._variable()))} "))
        name = f"{self._gap()}{self._word('AS')}{self._pick((*_NAMES, 'st'))}"
        return f"{self._word('FROM')}{platform}{self._base()}{self._pick(('', name))}"

    def _copy(self) -> str:
        if self._random.random() < 0.2:
            return f"{self._word('COPY')}<<EOF /f\nFROM zz\n{self._pick(('$A', 'EOF2'))}\nEOF"
        return f"{self._word('COPY')}--from={self._source()}{self._gap()}/a /b"

    def _mount(self) -> str:
        kind = self._pick(("", "type=bind,", "type=cache,"))
        return f"{self._word('RUN')}--mount={kind}from={self._source()},target=/x true"

    def _add(self) -> str:
        sources = (
            f"https://x.test/{self._value()}",
            f"http://x.test/{self._variable()}/{self._variable()}",
            *("f", "https://x.test/g.git#1:sub", "git@localhost:p/q", "github.com/a/b"),
        )
        return f"{self._word('ADD')}{self._pick(sources)} {self._pick(sources)} /d/"

    def _arg(self) -> str:
        value = f"={self._value()}"
        more = self._pick(("", " B", "  A=2"))
        return f"{self._word('ARG')}{self._pick(_VARIABLES)}{self._pick(('', value))}{more}"

    def _env(self) -> str:
        equals = self._pick(("=", " "))
        return f"{self._word('ENV')}{self._pick(_VARIABLES)}{equals}{self._value()}"

    def _run(self) -> str:
        return self._word("RUN") + self._pick(_RUNS)

    def _onbuild(self) -> str:
        makers = (self._copy, self._mount, self._add, self._arg, self._env, self._run)
        return self._word("ONBUILD") + self._random.choice(makers)()

    def _other(self) -> str:
        return self._pick(_OTHERS)
